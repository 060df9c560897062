"""Builds the optional C++ kernel; everything else is in pyproject.toml.

``SMELTER_MARCH`` chooses the processor to build for (``-march=``, default ``native``; empty for the compiler's
own default), for example ``SMELTER_MARCH=x86-64-v3`` on a login node newer than the compute nodes.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-pthread"]
QUIET = ["-g0", "-Wno-ignored-attributes"]


class BuildKernel(build_ext):
    """Adds the processor's flag where the compiler knows it."""

    def build_extension(self, ext: Extension) -> None:
        """Compile, for the chosen processor where that can be had."""
        march = os.environ.get("SMELTER_MARCH", "native")
        if march and self._accepts(f"-march={march}"):
            ext.extra_compile_args.append(f"-march={march}")
        super().build_extension(ext)

    def _accepts(self, flag: str) -> bool:
        with tempfile.TemporaryDirectory() as directory:
            source = Path(directory, "empty.cpp")
            source.touch()
            command = [*self.compiler.compiler_cxx[:1], flag, "-c", source, "-o", source.with_suffix(".o")]
            return subprocess.run(command, check=False, capture_output=True).returncode == 0


kernel = Extension(
    "potentials.kernels._descriptors",
    ["potentials/kernels/descriptors.cpp"],
    extra_compile_args=FLAGS + QUIET,
    extra_link_args=["-pthread"],
    language="c++",
    optional=True,
)
setup(ext_modules=[kernel], cmdclass={"build_ext": BuildKernel})
