from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from potentials.ensemble import AniEnsemble
from potentials.import_neurochem import read_neurochem


@pytest.fixture(scope="session")
def ani_al_directory() -> Path:
    """Return where the published ANI-Al lies, as NeuroChem wrote it."""
    root = Path(__file__).resolve().parents[1]
    directory = Path(os.environ.get("SMELTER_ANI_AL", root.parent / "shared" / "ani-al"))
    found = sorted(directory.glob("**/sae_linfit.dat"), key=lambda path: len(path.parts))
    if not found:
        pytest.skip(f"no published ANI-Al in {directory}; set SMELTER_ANI_AL to its directory")
    return found[0].parent


@pytest.fixture(scope="session")
def ani_al(ani_al_directory: Path) -> AniEnsemble:
    """Return the published ANI-Al in float64."""
    return read_neurochem(ani_al_directory, torch.float64)
