"""Mistakes of users with real campaigns: each is one line and exit status 2."""

import json
import subprocess
import sys

import pytest
import yaml
from tiny_campaign import tiny_settings

from workflow.dataset import Dataset
from workflow.launch import main
from workflow.ledger import LEDGER_NAME
from workflow.storage.paths import CampaignPaths

HOLDER = """
import sys
from pathlib import Path
from workflow.lock import CampaignLock
with CampaignLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def campaign(one_round, tmp_path):
    """A campaign that has run one round."""
    return one_round(tmp_path / "run")


@pytest.fixture
def mistake(capsys, tmp_path):
    """Call the command and return its one line of error."""

    def call(*arguments, **changes):
        settings = tmp_path / "settings.yaml"
        settings.write_text(yaml.safe_dump(tiny_settings(**{"stop__max_rounds": 1, **changes})))
        arguments = [str(settings) if word == "SETTINGS" else str(word) for word in arguments]
        assert main(["--site", "local", *arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1, error
        return error

    return call


def test_unknown_key_wrong_type_and_impossible_density(mistake, tmp_path):
    new = ("--campaign", "SETTINGS", "--directory", tmp_path / "new")
    assert "sampling.n_slot: unknown setting; did you mean n_slots?" in mistake(*new, sampling__n_slot=3)
    assert "found 'few'; expected a valid integer" in mistake(*new, sampling__n_slots="few")
    assert "builder: Al at 8 g/cm³" in mistake(*new, builder__density_g_per_cm3=[2.0, 8.0])
    assert not (tmp_path / "new").exists()


def test_files_that_are_not_there(mistake, tmp_path):
    new = ("--campaign", "SETTINGS", "--directory", tmp_path / "new")
    assert "nowhere.yaml: no such file" in mistake("--campaign", "nowhere.yaml")
    missing = {"n_frames": 0, "import_extxyz": "nowhere.xyz"}
    assert "nowhere.xyz: no such file" in mistake(*new, bootstrap=missing)


@pytest.mark.parametrize(
    ("labeller", "message"),
    [
        ({"kind": "ase", "calculator": "nowhere.Calculator"}, "cannot make calculator 'nowhere.Calculator'"),
        (
            {"kind": "ase", "calculator": "ase.calculators.emt.EMT", "elements": ["Cu"]},
            "elements: the label source ase cannot label Al",
        ),
    ],
)
def test_label_sources_that_cannot_work(mistake, tmp_path, labeller, message):
    new = ("--campaign", "SETTINGS", "--directory", tmp_path / "new")
    assert message in mistake(*new, labeller=labeller)


def test_starting_data_that_is_none(mistake, tmp_path):
    (tmp_path / "cat.xyz").write_text("a picture of a cat\n")
    data = {"n_frames": 0, "import_extxyz": str(tmp_path / "cat.xyz")}
    error = mistake("--campaign", "SETTINGS", "--directory", tmp_path / "new", bootstrap=data)
    assert "cat.xyz:1: frame 1: found 'a picture of a cat', expected its number of atoms" in error


def test_the_directory_of_another_campaign(mistake, campaign):
    resume = ("--campaign", "SETTINGS", "--resume", "--directory", campaign)
    assert "holds campaign 'tiny', but" in mistake(*resume, name="other")
    assert "--resume goes on with it" in mistake("--campaign", "SETTINGS", "--directory", campaign)


def test_a_campaign_that_is_running(mistake, campaign):
    command = [sys.executable, "-c", HOLDER, str(campaign)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        assert f"running already, as process {holder.pid}" in mistake("--resume", "--directory", campaign)
        holder.stdin.close()


def test_a_damaged_data_set_names_the_label(mistake, campaign):
    dataset = CampaignPaths(campaign).dataset
    (chunk,) = dataset.glob("segments/*/positions_ang/c.0.0")
    content = bytearray(chunk.read_bytes())
    content[-2] ^= 0x10
    chunk.write_bytes(content)
    error = mistake("--resume", "--directory", campaign)
    assert Dataset.open(dataset).snapshot().ids[-1] in error


def test_a_damaged_ledger_names_the_line(mistake, campaign):
    path = campaign / LEDGER_NAME
    lines = path.read_bytes().split(b"\n")
    lines[4] = lines[4][:20]
    path.write_bytes(b"\n".join(lines))
    assert f"{LEDGER_NAME}, line 5: not a JSON event" in mistake("--resume", "--directory", campaign)


def test_a_changed_level_of_theory(mistake, campaign):
    other = {"kind": "eam", "parameters": "2004"}
    resume = ("--resume", "--directory", campaign)
    error = mistake("--campaign", "SETTINGS", *resume, labeller=other)
    assert "labeller.parameters: '2001' became '2004'; it cannot change" in error
    settings = CampaignPaths(campaign).settings  # as if edited by hand in the campaign itself
    settings.write_text(settings.read_text().replace("'2001'", "'2004'"))
    assert "labeller.parameters: '2001' became '2004'; it cannot change" in mistake(*resume)


def test_labels_of_another_level_of_theory_though_the_settings_agree(mistake, campaign):
    """As where a file that the label source reads has changed behind an unchanged name."""
    path = campaign / LEDGER_NAME
    first, rest = path.read_text().split("\n", 1)
    path.write_text(json.dumps({**json.loads(first), "fingerprint": "0" * 32}) + "\n" + rest)
    assert "labeller: its level of theory has fingerprint" in mistake("--resume", "--directory", campaign)
