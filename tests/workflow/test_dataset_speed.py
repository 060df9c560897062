"""The benchmark of the data set still runs; its figures are not looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_benchmark_runs(tmp_path):
    command = [sys.executable, "-m", "benchmarks.dataset_speed", "--frames", "20", "--repeats", "2"]
    command += ["--directory", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.rsplit(maxsplit=4) for line in done.stdout.splitlines() if line.startswith("  ")]
    assert {name.strip() for name, *_ in rows[1:]} >= {"merge", "read arrays", "write .npy", "read .npy"}
    assert list(tmp_path.iterdir()) == []
