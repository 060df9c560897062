"""The weights that all rivals compute with, as NeuroChem's files, which each reads by itself."""

from __future__ import annotations

import bz2
from itertools import pairwise
from pathlib import Path

import numpy as np

from potentials import network
from potentials.config import PUBLISHED_WIDTHS, AniConfig
from potentials.descriptors import DescriptorSpec

LAYER = (
    "layer [\nnodes={n_out};\nactivation={activation};\ntype=0;\nblocksize={n_in};\ndropout=0;\n"
    "dropset=0.0;\nmaskupdate=0.0;\nmaxnorm=0;\nnorm=0.0;\nnormupdate=0.0;\nl2norm=0;\nl2valu=0.0;\nbtchnorm=0;\n"
    "weights=FILE:{name}.wparam[{n_weights}];\nbiases=FILE:{name}.bparam[{n_out}];\n]\n"
)


def find_weights(directory: Path | None, scratch: Path) -> tuple[Path, str]:
    """Return a directory of NeuroChem's files and what they are: those given, or random ones made here."""
    if directory is None:
        write_random(scratch / "random")
        return scratch / "random", "random weights of the size of ANI-Al"
    found = sorted(directory.glob("**/sae_linfit.dat"), key=lambda path: len(path.parts))
    if not found:
        raise SystemExit(f"error: {directory}: no sae_linfit.dat in it or below; expected NeuroChem's files")
    return found[0].parent, f"weights of {found[0].parent.name}"


def write_random(directory: Path) -> None:
    """Write an untrained ensemble of ANI-Al's size in NeuroChem's format."""
    config = AniConfig(**PUBLISHED_WIDTHS)
    spec = DescriptorSpec.from_config(config, 1)
    directory.mkdir(parents=True)
    (directory / "sae_linfit.dat").write_text("Al,0=-2.7\n", encoding="utf-8")
    lines = {
        "TM": 1,
        "Rcr": spec.radial_cutoff_ang,
        "Rca": spec.angular_cutoff_ang,
        "EtaR": [spec.radial_eta_per_ang2],
        "ShfR": list(spec.radial_shifts_ang),
        "Zeta": [spec.zeta],
        "ShfZ": list(spec.angle_shifts_rad),
        "EtaA": [spec.angular_eta_per_ang2],
        "ShfA": list(spec.angular_shifts_ang),
        "Atyp": "[Al]",
    }
    text = "".join(f"{key} = {value}\n" for key, value in lines.items())
    (directory / "random.params").write_text(text, encoding="utf-8")
    for member in range(config.n_members):
        _write_member(directory / f"train{member}" / "networks", spec, config, member)


def _write_member(directory: Path, spec: DescriptorSpec, config: AniConfig, seed: int) -> None:
    directory.mkdir(parents=True)
    weights = network.initial(spec, config, [seed]).weights[0]
    text = f"inputsize={spec.n_features};\natom_net Al $\n"
    for number, (weight, (n_in, n_out)) in enumerate(
        zip(weights, pairwise((spec.n_features, *config.hidden, 1)), strict=True), start=1
    ):
        name = f"ANN-Al.nnf-l{number}"
        activation = 6 if n_out == 1 else 9
        text += LAYER.format(n_in=n_in, n_out=n_out, activation=activation, name=name, n_weights=n_in * n_out)
        scale = 0.01 if n_out == 1 else 1.0  # hartree: energies of the size of an atom's, not of a molecule's
        (directory / f"{name}.wparam").write_bytes((scale * weight[0].T.numpy()).astype("<f4").tobytes())
        (directory / f"{name}.bparam").write_bytes(np.zeros(n_out, dtype="<f4").tobytes())
    packed = bz2.compress((text + "\n $ ").encode())
    (directory / "ANN-Al.nnf").write_bytes(f"{len(packed)}=\n".encode() + packed)
