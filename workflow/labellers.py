"""From settings to a source of labels."""

from __future__ import annotations

from qm.ase_calculator import AseLabeller
from qm.config import AseConfig, LabellerConfig, PotentialLabellerConfig
from qm.eam import EamLabeller
from qm.label import Labeller
from workflow.potential_labeller import PotentialLabeller


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
    return EamLabeller(config)
