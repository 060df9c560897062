"""Shows what was found: a table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workflow.diagnosis.finding import Row, Verdict

_COLOURS: dict[Verdict, str] = {"right": "green", "wrong": "bold red", "unknown": "yellow"}


def show(rows: Sequence[Row], stream: TextIO | None = None) -> None:
    """Print one line for each row and, below, how many are right."""
    stream = stream or sys.stdout
    console = Console(file=stream)
    if console.is_terminal and not console.is_dumb_terminal:
        console.print(_table(rows))
    else:
        width = max((len(row.subject) for row in rows), default=0)
        for row in rows:
            remedy = f"; {row.remedy}" if row.remedy else ""
            stream.write(f"{row.verdict:<7}  {row.subject:<{width}}  {row.text}{remedy}\n")
    counts = Counter(row.verdict for row in rows)
    stream.write(", ".join(f"{counts[verdict]} {verdict}" for verdict in _COLOURS if counts[verdict]) + "\n")


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("", "what", "found", "remedy"):
        table.add_column(title)
    for row in rows:
        colour = _COLOURS[row.verdict]
        table.add_row(Text(row.verdict, colour), Text(row.subject), Text(row.text), Text(row.remedy))
    return table
