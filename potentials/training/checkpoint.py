"""A training kept in one safetensors file, replaced as a whole."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from potentials.durable import replace_file
from potentials.training.state import TrainingState

FORMAT = "smelter-training-1"


def write_checkpoint(path: Path, state: TrainingState, identity: str) -> None:
    """Write ``state`` atomically.

    Parameters
    ----------
    path
        File to replace.
    state
        What an uninterrupted training would go on from.
    identity
        What the training is of: labels, settings, seed.
    """
    content = save(
        {name: tensor.contiguous() for name, tensor in state.tensors().items()},
        metadata={"format": FORMAT, "identity": identity, "state": state.text()},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content)


def read_checkpoint(path: Path, identity: str) -> TrainingState | None:
    """Return the state in ``path``, or ``None`` if there is no such file.

    Raises
    ------
    ValueError
        If the file is damaged, or belongs to a training of other labels, settings or seed.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"training checkpoint {path} is damaged: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} is of format {metadata.get('format')}, not {FORMAT}")
    if metadata["identity"] != identity:
        raise ValueError(
            f"training checkpoint {path} belongs to a training of other labels, settings or seed"
        )
    return TrainingState.restored(tensors, metadata["state"])
