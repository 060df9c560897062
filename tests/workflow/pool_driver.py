"""A driver for the tests to kill: busy workers in every role, one of them with a program of its own."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pool_tasks as tasks

from site_configs.load import load_site
from workflow.execution.pool import ParslPool


def main() -> None:
    directory = Path(sys.argv[1])
    pool = ParslPool(load_site("local", {"shared": None}), directory / "logs", directory.name)
    pool.submit("sampling", tasks.sleep_from, directory / "sampling", 600)
    pool.submit("training", tasks.sleep_in_c_from, directory / "training", 600)
    pool.submit("labelling", tasks.run_program_from, directory / "labelling", 600)
    while not all((directory / role).exists() for role in pool.roles):
        time.sleep(0.1)
    sys.stdout.write("busy\n")
    sys.stdout.flush()
    time.sleep(600)


if __name__ == "__main__":
    main()
