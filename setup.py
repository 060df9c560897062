"""Builds the optional C++ code; everything else is in pyproject.toml.

``SMELTER_MARCH`` chooses the processor to build for (``-march=``): by default this machine's, ``native``;
empty for the compiler's own default; ``x86-64-v3``, say, where compute nodes are older than the login node.
"""

from __future__ import annotations

import os
import subprocess

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FLAGS = [
    "-std=c++17",
    "-O3",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-pthread",
    "-g0",
]
QUIET = ["-Wno-ignored-attributes"]

SAME_NAME = (
    *("ssse3", "sse4_1", "sse4_2", "sse4a", "popcnt", "movbe", "bmi2", "adx", "gfni", "vaes", "vpclmulqdq"),
    *("avx", "avx2", "f16c", "fma", "fma4", "xop", "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
    *("avx512ifma", "avx512vbmi"),
)
CPU_FLAGS = {f"__{name.upper()}__": name for name in SAME_NAME} | {
    "__SSE3__": "pni",
    "__LZCNT__": "abm",
    "__BMI__": "bmi1",
    "__AVXVNNI__": "avx_vnni",
    "__AVX512VBMI2__": "avx512_vbmi2",
    "__AVX512VNNI__": "avx512_vnni",
    "__AVX512BITALG__": "avx512_bitalg",
    "__AVX512VPOPCNTDQ__": "avx512_vpopcntdq",
    "__AVX512BF16__": "avx512_bf16",
    "__AVX512FP16__": "avx512_fp16",
    "__ARM_FEATURE_ATOMICS": "atomics",
    "__ARM_FEATURE_DOTPROD": "asimddp",
    "__ARM_FEATURE_FP16_VECTOR_ARITHMETIC": "asimdhp",
    "__ARM_FEATURE_SVE": "sve",
    "__ARM_FEATURE_SVE2": "sve2",
}
"""What the compiler may use, by the name in /proc/cpuinfo: the kernel is not loaded where it is missing."""


class BuildKernel(build_ext):
    """Builds for the chosen processor and records what it must offer."""

    def build_extension(self, ext: Extension) -> None:
        """Compile."""
        march = os.environ.get("SMELTER_MARCH", "native")
        chosen = [f"-march={march}"] if march else []
        macros = self._macros(chosen)
        if macros is None:
            chosen, macros = [], self._macros([])
        required = " ".join(flag for macro, flag in CPU_FLAGS.items() if macro in (macros or ()))
        ext.extra_compile_args += chosen
        ext.define_macros.append(("SMELTER_REQUIRED_CPU_FLAGS", f'"{required}"'))
        super().build_extension(ext)

    def _macros(self, flags: list[str]) -> set[str] | None:
        """Return what the compiler defines under ``flags``, or None where it does not know them."""
        command = [*self.compiler.compiler_cxx, *flags, "-dM", "-E", "-x", "c++", os.devnull]
        try:
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return None
        return {line.split()[1] for line in output.splitlines()}


kernel = Extension(
    "potentials.kernels._descriptors",
    [f"potentials/kernels/{name}.cpp" for name in ("descriptors", "celu", "pairs")],
    depends=["potentials/kernels/neighbours.hpp", "potentials/kernels/simd.hpp"],
    extra_compile_args=FLAGS + QUIET,
    extra_link_args=["-pthread"],
    language="c++",
    optional=True,
)
setup(ext_modules=[kernel], cmdclass={"build_ext": BuildKernel})
