"""A label: energy, forces and stress of one frame, and how they were made; or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

FailureReason = Literal[
    "not_converged", "walltime", "out_of_memory", "killed", "bad_output", "bad_input", "unphysical"
]


@dataclass(frozen=True)
class Label:
    """What a labeller found for one frame.

    Attributes
    ----------
    energy_ev
        The energy whose derivative the forces are (the free energy where electrons are smeared), eV.
    forces_ev_per_ang
        Shape (n_atoms, 3).
    stress_ev_per_ang3
        Shape (3, 3), symmetric, positive under tension (ASE's sign); ``None`` where the source has none.
    fingerprint
        Hash of everything that defines the level of theory; labels of different fingerprints never mix.
    code, version
        The program that made the label.
    wall_s, core_s
        What it cost: wall time, and wall time times cores.
    host
        Where it ran.
    repairs
        What did not work before; empty where the first try did. Repairs never change the level of theory.
    """

    energy_ev: float
    forces_ev_per_ang: NDArray[np.float64]
    stress_ev_per_ang3: NDArray[np.float64] | None
    fingerprint: str
    code: str
    version: str
    wall_s: float
    core_s: float
    host: str
    repairs: str = ""


@dataclass(frozen=True)
class LabelFailure:
    """Why a frame has no label; an expected end, so it is a value and not an exception."""

    reason: FailureReason
    message: str
    evidence: Path | None = None
    wall_s: float = 0.0


class Labeller(Protocol):
    """A source of labels. It raises only for bugs; expected failures are returned."""

    @property
    def fingerprint(self) -> str:
        """Hash of everything that defines the level of theory."""

    @property
    def elements(self) -> frozenset[str]:
        """Elements it can label."""

    def label(self, frame: Atoms, scratch: Path) -> Label | LabelFailure:
        """Label one frame, using ``scratch`` (an existing directory) for files."""

    def close(self) -> None:
        """End what it has started; the next label starts it again."""
