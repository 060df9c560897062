"""Task: calculate a label again with more k-points, and write down by how much it differs.

In small cells of metals the mesh of k-points is the noise of the labels, and no potential can be better.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import ArrayLike

from qm.checks import checked_label
from qm.kpoints import mesh
from qm.label import Label, LabelFailure
from workflow.labellers import k_spacing_per_ang, make_labeller, with_finer_mesh
from workflow.settings.config import CampaignConfig
from workflow.storage.files import DamagedFileError, read_json, write_json_atomic
from workflow.storage.paths import CampaignPaths
from workflow.storage.spool import LabelRecord, item_path, read_label
from workflow.tasks.context import campaign

SPACING_FACTOR = 0.6
"""Spacing of the denser mesh as a fraction of a label's own: 3³ points become 5³, and 4³ become 7³."""


@dataclass
class KpointCheck:
    """By how much a label differs from one with more k-points, or why that is not known.

    Attributes
    ----------
    energy_mev_per_atom
        Energy of the label minus that with the denser mesh.
    force_rms_ev_per_ang
        Root mean square of the difference of all force components.
    stress_rms_ev_per_ang3
        The same of all nine stress components; ``None`` where the source has no stress.
    mesh, denser_mesh
        Such as ``3×3×2``.
    """

    id: str
    ok: bool
    reason: str = ""
    message: str = ""
    n_atoms: int = 0
    energy_mev_per_atom: float = 0.0
    force_rms_ev_per_ang: float = 0.0
    stress_rms_ev_per_ang3: float | None = None
    mesh: str = ""
    denser_mesh: str = ""
    wall_s: float = 0.0
    core_s: float = 0.0


def is_checked(id_: str, every: int) -> bool:
    """Return whether a label is among those that are checked: about one in ``every``; none for 0.

    It follows from the id alone, so that a label that is made again after a kill is chosen again. Its last
    digits decide, because the first ones choose the validation set.
    """
    return every > 0 and int(id_[-8:], 16) % every == 0


def result_path(paths: CampaignPaths, id_: str) -> Path:
    """Return where the outcome of a check waits until the driver has it."""
    return paths.kpoint_checks / f"{id_}.json"


def check_kpoints(directory: str, id_: str) -> KpointCheck:
    """Check the label ``id_`` of ``kpoint-checks/``; one whose outcome is on disk is not checked again."""
    paths, config = campaign(directory)
    try:
        return KpointCheck(**read_json(result_path(paths, id_)))
    except FileNotFoundError:
        pass
    try:
        record = read_label(item_path(paths.kpoint_checks, id_))
    except FileNotFoundError:  # another try has dealt with it
        return KpointCheck(id_, ok=False, reason="missing", message="its file is gone")
    except DamagedFileError as error:
        return KpointCheck(id_, ok=False, reason="bad_input", message=str(error))
    check = _check(paths, config, record)
    write_json_atomic(result_path(paths, id_), asdict(check))
    return check


def _check(paths: CampaignPaths, config: CampaignConfig, record: LabelRecord) -> KpointCheck:
    denser = with_finer_mesh(config.labeller, record.frame, SPACING_FACTOR)
    paths.scratch.mkdir(mode=0o700, exist_ok=True)
    with (
        closing(make_labeller(denser)) as source,
        TemporaryDirectory(prefix=f"{record.id}-", dir=paths.scratch, ignore_cleanup_errors=True) as scratch,
    ):
        found = checked_label(source, record.frame, Path(scratch), config.checks)
    if isinstance(found, LabelFailure):
        return KpointCheck(
            record.id, ok=False, reason=found.reason, message=found.message, wall_s=found.wall_s
        )
    return _difference(
        record, found, *(_mesh(record, k_spacing_per_ang(c)) for c in (config.labeller, denser))
    )


def _difference(record: LabelRecord, better: Label, mesh: str, denser_mesh: str) -> KpointCheck:
    label, n_atoms = record.label, len(record.frame)
    stress = None
    if label.stress_ev_per_ang3 is not None and better.stress_ev_per_ang3 is not None:
        stress = _rms(label.stress_ev_per_ang3 - better.stress_ev_per_ang3)
    return KpointCheck(
        record.id,
        ok=True,
        n_atoms=n_atoms,
        energy_mev_per_atom=1000.0 * (label.energy_ev - better.energy_ev) / n_atoms,
        force_rms_ev_per_ang=_rms(label.forces_ev_per_ang - better.forces_ev_per_ang),
        stress_rms_ev_per_ang3=stress,
        mesh=mesh,
        denser_mesh=denser_mesh,
        wall_s=better.wall_s,
        core_s=better.core_s,
    )


def _mesh(record: LabelRecord, spacing: float | None) -> str:
    return "" if spacing is None else "×".join(map(str, mesh(record.frame, spacing)))


def _rms(values: ArrayLike) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
