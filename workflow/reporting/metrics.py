"""``metrics.csv``: one row per round, units in the column names, always rewritten whole from the ledger."""

from __future__ import annotations

import csv
import io
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from potentials.durable import replace_file
from workflow.ledger import read_ledger
from workflow.reporting.rounds import RoundRow, round_rows

METRICS_NAME = "metrics.csv"


def write_metrics(directory: Path) -> Path:
    """Write ``metrics.csv`` of the campaign in ``directory`` from its ledger; return the file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(RoundRow)])
    for row in round_rows(read_ledger(directory)):
        writer.writerow([_cell(value) for value in astuple(row)])
    path = directory / METRICS_NAME
    replace_file(path, text.getvalue().encode())
    return path


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return int(value)
    return f"{value:.6g}" if isinstance(value, float) else value
