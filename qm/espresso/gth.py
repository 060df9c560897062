"""``python -m qm.espresso.gth Al --out Al.upf``: a pseudopotential for trying things, without a download.

Goedecker, Teter and Hutter's pseudopotentials (Phys. Rev. B 54, 1703 (1996); for PBE: Krack, Theor. Chem.
Acc. 114, 145 (2005)) are a few numbers each. CP2K brings a file of all of them (Debian: ``cp2k-data``).
Here one is put on a radial grid in the format UPF. pw.x can read the numbers themselves too, in a file that
ends in ``.gth``, but its version 6.7 then has wrong stresses in cells of low symmetry.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray
from scipy.special import erf, gamma

from qm.espresso.upf import Projector, upf_text

DEBIAN = Path("/usr/share/cp2k/GTH_POTENTIALS")
FUNCTIONALS = ("BLYP", "PBE")

_RY_PER_HARTREE = 2.0
_LONGEST_BOHR = 100.0
_LOG_START, _LOG_STEP = -7.0, 0.0125


@dataclass(frozen=True)
class Shell:
    """Projectors of one angular momentum: their length, bohr, and their coefficients, hartree, (n, n)."""

    length_bohr: float
    coefficients: NDArray[np.float64]


@dataclass(frozen=True)
class GthPotential:
    """One element's pseudopotential, in hartree and bohr.

    Attributes
    ----------
    electrons
        Valence electrons.
    length_bohr, local
        Length and coefficients of the local part, hartree.
    shells
        Projectors of angular momentum 0, 1, ...
    """

    title: str
    electrons: int
    length_bohr: float
    local: list[float]
    shells: list[Shell]


def convert(text: str, element: str, functional: str = "PBE") -> str:
    """Return one element's pseudopotential as UPF.

    Parameters
    ----------
    text
        CP2K's file of pseudopotentials. Where it has several for the element, that with the fewest electrons
        is taken, which needs the lowest cutoff.

    Raises
    ------
    ValueError
        If there is none.
    """
    potential = read_gth(text, element, functional)
    z = atomic_numbers[element]
    n_points = (
        int((np.log(_LONGEST_BOHR * z) - _LOG_START) / _LOG_STEP) // 2 * 2 + 1
    )  # odd, for Simpson's rule
    r = np.exp(_LOG_START + _LOG_STEP * np.arange(n_points)) / z
    return upf_text(
        title=f"{potential.title}, Goedecker-Teter-Hutter, parameters as in CP2K",
        element=element,
        functional=functional,
        electrons=potential.electrons,
        r_bohr=r,
        log_step=_LOG_STEP,
        local_ry=_RY_PER_HARTREE * local_part(potential, r),
        projectors=[p for momentum, s in enumerate(potential.shells) for p in _projectors(momentum, s, r)],
        density=_starting_density(potential, r),
    )


def local_part(potential: GthPotential, r: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the local potential at distances ``r``, bohr, in hartree (eq. 1 of the paper of 1996)."""
    x = r / potential.length_bohr
    polynomial: NDArray[np.float64] = sum(
        (c * x ** (2 * i) for i, c in enumerate(potential.local)), np.zeros_like(x)
    )
    smooth: NDArray[np.float64] = np.exp(-(x**2) / 2.0) * polynomial
    coulomb: NDArray[np.float64] = potential.electrons / r * erf(x / np.sqrt(2.0))
    return smooth - coulomb


def read_gth(text: str, element: str, functional: str) -> GthPotential:
    """Return the entry of an element in CP2K's file; see :func:`convert`."""
    found = list(_entries(text, element, functional))
    if not found:
        raise ValueError(f"there is no GTH pseudopotential of {element} for {functional}")
    title, words = min(found, key=lambda entry: int(entry[0].rpartition("-q")[2]))
    electrons = 0
    while "." not in words[0]:  # electrons of each angular momentum, then a length
        electrons += int(words.pop(0))
    length = float(words.pop(0))
    local = _take(words, int(words.pop(0)))
    return GthPotential(title, electrons, length, local, [_shell(words) for _ in range(int(words.pop(0)))])


def _shell(words: list[str]) -> Shell:
    length, n = float(words.pop(0)), int(words.pop(0))
    coefficients = np.zeros((n, n))
    for row in range(n):
        coefficients[row, row:] = coefficients[row:, row] = _take(words, n - row)
    return Shell(length, coefficients)


def _entries(text: str, element: str, functional: str) -> Iterator[tuple[str, list[str]]]:
    blocks = "\n".join(line.partition("#")[0].rstrip() or "#" for line in text.splitlines()).split("#")
    for block in blocks:
        title, _, numbers = block.strip().partition("\n")
        names = title.split()
        if len(names) > 1 and names[0] == element and names[1].startswith(f"GTH-{functional}-q"):
            yield f"{names[0]} {names[1]}", numbers.split()


def _take(words: list[str], n: int) -> list[float]:
    taken, words[:n] = words[:n], []
    return [float(word) for word in taken]


def _projectors(momentum: int, shell: Shell, r: NDArray[np.float64]) -> Iterator[Projector]:
    """Yield projectors that do not mix: the coefficients' eigenvectors, with the eigenvalues as strengths."""
    powers = momentum + 2.0 * np.arange(1, len(shell.coefficients) + 1) - 0.5
    x = (r / shell.length_bohr)[:, None]
    # r times the projectors of eq. 3 of the paper of 1996, normalised by ∫ p² r² dr = 1
    columns = np.sqrt(2.0 / (gamma(powers) * shell.length_bohr)) * x ** (powers - 0.5) * np.exp(-(x**2) / 2.0)
    strengths, vectors = np.linalg.eigh(shell.coefficients)
    for strength, vector in zip(strengths, vectors.T, strict=True):
        yield Projector(momentum, columns @ vector, _RY_PER_HARTREE * float(strength))


def _starting_density(potential: GthPotential, r: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 4πr² times a Gaussian with the valence electrons in it, from which pw.x begins."""
    width = 2.5 * potential.length_bohr
    gaussian = np.exp(-((r / width) ** 2)) / (np.pi**1.5 * width**3)
    density: NDArray[np.float64] = potential.electrons * 4.0 * np.pi * r**2 * gaussian
    return density


def main(arguments: Sequence[str] | None = None) -> int:
    """Write one pseudopotential; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m qm.espresso.gth",
        description="Write a pseudopotential of Goedecker, Teter and Hutter, from CP2K's data, as UPF.",
        allow_abbrev=False,
    )
    parser.add_argument("element", metavar="ELEMENT", help="chemical symbol, such as Al")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="such as Al.upf")
    parser.add_argument("--functional", choices=FUNCTIONALS, default="PBE")
    parser.add_argument(
        "--source", type=Path, default=DEBIAN, metavar="FILE", help=f"CP2K's file; by default {DEBIAN}"
    )
    options = parser.parse_args(arguments)
    if options.out.suffix.lower() != ".upf":
        parser.error(
            f"--out {options.out}: expected a name that ends in .upf, by which pw.x knows the format"
        )
    try:
        options.out.write_text(convert(options.source.read_text(), options.element, options.functional))
    except OSError as error:
        sys.stderr.write(f"error: {error.filename}: {error.strerror}\n")
        return 1
    except ValueError as error:
        sys.stderr.write(f"error: {options.source}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
