"""Texts of a site's settings that reach a shell or a scheduler: each kind says what it may hold.

Nothing else is put into scripts unquoted. Only ``environment`` holds commands, and they are the user's own.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]*")
_EXPRESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@+&|()\[\]*,=-]*")
_OPTION = re.compile(r"--?[A-Za-z0-9][A-Za-z0-9_.:@+=,/%&|()\[\]*-]*( [A-Za-z0-9_.:@+=,/%&|()\[\]*-]+)?")
_PATH = re.compile(r"(/|\$[A-Z_]+)[A-Za-z0-9_./$@+-]*")


def _matching(pattern: re.Pattern[str], expected: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"expected {expected}")
        return text

    return AfterValidator(check)


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("expected one line of shell")
    return text


Name = Annotated[str, _matching(_NAME, "a name of letters, digits and any of _ . @ + -")]
"""An account, queue, quality of service, network interface."""
Expression = Annotated[str, _matching(_EXPRESSION, "features joined by & or |, such as gpu&hbm80g")]
"""What Slurm takes as a constraint."""
Option = Annotated[str, _matching(_OPTION, "one option such as --licenses=scratch or -alloc_flags gpumps")]
"""One more option for the scheduler or the launcher."""
ScratchPath = Annotated[str, _matching(_PATH, "an absolute path, in which $NAME stands for a variable")]
"""A directory on the nodes."""
Command = Annotated[str, AfterValidator(_one_line)]
"""A line of shell that prepares the environment."""
