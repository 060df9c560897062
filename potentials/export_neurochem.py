"""Write an ensemble in NeuroChem's format, which TorchANI reads.

    python -m potentials.export_neurochem MODEL OUT

``MODEL`` is an ensemble's directory, such as ``campaigns/NAME/models/current``; ``OUT`` must not exist yet.
Exit status 0: written; 1: OUT cannot be written; 2: wrong usage, or an ensemble that the format cannot hold.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
from ase.units import Hartree

from potentials import storage
from potentials.durable import write_directory
from potentials.ensemble import AniEnsemble
from potentials.neurochem import (
    CELU_ALPHA,
    NeuroChemNetwork,
    atomic_energies_text,
    network_files,
    params_text,
)
from potentials.storage import DamagedModelError

PARAMS = "ani.params"
ATOMIC_ENERGIES = "sae_linfit.dat"
README = """\
An ensemble of {n_members} ANI networks for {elements}, in NeuroChem's format: energies in hartree, lengths in
angstrom, weights in float32. With TorchANI 2.9, in Python:

{lines}
"""
LINES = """\
from torchani.arch import ANI
from torchani.neurochem import load_aev_computer_and_symbols, load_ensemble, load_sae

exported = {out}
aev, symbols = load_aev_computer_and_symbols(f"{{exported}}/ani.params")
networks = load_ensemble(symbols, f"{{exported}}/train", {n_members})
model = ANI(symbols, aev, networks, load_sae(f"{{exported}}/sae_linfit.dat"))
calculator = model.ase()  # of ASE; model.double().ase() for float64"""


class CannotExportError(ValueError):
    """The ensemble has something that NeuroChem's format cannot hold."""


def write_neurochem(ensemble: AniEnsemble, directory: Path) -> None:
    """Write ``ensemble`` to ``directory`` in NeuroChem's format, complete or not at all.

    Weights are rounded to float32, energies are written in hartree. Energies of lone atoms go to
    ``sae_linfit.dat`` as numbers that float32 holds exactly, because TorchANI keeps them so; what is left of
    them, and what is a member's own, goes into the biases of the last layers.

    Raises
    ------
    CannotExportError
        If the format cannot express the ensemble.
    FileExistsError
        If ``directory`` exists.
    """
    if ensemble.networks.celu_alpha != CELU_ALPHA:
        raise CannotExportError(
            f"CELU of α = {ensemble.networks.celu_alpha:g}; NeuroChem's format has α = {CELU_ALPHA:g} only"
        )
    write_directory(directory, _files(ensemble, directory.name))


def loading_lines(out: Path, n_members: int) -> str:
    """Return the Python lines with which TorchANI loads what was written to ``out``."""
    return LINES.format(out=json.dumps(str(out), ensure_ascii=False), n_members=n_members)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    given = _parser().parse_args(arguments)
    try:
        ensemble = storage.load(given.model)
        write_neurochem(ensemble, given.out)
    except (DamagedModelError, CannotExportError) as error:
        return _fail(str(error), status=2)
    except FileExistsError:
        return _fail(f"{given.out}: exists; expected a directory to be made", status=2)
    except OSError as error:
        return _fail(f"{given.out}: cannot be written ({error.strerror})", status=1)
    sys.stdout.write(f"{given.out}: {ensemble.n_members} members for {', '.join(ensemble.elements)}\n\n")
    sys.stdout.write(f"{loading_lines(given.out, ensemble.n_members)}\n")
    return 0


def _files(ensemble: AniEnsemble, name: str) -> dict[str, bytes]:
    """Return the content of every file by its path below the directory."""
    shift_ha = ensemble.shift_ev.double().cpu().expand(ensemble.n_members, -1) / Hartree
    common_ha = shift_ha.mean(dim=0).float().double()
    readme = README.format(
        n_members=ensemble.n_members,
        elements=", ".join(ensemble.elements),
        lines=loading_lines(Path(name), ensemble.n_members),
    )
    files = {
        "README": readme.encode(),
        PARAMS: params_text(ensemble.spec, ensemble.elements).encode(),
        ATOMIC_ENERGIES: atomic_energies_text(common_ha.tolist(), ensemble.elements).encode(),
    }
    for member in range(ensemble.n_members):
        for element, symbol in enumerate(ensemble.elements):
            rest_ha = float(shift_ha[member, element] - common_ha[element])
            network = _network(ensemble, member, element, rest_ha)
            for file, content in network_files(symbol, network).items():
                files[f"train{member}/networks/{file}"] = content
    return files


def _network(ensemble: AniEnsemble, member: int, element: int, rest_ha: float) -> NeuroChemNetwork:
    """Return one network as NeuroChem has it: (n_out, n_in), the last layer in hartree plus ``rest_ha``."""
    weights, biases = (
        [layer[member].double().cpu().numpy() for layer in layers[element]]
        for layers in (ensemble.networks.weights, ensemble.networks.biases)
    )
    weights[-1] = weights[-1] / Hartree
    biases[-1] = biases[-1] / Hartree + rest_ha
    return NeuroChemNetwork(
        weights=tuple(weight.T.astype(np.float32) for weight in weights),
        biases=tuple(bias[0].astype(np.float32) for bias in biases),
    )


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(_fail(f"{message}; --help shows how it is used", status=2))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m potentials.export_neurochem",
        description="Write an ensemble in NeuroChem's format, which TorchANI reads.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="directory of the ensemble")
    parser.add_argument("out", type=Path, metavar="OUT", help="directory to make")
    return parser


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"error: {message}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
