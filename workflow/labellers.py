"""From settings to a source of labels."""

from __future__ import annotations

from ase import Atoms

from qm.ase_calculator import AseLabeller
from qm.codes import CODES
from qm.config import AseConfig, LabellerConfig, PotentialLabellerConfig
from qm.dft_config import DftConfig
from qm.eam import EamLabeller
from qm.kpoints import finer_spacing
from qm.label import Labeller
from workflow.potential_labeller import PotentialLabeller
from workflow.settings.errors import SettingsError


def make_labeller(config: LabellerConfig) -> Labeller:
    """Return the label source that the settings ask for.

    Raises
    ------
    ValueError
        If it cannot be made here, for instance because a calculator is not installed or a model is damaged.
    """
    if isinstance(config, AseConfig):
        return AseLabeller(config)
    if isinstance(config, PotentialLabellerConfig):
        return PotentialLabeller(config)
    if isinstance(config, DftConfig):
        return CODES[type(config)].labeller(config)
    return EamLabeller(config)


def k_spacing_per_ang(config: LabellerConfig) -> float | None:
    """Return the spacing of a label source's k-points, 1/Å; ``None`` where it has none."""
    return getattr(config, "k_spacing_per_ang", None)


def with_finer_mesh(config: LabellerConfig, frame: Atoms, factor: float) -> LabellerConfig:
    """Return settings with a denser mesh for one frame, and as much more time as it may need.

    Parameters
    ----------
    factor
        The mesh's spacing as a fraction of the present one; see :func:`qm.kpoints.finer_spacing`.

    Raises
    ------
    ValueError
        If the label source has no k-points.
    """
    spacing = k_spacing_per_ang(config)
    if spacing is None:
        raise ValueError(f"label source {config.kind} has no k-points")
    changes = {"k_spacing_per_ang": finer_spacing(frame, spacing, factor)}
    if hasattr(config, "walltime_s"):
        changes["walltime_s"] = config.walltime_s / factor**3
    return config.model_copy(update=changes)


def refuse_other_level(source: Labeller, known: str | None, where: str) -> None:
    """Raise if a label source is not the one that made the labels there are.

    Parameters
    ----------
    known
        Fingerprint of those labels; ``None`` or empty where there are none yet.
    where
        What names it, such as the ledger.

    Raises
    ------
    SettingsError
        If the fingerprints differ.
    """
    if known and known != source.fingerprint:
        raise SettingsError(
            f"labeller: its level of theory has fingerprint {source.fingerprint}, but this campaign's "
            f"{where} holds {known}; start a new campaign in another directory"
        )
