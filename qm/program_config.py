"""Settings that label sources share which run a program for each label."""

from __future__ import annotations

import os
import shlex

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator


class ProgramConfig(BaseModel):
    """Where and how a program runs; of all this only its version counts as level of theory."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    command: str
    """The program, by name or path, with arguments if need be."""

    version: str | None = None
    """Its version; asked of the program at the launch where it is not given."""

    max_repairs: NonNegativeInt = 3
    """How many gentler ways to self-consistency are tried when the first fails."""

    launcher: str = "mpirun -n {ranks} --bind-to none"
    """What starts several ranks, put before the command where ``ranks`` is above 1: ``{ranks}`` and
    ``{threads}`` stand for their numbers, ``$NAME`` for an environment variable of the worker; where there is
    ``srun``, ``$SMELTER_LAUNCHER -n {ranks} -c {threads}`` starts them on the worker's own nodes."""

    ranks: PositiveInt = 1
    """MPI ranks of one label."""

    threads: PositiveInt = 1
    """OpenMP threads of each rank."""

    walltime_s: PositiveFloat = 3600.0
    """A label that takes longer than this, in seconds and with its repairs, is ended and counts as failed."""

    max_memory_gib: PositiveFloat | None = None
    """Memory each rank may allocate, GiB; beyond it the label fails (default: no limit)."""

    scratch: str | None = None
    """Directory for a running calculation's large files, best on a disk of the node itself; ``$NAME`` stands
    for an environment variable of the worker. By default they lie in the campaign's directory."""

    environment: dict[str, str] = Field(default_factory=dict)
    """Further environment variables of the program."""

    @field_validator("launcher")
    @classmethod
    def _known_fields(cls, launcher: str) -> str:
        try:
            words = shlex.split(launcher.format(ranks=1, threads=1))
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"launcher may hold {{ranks}} and {{threads}}; found {launcher!r}") from error
        if not words:
            raise ValueError("launcher is empty")
        return launcher

    @property
    def cores(self) -> int:
        """Cores one label occupies."""
        return self.ranks * self.threads

    def launched(self, command: str, *arguments: str) -> list[str]:
        """Return the words that start a program with the settings' ranks and memory."""
        words = [*shlex.split(command), *arguments]
        if self.max_memory_gib is not None:
            words = ["prlimit", f"--data={int(self.max_memory_gib * 2**30)}", *words]
        if self.ranks == 1:
            return words
        return [
            *shlex.split(os.path.expandvars(self.launcher).format(ranks=self.ranks, threads=self.threads)),
            *words,
        ]

    @property
    def scratch_directory(self) -> str | None:
        """``scratch`` with environment variables replaced."""
        return None if self.scratch is None else os.path.expandvars(self.scratch)
