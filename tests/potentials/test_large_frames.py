"""How memory grows with the number of atoms, in a process of its own for each size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("large_frame.py")


def evaluate(*repeats: int) -> dict[str, float]:
    """Return atoms and memory of a process that evaluates so many cubic cells of FCC."""
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, repeats)],
        capture_output=True,
        text=True,
        check=False,
        cwd=SCRIPT.parents[2],
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, float] = json.loads(ran.stdout)
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_thousand_atoms_fit_and_memory_grows_as_their_number() -> None:
    sizes = [evaluate(12, 12, 10), evaluate(25, 25, 40)]
    assert [size["n_atoms"] for size in sizes] == [5_760, 100_000]
    small, large = ((size["peak_gib"] - size["before_gib"]) * 2**20 / size["n_atoms"] for size in sizes)
    assert sizes[-1]["peak_gib"] < 8.0
    assert small > 1.0  # KiB per atom: it was measured at all
    assert large < 2.25 * small  # the list's own arrays grow by doubling
