"""The noise that k-points leave in the labels, from those that were made a second time with more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase.units import GPa

from workflow.ledger import Event


@dataclass(frozen=True)
class KpointNoise:
    """Root mean squares over the labels that were checked; ``None`` where there is none.

    Attributes
    ----------
    energy_rms_mev_per_atom
        Over the labels.
    force_rms_ev_per_ang
        Over all components of all forces.
    stress_rms_gpa
        Over all components of all stresses.
    n_labels, n_failed
        Labels that were checked; checks that failed, which says nothing against their labels.
    core_h
        What the checks have cost, core-hours, beside the labels themselves.
    """

    energy_rms_mev_per_atom: float | None
    force_rms_ev_per_ang: float | None
    stress_rms_gpa: float | None
    n_labels: int
    n_failed: int
    core_h: float


def kpoint_noise(checks: Mapping[str, Event]) -> KpointNoise | None:
    """Return the noise that the checks have found; ``None`` where nothing was checked."""
    if not checks:
        return None
    good = [check for check in checks.values() if check["ok"]]
    stressed = [check for check in good if check["stress_rms_ev_per_ang3"] is not None]
    return KpointNoise(
        energy_rms_mev_per_atom=_rms([c["energy_mev_per_atom"] for c in good]),
        force_rms_ev_per_ang=_rms([c["force_rms_ev_per_ang"] for c in good], [c["n_atoms"] for c in good]),
        stress_rms_gpa=_rms([c["stress_rms_ev_per_ang3"] / GPa for c in stressed]),
        n_labels=len(good),
        n_failed=len(checks) - len(good),
        core_h=sum(check["core_s"] for check in checks.values()) / 3600.0,
    )


def _rms(values: list[float], weights: list[int] | None = None) -> float | None:
    return float(np.sqrt(np.average(np.square(values), weights=weights))) if values else None
