"""Walltimes as schedulers write them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)")


def parse_walltime(value: Any) -> timedelta:
    """Return a walltime given as ``HH:MM:SS``, ``D-HH:MM:SS`` or a number of minutes.

    Raises
    ------
    ValueError
        If it is none of these, or not positive. ``HH:MM`` is refused: Slurm reads it as minutes and seconds,
        LSF as hours and minutes.
    """
    if isinstance(value, timedelta):
        walltime = value
    elif isinstance(value, int) and not isinstance(value, bool):
        walltime = timedelta(minutes=value)
    elif isinstance(value, str) and value.strip().isdecimal():
        walltime = timedelta(minutes=int(value))
    elif isinstance(value, str) and (match := _CLOCK.fullmatch(value.strip())):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        walltime = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    else:
        raise ValueError("expected HH:MM:SS, D-HH:MM:SS or a number of minutes")
    if walltime <= timedelta(0):
        raise ValueError("expected more than no time")
    return walltime


def clock(walltime: timedelta) -> str:
    """Return a walltime as ``HH:MM:SS``; more than 24 hours stay hours."""
    seconds = round(walltime.total_seconds())
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def whole_minutes(walltime: timedelta) -> int:
    """Return a walltime in minutes, rounded up as schedulers do."""
    return -(-round(walltime.total_seconds()) // 60)


Walltime = Annotated[timedelta, BeforeValidator(parse_walltime), PlainSerializer(clock)]
"""A walltime in settings."""
