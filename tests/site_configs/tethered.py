"""A module for the tether to run: says what it was given, starts a program, and stays."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    program = subprocess.Popen(["sleep", "600"], start_new_session=True)
    sys.stdout.write(f"{__name__} {sys.argv[1:]}\n")
    sys.stdout.flush()
    Path(sys.argv[1]).write_text(str(program.pid))
    time.sleep(600)
