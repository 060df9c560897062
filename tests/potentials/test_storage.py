from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ase.build import bulk

import potentials
from potentials import durable, storage
from potentials.batch import Batch
from potentials.ensemble import AniEnsemble
from potentials.storage import DamagedModelError

MakeEnsemble = Callable[..., AniEnsemble]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_stored_ensemble_comes_back_bit_by_bit(
    make_ensemble: MakeEnsemble, tmp_path: Path, dtype: torch.dtype
) -> None:
    saved = make_ensemble("Al", "Cu", dtype=dtype, hidden=(10, 8), n_radial=6)
    saved = replace(saved, card={"snapshot": 7, "member_seeds": [1, 2, 3], "errors": {"energy": 1.5}})
    storage.save(saved, tmp_path / "model")
    loaded = potentials.load(tmp_path / "model")
    assert (loaded.config, loaded.elements, loaded.spec) == (saved.config, saved.elements, saved.spec)
    assert loaded.card == saved.card
    assert loaded.dtype == dtype
    assert torch.equal(loaded.shift_ev, saved.shift_ev)
    for a, b in zip(loaded.networks.parameters(), saved.networks.parameters(), strict=True):
        assert torch.equal(a, b)
    batch = Batch.from_frames([bulk("Al", cubic=True)], saved.elements, dtype=dtype)
    assert torch.equal(loaded.evaluate(batch).member_energies, saved.evaluate(batch).member_energies)


def test_the_card_can_be_read_by_people(make_ensemble: MakeEnsemble, tmp_path: Path) -> None:
    storage.save(replace(make_ensemble("Al"), card={"snapshot": 7}), tmp_path / "model")
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert card["elements"] == ["Al"]
    assert card["units"]["energy"] == "eV"
    assert card["dtype"] == "float64"
    assert card["config"]["radial_cutoff_ang"] == 7.0
    assert card["snapshot"] == 7


def test_saving_again_replaces_and_leaves_nothing_behind(make_ensemble: MakeEnsemble, tmp_path: Path) -> None:
    storage.save(make_ensemble("Al"), tmp_path / "deep" / "model")
    storage.save(make_ensemble("Cu"), tmp_path / "deep" / "model")
    assert storage.load(tmp_path / "deep" / "model").elements == ("Cu",)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["model"]


def test_a_failed_save_leaves_the_old_model(
    make_ensemble: MakeEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.save(make_ensemble("Al"), tmp_path / "model")

    def full_disk(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "_write", full_disk)
    with pytest.raises(OSError, match="No space left"):
        storage.save(make_ensemble("Cu"), tmp_path / "model")
    assert storage.load(tmp_path / "model").elements == ("Al",)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("card", [{"elements": ["Fe"]}, {"seed": object()}, {"error": float("nan")}])
def test_a_card_that_cannot_be_kept_is_refused(
    make_ensemble: MakeEnsemble, tmp_path: Path, card: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match="card"):
        storage.save(replace(make_ensemble("Al"), card=card), tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", ["card.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty"])
def test_a_damaged_model_is_named(
    make_ensemble: MakeEnsemble, tmp_path: Path, name: str, damage: str
) -> None:
    storage.save(make_ensemble("Al"), tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    if damage == "missing":
        path.unlink()
    with pytest.raises(DamagedModelError, match=name):
        storage.load(tmp_path)


def test_another_format_and_missing_entries_are_named(make_ensemble: MakeEnsemble, tmp_path: Path) -> None:
    storage.save(make_ensemble("Al"), tmp_path)
    path = tmp_path / "card.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, "format_version": 99}))
    with pytest.raises(DamagedModelError, match="format version 1"):
        storage.load(tmp_path)
    path.write_text(json.dumps({k: v for k, v in card.items() if k != "descriptors"}))
    with pytest.raises(DamagedModelError, match="'descriptors' is missing"):
        storage.load(tmp_path)
    path.write_text(json.dumps({**card, "config": {**card["config"], "hidden": [96]}}))
    with pytest.raises(DamagedModelError, match="shape"):
        storage.load(tmp_path)
