"""Settings: every mistake is one clear line, and what is saved reads back the same."""

import pickle
from typing import Annotated, Literal, Self

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from workflow.settings import strict_yaml
from workflow.settings.config import CampaignConfig
from workflow.settings.errors import SettingsError
from workflow.settings.fields import all_names
from workflow.settings.load import (
    SAFE_TO_CHANGE,
    changed_keys,
    load_campaign,
    load_settings,
    refuse_unsafe_changes,
    resolved,
    save_resolved,
    settings_hash,
)

MODEL = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Pot(BaseModel):
    model_config = MODEL
    kind: Literal["pot"]
    depth_ev: PositiveFloat = 1.0


class Pan(BaseModel):
    model_config = MODEL
    kind: Literal["pan"]
    width_ang: PositiveFloat = 2.0


class Dynamics(BaseModel):
    model_config = MODEL
    timestep_fs: PositiveFloat = 1.0
    max_force_ev_per_ang: float | None = None


class Sampling(BaseModel):
    model_config = MODEL
    dynamics: Dynamics = Dynamics()
    n_slots: PositiveInt = 8


class Stop(BaseModel):
    model_config = MODEL
    max_rounds: PositiveInt | None = None
    min_rounds: PositiveInt = 1

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_rounds is not None and self.max_rounds < self.min_rounds:
            raise ValueError(f"max_rounds = {self.max_rounds} is below min_rounds = {self.min_rounds}")
        return self


class Model(BaseModel):
    model_config = MODEL
    elements: tuple[str, ...]
    """Chemical symbols."""
    source: Annotated[Pot | Pan, Field(discriminator="kind")]
    sampling: Sampling = Sampling()
    stop: Stop = Stop()
    shells: tuple[float, ...] = (1.0,)
    distances_ang: dict[str, PositiveFloat] = {}
    contact_ang: PositiveFloat | dict[str, PositiveFloat] = 1.0
    cells: tuple[Annotated[Pot | Pan, Field(discriminator="kind")], ...] = ()
    flag: bool = False


GOOD = "elements: [Al]\nsource:\n  kind: pot\n"


def load(tmp_path, text, *overrides):
    path = tmp_path / "al.yaml"
    path.write_text(text)
    return load_settings(Model, path, overrides)


def refused(tmp_path, text, *overrides):
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text, *overrides)
    lines = str(caught.value).replace(str(tmp_path) + "/", "").splitlines()
    return lines[0] if len(lines) == 1 else lines


def test_good_settings_load(tmp_path):
    model = load(tmp_path, GOOD + "sampling:\n  dynamics:\n    timestep_fs: 5e-1\n")
    assert model.elements == ("Al",)
    assert model.sampling.dynamics.timestep_fs == 0.5


@pytest.mark.parametrize(
    ("extra", "line"),
    [
        ("sampling:\n  n_slot: 3\n", "al.yaml:5: sampling.n_slot: unknown setting; did you mean n_slots?"),
        (
            "sampling:\n  dynamics:\n    timestep: 3\n",
            "al.yaml:6: sampling.dynamics.timestep: unknown setting; did you mean timestep_fs?",
        ),
        (
            "sampling:\n  dynamics:\n    max_force: 3\n",
            "al.yaml:6: sampling.dynamics.max_force: unknown setting; did you mean max_force_ev_per_ang?",
        ),
        (
            "timestep_fs: 3\n",
            "al.yaml:4: timestep_fs: unknown setting; did you mean sampling.dynamics.timestep_fs?",
        ),
        ("  depht_ev: 3\n", "al.yaml:4: source.depht_ev: unknown setting; did you mean depth_ev?"),
        (
            "  width_ang: 3\n",
            "al.yaml:4: source.width_ang: unknown setting of this kind; expected one of kind, depth_ev",
        ),
        (
            "cells: [{kind: pan, with_ang: 3}]\n",
            "al.yaml:4: cells.0.with_ang: unknown setting; did you mean width_ang?",
        ),
        ("flag: 1\n", "al.yaml:4: flag: found 1; expected a valid boolean"),
        (
            "sampling:\n  n_slots: '3'\n",
            "al.yaml:5: sampling.n_slots: found '3'; expected a valid integer",
        ),
        ("sampling:\n  n_slots: true\n", "al.yaml:5: sampling.n_slots: found True; expected a valid integer"),
        ("sampling:\n  n_slots: 0\n", "al.yaml:5: sampling.n_slots: found 0; expected greater than 0"),
        ("sampling: 3\n", "al.yaml:4: sampling: found 3; expected settings inside it"),
        ("  depth_ev: deep\n", "al.yaml:4: source.depth_ev: found 'deep'; expected a valid number"),
        ("shells: [1, two]\n", "al.yaml:4: shells.1: found 'two'; expected a valid number"),
        (
            "distances_ang:\n  Al-Cu: -1\n",
            "al.yaml:5: distances_ang.Al-Cu: found -1; expected greater than 0",
        ),
        (
            "contact_ang: {Al-Cu: -1}\n",
            "al.yaml:4: contact_ang.Al-Cu: found -1; expected greater than 0",
        ),
        ("contact_ang: -1\n", "al.yaml:4: contact_ang: found -1; expected greater than 0"),
        (
            "contact_ang: near\n",
            "al.yaml:4: contact_ang: found 'near'; expected a valid number or settings inside it",
        ),
        (
            "stop: {max_rounds: 1, min_rounds: 2}\n",
            "al.yaml:4: stop: max_rounds = 1 is below min_rounds = 2",
        ),
    ],
)
def test_a_mistake_is_one_line_with_place_key_and_remedy(tmp_path, extra, line):
    assert refused(tmp_path, GOOD + extra) == line


