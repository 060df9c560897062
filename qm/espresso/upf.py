"""Writes norm-conserving pseudopotentials in Quantum ESPRESSO's format UPF 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NEGLIGIBLE = 1.0e-12


@dataclass(frozen=True)
class Projector:
    """One separable term of the potential: angular momentum, r β(r) on the grid, and its strength, Ry."""

    momentum: int
    values: NDArray[np.float64]
    strength_ry: float


def upf_text(
    *,
    title: str,
    element: str,
    functional: str,
    electrons: int,
    r_bohr: NDArray[np.float64],
    log_step: float,
    local_ry: NDArray[np.float64],
    projectors: Sequence[Projector],
    density: NDArray[np.float64],
) -> str:
    """Return a pseudopotential as UPF.

    Parameters
    ----------
    r_bohr
        Radial grid, evenly spaced in the logarithm by ``log_step``, shape (n,), bohr.
    local_ry
        The local potential on it, Ry.
    density
        4πr² times the density of the valence electrons from which a calculation begins, 1/bohr.
    """
    header = {
        "generated": title,
        "author": "",
        "date": "",
        "comment": "",
        "element": element,
        "pseudo_type": "NC",
        "relativistic": "scalar",
        "is_ultrasoft": "F",
        "is_paw": "F",
        "is_coulomb": "F",
        "has_so": "F",
        "has_wfc": "F",
        "has_gipaw": "F",
        "core_correction": "F",
        "functional": functional,
        "z_valence": f"{float(electrons):.3f}",
        "total_psenergy": "0.0",
        "wfc_cutoff": "0.0",
        "rho_cutoff": "0.0",
        "l_max": str(max((p.momentum for p in projectors), default=0)),
        "l_local": "-1",
        "mesh_size": str(len(r_bohr)),
        "number_of_wfc": "0",
        "number_of_proj": str(len(projectors)),
    }
    mesh = _array("PP_R", r_bohr) + _array("PP_RAB", r_bohr * log_step)
    betas = "".join(_beta(index, p, r_bohr) for index, p in enumerate(projectors, start=1))
    strengths = _array("PP_DIJ", np.diag([p.strength_ry for p in projectors]).ravel())
    attributes = "\n".join(f'    {name}="{value}"' for name, value in header.items())
    return (
        f'<UPF version="2.0.1">\n<PP_INFO>\n{title}\n</PP_INFO>\n<PP_HEADER\n{attributes}/>\n'
        f"<PP_MESH>\n{mesh}</PP_MESH>\n{_array('PP_LOCAL', local_ry)}"
        f"<PP_NONLOCAL>\n{betas}{strengths}</PP_NONLOCAL>\n<PP_PSWFC>\n</PP_PSWFC>\n"
        f"{_array('PP_RHOATOM', density)}</UPF>\n"
    )


def _beta(index: int, projector: Projector, r_bohr: NDArray[np.float64]) -> str:
    """Return a projector, which ends for pw.x where it has become negligible."""
    values = projector.values
    end = int(np.flatnonzero(np.abs(values) > _NEGLIGIBLE * np.abs(values).max())[-1]) + 1
    end = min(len(values), end + (end + 1) % 2)
    return _array(
        f"PP_BETA.{index}",
        values,
        index=index,
        angular_momentum=projector.momentum,
        cutoff_radius_index=end,
        cutoff_radius=f"{r_bohr[end - 1]:.6f}",
    )


def _array(name: str, values: NDArray[np.float64], **attributes: object) -> str:
    rows = [values[i : i + 4] for i in range(0, len(values), 4)]
    numbers = "\n".join(" ".join(f"{value: .15E}" for value in row) for row in rows)
    given = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f'<{name} type="real" size="{len(values)}" columns="4"{given}>\n{numbers}\n</{name}>\n'
