"""Asks a program which version it is."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from qm.program import program_environment, run_program
from qm.program_config import ProgramConfig

_VERSION_S = 60.0


def ask_version(
    config: ProgramConfig,
    words: Callable[[list[str]], list[str]],
    read: Callable[[str], str | None],
    files: Mapping[str, str] | None = None,
) -> str:
    """Return the version that a program says it is, started alone.

    Parameters
    ----------
    words
        From the words of the settings' command to those that start it.
    read
        Finds the version in what it prints.
    files
        Files that it needs, by name.

    Raises
    ------
    ValueError
        If there is no such program, or it does not say.
    """
    command = shlex.split(config.command)
    program = command[0] if command else ""
    environment = program_environment(1, config.environment)
    if shutil.which(program, path=environment.get("PATH", os.defpath)) is None:
        raise ValueError(f"command: there is no program {program!r} on this machine's PATH")
    with TemporaryDirectory() as scratch:
        directory = Path(scratch)
        for name, content in (files or {}).items():
            (directory / name).write_text(content)
        run_program(
            words(command),
            directory,
            output=directory / "out",
            errors=directory / "err",
            timeout_s=_VERSION_S,
            environment=environment,
        )
        found = read((directory / "out").read_text(errors="replace"))
        if found is None:
            said = (directory / "err").read_text(errors="replace").strip().splitlines()
            raise ValueError(
                f"command: {program} does not say its version"
                f"{f' but {said[-1][:200]!r}' if said else ''}; give it as labeller.version"
            )
        return found
