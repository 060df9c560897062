"""NeuroChem's files, read and written: descriptor constants, networks, energies of lone atoms."""

from __future__ import annotations

import bz2
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from potentials.descriptors import DescriptorSpec

Floats = NDArray[np.float32]
CELU, LINEAR = 9, 6
"""NeuroChem's numbers for the activations CELU (α = 0.1) and none."""
CELU_ALPHA = 0.1
LAYER = """\
layer [
nodes={n_out};
activation={activation};
type=0;
blocksize={n_in};
dropout=0;
dropset=0.000000;
maskupdate=0.000000;
maxnorm=0;
norm=0.000000;
normupdate=0.000000;
l2norm=0;
l2valu=0.000000;
btchnorm=0;
weights=FILE:{weights};
biases=FILE:{biases};
]
"""
"""One layer of a layout; all regularisation is off, as after training."""


class NeuroChemError(ValueError):
    """A file is missing or is not what NeuroChem writes; the message names it."""


@dataclass(frozen=True)
class NeuroChemNetwork:
    """One element's network of one member: weights of shape (n_out, n_in) as stored, biases (n_out,)."""

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]


def read_params(path: Path) -> tuple[DescriptorSpec, tuple[str, ...]]:
    """Read a ``.params`` file: the constants of the descriptors, and the elements in order."""
    entries = dict(re.findall(r"^\s*(\w+)\s*=\s*(.*?)\s*$", _text(path), flags=re.MULTILINE))

    def entry(name: str) -> str:
        if name not in entries:
            raise NeuroChemError(f"{path}: no entry {name}; expected one line '{name} = ...'")
        return str(entries[name])

    def floats(name: str) -> tuple[float, ...]:
        try:
            return tuple(float(item) for item in entry(name).strip("[]").split(","))
        except ValueError:
            raise NeuroChemError(f"{path}: {name} = {entry(name)}; expected numbers") from None

    def one(name: str) -> float:
        values = floats(name)
        if len(values) != 1:
            raise NeuroChemError(f"{path}: {name} has {len(values)} values; expected one")
        return values[0]

    elements = tuple(symbol.strip() for symbol in entry("Atyp").strip("[]").split(","))
    spec = DescriptorSpec(
        n_elements=len(elements),
        radial_cutoff_ang=one("Rcr"),
        angular_cutoff_ang=one("Rca"),
        radial_shifts_ang=floats("ShfR"),
        radial_eta_per_ang2=one("EtaR"),
        angular_shifts_ang=floats("ShfA"),
        angular_eta_per_ang2=one("EtaA"),
        angle_shifts_rad=floats("ShfZ"),
        zeta=one("Zeta"),
    )
    return spec, elements


def read_network(path: Path, n_features: int) -> NeuroChemNetwork:
    """Read a ``.nnf`` file and the raw float32 weights beside it."""
    layout = _layout(path)
    layers = re.findall(r"layer\s*\[(.*?)\n\s*\]", layout, flags=re.DOTALL)
    if not layers:
        raise NeuroChemError(f"{path}: no layer found; expected 'layer [ ... ]'")
    weights, biases = [], []
    n_in = n_features
    for number, layer in enumerate(layers, start=1):
        where = f"{path}: layer {number}"
        n_out = int(_setting(where, layer, r"nodes=(\d+);"))
        _check_activation(where, layer, LINEAR if number == len(layers) else CELU)
        weight_file, bias_file = (
            path.parent / _setting(where, layer, rf"{kind}=FILE:([^\[;]+)") for kind in ("weights", "biases")
        )
        weights.append(_raw(weight_file, (n_out, n_in)))
        biases.append(_raw(bias_file, (n_out,)))
        n_in = n_out
    if n_in != 1:
        raise NeuroChemError(f"{path}: the last layer has {n_in} nodes; expected 1")
    return NeuroChemNetwork(tuple(weights), tuple(biases))


def read_atomic_energies(path: Path, elements: Sequence[str]) -> tuple[float, ...]:
    """Read ``sae_linfit.dat``: the energy of a lone atom of each element, hartree."""
    found = dict(re.findall(r"^\s*([A-Z][a-z]?)\s*,\s*\d+\s*=\s*(\S+)\s*$", _text(path), flags=re.MULTILINE))
    missing = [symbol for symbol in elements if symbol not in found]
    if missing:
        raise NeuroChemError(f"{path}: no energy of {', '.join(missing)}; expected '{missing[0]},0=number'")
    try:
        return tuple(float(found[symbol]) for symbol in elements)
    except ValueError as error:
        raise NeuroChemError(f"{path}: {error}") from None