def test_a_kind_that_does_not_exist(tmp_path):
    assert (
        refused(tmp_path, "elements: [Al]\nsource:\n  kind: pit\n")
        == "al.yaml:2: source: found 'pit'; expected one of 'pot', 'pan'"
    )
    assert (
        refused(tmp_path, "elements: [Al]\nsource:\n  depth_ev: 1\n")
        == "al.yaml:2: source: missing setting 'kind'; expected one of 'pot', 'pan'"
    )


def test_a_missing_setting_says_what_it_is_for(tmp_path):
    assert (
        refused(tmp_path, "source: {kind: pot}\n") == "al.yaml: elements: missing setting: Chemical symbols."
    )


def test_several_mistakes_are_one_line_each(tmp_path):
    lines = refused(tmp_path, GOOD + "flagg: true\nsampling:\n  n_slots: 2.5\n")
    assert len(lines) == 2
    assert "sampling.n_slots" in lines[0] + lines[1]
    assert "flagg" in lines[0] + lines[1]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("elements: [Al\nsource: 3\n", "al.yaml:2: not YAML: "),
        ("elements: [Al]\n\tsource: 3\n", "al.yaml:2: not YAML: "),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "al.yaml:4: b.c: given twice, first in line 3"),
        ("", "al.yaml: found an empty file; expected settings"),
        ("- a\n", "al.yaml: found a list; expected settings"),
        ("a: !!python/object/apply:os.system [ls]\n", "al.yaml:1: not YAML: "),
        ("a: &x 1\nb: *y\n", "al.yaml:2: not YAML: "),
    ],
)
def test_files_that_are_no_settings(tmp_path, text, start):
    message = refused(tmp_path, text)
    assert isinstance(message, str)
    assert message.startswith(start)


def test_missing_and_unreadable_files_are_named(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: no such file"):
        load_settings(Model, tmp_path / "nowhere.yaml")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(Model, tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not text"):
        load_settings(Model, tmp_path / "binary.yaml")


def test_overrides_reach_into_nested_settings(tmp_path):
    model = load(
        tmp_path,
        GOOD + "shells: [1, 2]\nsampling:\n",
        "sampling.dynamics.timestep_fs=2e0",
        "shells.1=7",
        "elements=[Cu, Al]",
        "source.kind=pan",
        "flag=true",
        "distances_ang.Cu-Al=1.5",
    )
    assert model.sampling.dynamics.timestep_fs == 2.0
    assert model.shells == (1, 7)
    assert model.elements == ("Cu", "Al")
    assert model.source == Pan(kind="pan")
    assert model.flag is True
    assert model.distances_ang == {"Cu-Al": 1.5}


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("sampling.n_slots", "--set sampling.n_slots: expected key.key=value"),
        ("=3", "--set =3: expected key.key=value"),
        ("sampling..n=3", "--set sampling..n=3: expected key.key=value"),
        ("flag.x=3", "--set flag.x=3: flag is False, which has no settings inside"),
        ("elements.4=Cu", "--set elements.4=Cu: elements is a list of 1; expected an index, not 4"),
        (
            "sampling.n_slotz=3",
            "--set sampling.n_slotz=3: sampling.n_slotz: unknown setting; did you mean n_slots?",
        ),
        (
            "sampling.n_slots=many",
            "--set sampling.n_slots=many: sampling.n_slots: found 'many'; expected a valid integer",
        ),
        ("shells=[1", "--set shells=[1:1: not YAML"),
    ],
)
def test_a_wrong_override_is_one_line(tmp_path, override, line):
    assert refused(tmp_path, GOOD + "flag: false\n", override).startswith(line)


