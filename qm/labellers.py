"""From settings to a source of labels."""

from __future__ import annotations

from qm.ase_calculator import AseLabeller
from qm.config import AseConfig, LabellerConfig
from qm.eam import EamLabeller
from qm.label import Labeller


def make_labeller(config: LabellerConfig) -> Labeller:
    """Return the label source that the settings ask for.

    Raises
    ------
    ValueError
        If it cannot be made here, for instance because a calculator is not installed.
    """
    if isinstance(config, AseConfig):
        return AseLabeller(config)
    return EamLabeller(config)
