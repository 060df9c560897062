"""The guide's ways to use a potential elsewhere work as they stand there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from random_ensemble import random_ensemble

from potentials.export_neurochem import loading_lines, main
from potentials.storage import save

GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"
SECTION = GUIDE.read_text(encoding="utf-8").partition("## Using a potential elsewhere\n")[2]
MODEL = "campaigns/al_quickstart/models/current"


def python_with(part: str) -> str:
    blocks = re.findall(r"```python\n(.*?)```", SECTION, flags=re.DOTALL)
    (found,) = [block for block in blocks if part in block]
    return str(found)


@pytest.fixture
def campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a directory with an ensemble where the guide has one."""
    save(random_ensemble("Al"), tmp_path / MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_ase(campaign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(python_with("calculator()"), {})
    energy, spread = (float(number) for number in capsys.readouterr().out.split())
    assert energy == pytest.approx(-280.0, abs=20.0)
    assert spread > 0.0


@pytest.mark.skipif(importlib.util.find_spec("torch_sim") is None, reason="TorchSim is not installed")
def test_torch_sim(campaign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(python_with("TorchSimModel"), {})
    primitive, cubic = (float(n) for n in re.findall(r"-\d+\.\d+", capsys.readouterr().out))
    assert cubic == pytest.approx(4 * primitive, rel=1e-5)


def test_torchani(campaign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = re.findall(r"python -m potentials\.export_neurochem (.*)", SECTION)
    assert main(command.split()) == 0
    lines = python_with("torchani")
    assert lines == loading_lines(Path("al_exported"), 4) + "\n"
    assert loading_lines(Path("al_exported"), 2) in capsys.readouterr().out
    for name in re.findall(r"\{exported\}/([\w.]+)", lines):
        assert list(campaign.glob(f"al_exported/{name}*"))