def test_saved_settings_read_back_the_same(tmp_path):
    model = load(tmp_path, GOOD, "source.depth_ev=1e-7", "elements=['No', 'Y', 'On']")
    save_resolved(model, tmp_path / "campaign.yaml")
    again = load_settings(Model, tmp_path / "campaign.yaml")
    assert again == model
    assert settings_hash(again) == settings_hash(model)
    assert settings_hash(model) in (tmp_path / "campaign.yaml").read_text()


def test_the_hash_changes_with_any_setting(tmp_path):
    hashes = {
        settings_hash(load(tmp_path, GOOD, *change))
        for change in ([], ["flag=true"], ["shells=[1.0, 2.0]"], ["sampling.n_slots=9"])
    }
    assert len(hashes) == 4
    assert settings_hash(load(tmp_path, GOOD, "flag=false")) in hashes


def test_changes_are_listed_and_sorted_into_safe_and_not(tmp_path):
    old = load(tmp_path, GOOD)
    new = load(tmp_path, GOOD, "stop.max_rounds=3", "source.depth_ev=2", "distances_ang.Al-Al=2")
    changes = changed_keys(old, new, safe=("stop",))
    assert [(c.key, c.safe) for c in changes] == [
        ("source.depth_ev", False),
        ("stop.max_rounds", True),
        ("distances_ang", False),
        ("distances_ang.Al-Al", False),
    ]
    with pytest.raises(SettingsError, match=r"source\.depth_ev: 1\.0 became 2.0; it cannot change"):
        refuse_unsafe_changes(changes, tmp_path)
    refuse_unsafe_changes([c for c in changes if c.safe], tmp_path)
    assert changed_keys(old, old) == []


def test_a_prefix_covers_whole_names_only(tmp_path):
    old, new = load(tmp_path, GOOD), load(tmp_path, GOOD, "sampling.n_slots=3")
    assert changed_keys(old, new, safe=("sampling.n",))[0].safe is False


def test_the_error_survives_pickle():
    error = pickle.loads(pickle.dumps(SettingsError("one line")))  # noqa: S301
    assert str(error) == "one line"


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@hypothesis_settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.text(max_size=8), trees, max_size=4))
def test_what_is_dumped_is_parsed_back(data):
    assert strict_yaml.parse(strict_yaml.dump(data), "text")[0] == data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("No", "No"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("010", 10),
        ("2026-01-02", "2026-01-02"),
        ("1_000", "1_000"),
        (".inf", float("inf")),
        ("~", None),
        ("'3'", "3"),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    parsed = strict_yaml.parse(text, "text")[0]
    assert parsed == value
    assert type(parsed) is type(value)


def test_resolved_has_every_default(tmp_path):
    assert resolved(load(tmp_path, GOOD))["sampling"]["dynamics"]["timestep_fs"] == 1.0


def test_every_setting_that_may_change_exists():
    names = {path for path, _ in all_names(CampaignConfig)}
    assert set(SAFE_TO_CHANGE) <= names


@pytest.mark.parametrize("kind", ["eam", "ase"])
def test_a_whole_campaigns_settings_read_back_the_same(tmp_path, kind):
    source = {"kind": "eam"} if kind == "eam" else {"kind": "ase", "calculator": "ase.calculators.emt.EMT"}
    config = CampaignConfig.model_validate(
        {
            "name": "a",
            "elements": ("Cu", "Al"),
            "labeller": source,
            "builder": {"min_distance_ang": {"Cu-Cu": 1.8, "Cu-Al": 1.8, "Al-Al": 2.0}},
            "stop": {"median_survival_ps": 1e-7},
        }
    )
    save_resolved(config, tmp_path / "campaign.yaml")
    assert load_campaign(tmp_path / "campaign.yaml") == config
