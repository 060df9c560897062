"""Numbers of a study with their error bars, and what leaves it: JSON, CSV, a picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from potentials.durable import replace_file
from potentials.training.errors import Errors
from workflow.storage.files import write_json_atomic
from workflow.studying.trainings import Trained

METRICS = {
    "energy_rmse_mev_per_atom": "energy RMSE, meV/atom",
    "energy_mae_mev_per_atom": "energy MAE, meV/atom",
    "force_rmse_ev_per_ang": "force RMSE, eV/Å",
    "force_mae_ev_per_ang": "force MAE, eV/Å",
}
"""What is measured, by the names of `potentials.training.errors.Errors`."""


@dataclass(frozen=True)
class Bar:
    """Mean and standard deviation over seeds; the latter is not-a-number for a single one."""

    mean: float
    std: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Bar:
        """Return those of the finite numbers among ``values``."""
        finite = np.array([value for value in values if math.isfinite(value)], dtype=np.float64)
        if not finite.size:
            return cls(math.nan, math.nan, 0)
        std = float(finite.std(ddof=1)) if finite.size > 1 else math.nan
        return cls(float(finite.mean()), std, finite.size)

    def text(self, digits: int = 3) -> str:
        """Return such as ``1.21 ± 0.05``; a dash where there is nothing."""
        if not self.n:
            return "–"
        text = f"{self.mean:.{digits}g}"
        return text if math.isnan(self.std) else f"{text} ± {self.std:.2g}"

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "mean": None if math.isnan(self.mean) else self.mean,
            "std": None if math.isnan(self.std) else self.std,
            "n": self.n,
        }


def over_seeds(trained: Sequence[Trained], test: str, metric: str) -> Bar:
    """Return one error of ensembles that differ in their seed."""
    return Bar.of(float(getattr(errors, metric)) for result in trained if (errors := result.errors.get(test)))


def error_rows(trained: Sequence[Trained], tests: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each ensemble and test set; one that failed has a remark and no numbers."""
    rows = []
    for result in trained:
        for test in tests:
            errors: Errors | None = result.errors.get(test)
            rows.append(
                {
                    "trained_on": result.name,
                    "n_labels": result.n_labels,
                    "seed": result.seed,
                    "tested_on": test,
                    "n_frames": errors.n_frames if errors else 0,
                    **{metric: getattr(errors, metric) if errors else None for metric in METRICS},
                    "remark": result.remark,
                }
            )
    return rows


def write_results(
    out: Path, name: str, results: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], picture: str
) -> list[Path]:
    """Write ``NAME.json`` (results and rows), ``NAME.csv`` (rows) and ``NAME.svg``; return the files."""
    out.mkdir(parents=True, exist_ok=True)
    files = [out / f"{name}.{suffix}" for suffix in ("json", "csv", "svg")]
    write_json_atomic(files[0], {"format": 1, **results, "ensembles": list(rows)})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_file(files[1], text.getvalue().encode())
    replace_file(files[2], picture.encode())
    return files


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return a table as text: the first column to the left, all others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    )
