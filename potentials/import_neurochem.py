"""Turns an ensemble written by NeuroChem into ours: ``python -m potentials.import_neurochem DIR OUT``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ase.units import Hartree

from potentials import storage
from potentials.config import AniConfig
from potentials.descriptors import DescriptorSpec
from potentials.ensemble import AniEnsemble
from potentials.network import MemberNetworks
from potentials.neurochem import (
    CELU_ALPHA,
    NeuroChemError,
    NeuroChemNetwork,
    read_atomic_energies,
    read_network,
    read_params,
)


def read_neurochem(directory: Path, dtype: torch.dtype = torch.float32) -> AniEnsemble:
    """Read an ensemble from NeuroChem's files.

    Parameters
    ----------
    directory
        Holds one ``.params`` file, ``sae_linfit.dat`` and the members ``train0``, ``train1``, ..., each with
        ``networks/ANN-<element>.nnf`` and the weights that it names. Energies there are in hartree.
    dtype
        Floating-point type of the ensemble; the files hold float32.

    Raises
    ------
    NeuroChemError
        If a file is missing or malformed, or the descriptors are not evenly spaced as `AniConfig` has them.
    """
    params = _only(directory, "*.params")
    spec, elements = read_params(params)
    members = [
        [read_network(train / "networks" / f"ANN-{symbol}.nnf", spec.n_features) for symbol in elements]
        for train in _member_directories(directory)
    ]
    shift = read_atomic_energies(directory / "sae_linfit.dat", elements)
    return AniEnsemble(
        config=_config(params, spec, members),
        elements=elements,
        spec=spec,
        networks=_stacked(directory, members, dtype),
        shift_ev=Hartree * torch.tensor(shift, dtype=torch.float64),
        card={"source": f"NeuroChem ensemble {directory.resolve().name}"},
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Import an ensemble; return 0, or 2 if a file is malformed."""
    parser = argparse.ArgumentParser(prog="python -m potentials.import_neurochem", description=__doc__)
    parser.add_argument(
        "directory", type=Path, help="directory with the .params file and train0, train1, ..."
    )
    parser.add_argument("out", type=Path, help="directory to write the ensemble to")
    options = parser.parse_args(arguments)
    try:
        ensemble = read_neurochem(options.directory)
    except NeuroChemError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    storage.save(ensemble, options.out)
    sys.stdout.write(f"{options.out}: {ensemble.n_members} members for {', '.join(ensemble.elements)}\n")
    return 0


def _only(directory: Path, pattern: str) -> Path:
    found = sorted(directory.glob(pattern))
    if len(found) != 1:
        raise NeuroChemError(f"{directory}: {len(found)} files match {pattern}; expected one")
    return found[0]


def _member_directories(directory: Path) -> list[Path]:
    found = [path for path in directory.glob("train*") if path.name[5:].isdigit()]
    if not found:
        raise NeuroChemError(f"{directory}: no members; expected directories train0, train1, ...")
    return sorted(found, key=lambda path: int(path.name[5:]))


def _config(params: Path, spec: DescriptorSpec, members: list[list[NeuroChemNetwork]]) -> AniConfig:
    """Return the settings that give ``spec``."""
    config = AniConfig(
        radial_cutoff_ang=spec.radial_cutoff_ang,
        angular_cutoff_ang=spec.angular_cutoff_ang,
        n_radial=len(spec.radial_shifts_ang),
        radial_eta_per_ang2=spec.radial_eta_per_ang2,
        n_angular_radial=len(spec.angular_shifts_ang),
        n_angles=len(spec.angle_shifts_rad),
        zeta=spec.zeta,
        angular_eta_per_ang2=spec.angular_eta_per_ang2,
        first_shell_ang=spec.radial_shifts_ang[0],
        hidden=tuple(len(bias) for bias in members[0][0].biases[:-1]),
        celu_alpha=CELU_ALPHA,
        n_members=len(members),
    )
    even = DescriptorSpec.from_config(config, spec.n_elements)
    for name in ("radial_shifts_ang", "angular_shifts_ang", "angle_shifts_rad"):
        if not np.allclose(getattr(spec, name), getattr(even, name), rtol=0.0, atol=1e-5):
            raise NeuroChemError(f"{params}: {name} are not spaced evenly from the first shell to the cutoff")
    return config


def _stacked(directory: Path, members: list[list[NeuroChemNetwork]], dtype: torch.dtype) -> MemberNetworks:
    """Stack the members; the last layer is scaled from hartree to eV."""
    shapes = {tuple(weight.shape for weight in net.weights) for member in members for net in member}
    if len(shapes) != 1:
        raise NeuroChemError(f"{directory}: networks of {len(shapes)} different shapes; expected one")
    n_elements, n_layers = len(members[0]), len(members[0][0].weights)

    def stack(element: int, layer: int, kind: str) -> torch.Tensor:
        arrays = [getattr(member[element], kind)[layer] for member in members]
        scale = Hartree if layer == n_layers - 1 else 1.0
        values = torch.from_numpy(np.stack(arrays)).double() * scale
        return (values.mT if kind == "weights" else values[:, None]).to(dtype).contiguous()

    def layers(element: int, kind: str) -> tuple[torch.Tensor, ...]:
        return tuple(stack(element, layer, kind) for layer in range(n_layers))

    return MemberNetworks(
        weights=tuple(layers(element, "weights") for element in range(n_elements)),
        biases=tuple(layers(element, "biases") for element in range(n_elements)),
        celu_alpha=CELU_ALPHA,
    )


if __name__ == "__main__":
    sys.exit(main())
