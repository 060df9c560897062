"""A rival for tests of the benchmark: repeats, fails or leaves as it is told."""

from __future__ import annotations

import os
import sys
from typing import Never

from benchmarks.peers.client import serve


def fail() -> Never:
    sys.stdout.write("libraries may print\n")
    raise ValueError("no")


if __name__ == "__main__":
    serve({"echo": lambda word: word, "fail": fail, "leave": lambda: os._exit(3)})
