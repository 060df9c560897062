from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from random_ensemble import random_ensemble
from tiny_campaign import run_tiny, tiny_config

from potentials import storage

Copy = Callable[[Path], Path]


@pytest.fixture(scope="session")
def one_round(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """Return a maker of copies of one tiny campaign that has run one round."""
    original = tmp_path_factory.mktemp("one-round") / "run"
    run_tiny(original, tiny_config(stop__max_rounds=1))

    def copy(directory: Path) -> Path:
        shutil.copytree(original, directory, symlinks=True, dirs_exist_ok=True)
        return directory

    return copy


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the directory of an ensemble of random networks."""
    storage.save(random_ensemble("Al"), tmp_path / "model")
    return tmp_path / "model"