def params_text(spec: DescriptorSpec, elements: Sequence[str]) -> str:
    """Return a ``.params`` file that `read_params` gives back exactly."""

    def numbers(values: Sequence[float]) -> str:
        return f"[{','.join(repr(value) for value in values)}]"

    lines = (
        "TM = 1",
        f"Rcr = {spec.radial_cutoff_ang!r}",
        f"Rca = {spec.angular_cutoff_ang!r}",
        f"EtaR = {numbers([spec.radial_eta_per_ang2])}",
        f"ShfR = {numbers(spec.radial_shifts_ang)}",
        f"Zeta = {numbers([spec.zeta])}",
        f"ShfZ = {numbers(spec.angle_shifts_rad)}",
        f"EtaA = {numbers([spec.angular_eta_per_ang2])}",
        f"ShfA = {numbers(spec.angular_shifts_ang)}",
        f"Atyp = [{','.join(elements)}]",
    )
    return "\n".join(lines) + "\n"


def network_files(symbol: str, network: NeuroChemNetwork) -> dict[str, bytes]:
    """Return the layout and the raw weights of one element's network, by file name."""
    name = f"ANN-{symbol}.nnf"
    n_layers = len(network.weights)
    n_features = network.weights[0].shape[1]
    files, layers = {}, []
    for number, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True), start=1):
        n_out, n_in = weight.shape
        layers.append(
            LAYER.format(
                n_out=n_out,
                n_in=n_in,
                activation=LINEAR if number == n_layers else CELU,
                weights=f"{name}-l{number}.wparam[{weight.size}]",
                biases=f"{name}-l{number}.bparam[{bias.size}]",
            )
        )
        files[f"{name}-l{number}.wparam"] = weight.astype("<f4").tobytes()
        files[f"{name}-l{number}.bparam"] = bias.astype("<f4").tobytes()
    text = f"inputsize={n_features};\natom_net {symbol} $\n{''.join(layers)}\n $\0".encode()
    return {name: b"%d=\n" % len(text) + bz2.compress(text), **files}


def atomic_energies_text(energies_ha: Sequence[float], elements: Sequence[str]) -> str:
    """Return ``sae_linfit.dat``: the energy of a lone atom of each element, hartree."""
    pairs = zip(elements, energies_ha, strict=True)
    return "".join(f"{symbol},{index}={energy!r}\n" for index, (symbol, energy) in enumerate(pairs))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NeuroChemError(f"{path}: cannot be read: {error}") from None


def _layout(path: Path) -> str:
    """Return the text of a ``.nnf`` file: a line of lengths ending in '=', then the text packed by bzip2."""
    try:
        content = path.read_bytes()
        start = content.index(b"BZh")
        return bz2.BZ2Decompressor().decompress(content[start:]).decode()
    except (OSError, ValueError) as error:
        raise NeuroChemError(f"{path}: no network layout packed by bzip2: {error}") from None


def _setting(where: str, layer: str, pattern: str) -> str:
    match = re.search(pattern, layer)
    if match is None:
        raise NeuroChemError(f"{where}: nothing matches '{pattern}'")
    return match[1]


def _check_activation(where: str, layer: str, expected: int) -> None:
    found = int(_setting(where, layer, r"activation=(\d+);"))
    if found != expected:
        raise NeuroChemError(f"{where}: activation {found}; expected {expected}")


def _raw(path: Path, shape: tuple[int, ...]) -> Floats:
    """Read little-endian float32 numbers of a known count, row-major."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NeuroChemError(f"{path}: cannot be read: {error}") from None
    expected = 4 * int(np.prod(shape))
    if len(content) != expected:
        raise NeuroChemError(f"{path}: {len(content)} bytes; expected {expected} for float32 {shape}")
    values = np.frombuffer(content, dtype="<f4").reshape(shape)
    if not np.isfinite(values).all():
        raise NeuroChemError(f"{path}: holds numbers that are not finite")
    return values
