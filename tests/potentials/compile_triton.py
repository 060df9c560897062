"""Compile the Triton programs for CUDA cards of the given compute capabilities; no card is needed.

Prints what NVIDIA's assembler says of registers and of what did not fit into them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from potentials.config import AniConfig
from potentials.descriptors import DescriptorSpec
from potentials.kernels import triton_code as code
from potentials.kernels.triton import TritonKernel

POINTERS = {"species": "i64", "first_pair": "i64", "neighbour": "i64", "ends": "i32", "order": "i32"}
NUMBERS = {"n_atoms": "i32", "n_pairs": "i32"}


def compiled(program: Any, constants: dict[str, Any], capability: int) -> Any:
    names = program.arg_names
    signature = {
        name: "constexpr" if name in constants else NUMBERS.get(name, "*" + POINTERS.get(name, "fp32"))
        for name in names
    }
    places = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(program, signature, places)
    return triton.compile(source, GPUTarget("cuda", capability, 32), {"num_warps": 1})


def report(program: Any, architecture: str) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(program.asm["ptx"])
        file.flush()
        assembler = Path(triton.__file__).parent / "backends/nvidia/bin/ptxas"
        command = [assembler, "-v", f"-arch={architecture}", file.name, "-o", "/dev/null"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def main(capabilities: list[int]) -> None:
    kernel = TritonKernel(DescriptorSpec.from_config(AniConfig(), 1))
    for program, constants in (
        (code.sort_neighbours, kernel.sorting_constants),
        (code.sum_features, {**kernel.constants, "PUSH": False}),
        (code.sum_features, {**kernel.constants, "PUSH": True}),
        (code.pull_back, kernel.constants),
    ):
        for capability in capabilities:
            architecture = f"sm_{capability}{'a' * (capability >= 90)}"
            sys.stdout.write(report(compiled(program, constants, capability), architecture))


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]])
