"""The command that measures our part of a label's time."""

import re
import shutil
import sys

import pytest

from benchmarks import label_overhead
from qm.espresso.gth import DEBIAN

pytestmark = pytest.mark.dft


@pytest.mark.skipif(shutil.which("pw.x") is None or not DEBIAN.exists(), reason="no pw.x or no cp2k-data")
def test_what_is_ours_is_what_is_not_the_program(monkeypatch, capsys):
    words = ["--labels", "2", "--atoms", "2", "--spacing", "9", "--density", "1.5"]
    monkeypatch.setattr(sys, "argv", ["label_overhead", *words])
    label_overhead.main()
    said = capsys.readouterr().out
    found = re.search(r"^ +2 +([\d.]+) +(\d+) +([\d.]+) +(\d+)$", said, re.MULTILINE)
    program_s, ours_ms, program_cpu_s, ours_cpu_ms = map(float, found.groups())
    assert program_s > 0.0
    assert ours_ms > 0.0
    assert program_cpu_s > 0.0
    assert ours_cpu_ms > 0.0
    assert re.search(r"CPU time without the first: ours \d+ ms a label .* % of pw.x's", said)
