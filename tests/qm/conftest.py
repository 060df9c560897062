from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cp2k_cases import write_data

from qm.espresso.gth import DEBIAN, convert


@pytest.fixture(scope="session")
def al_upf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pseudopotential of aluminium; skip where there is no pw.x to read it."""
    if shutil.which("pw.x") is None:
        pytest.skip("no pw.x; Debian has it in the package quantum-espresso")
    if not DEBIAN.exists():
        pytest.skip(f"no {DEBIAN}; Debian has it in the package cp2k-data")
    path = tmp_path_factory.mktemp("pseudopotentials") / "Al.upf"
    path.write_text(convert(DEBIAN.read_text(), "Al"))
    return path


@pytest.fixture
def cp2k_data(tmp_path: Path) -> Path:
    """Return a directory with a basis set and a pseudopotential for CP2K."""
    return write_data(tmp_path)


@pytest.fixture(scope="session")
def cp2k_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same for the whole session; skip where there is no cp2k to read them."""
    if shutil.which("cp2k") is None:
        pytest.skip("no cp2k; Debian has it in the package cp2k")
    return write_data(tmp_path_factory.mktemp("cp2k"))
