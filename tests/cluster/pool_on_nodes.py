"""Run inside an allocation: says which GPU each worker of the pool has."""

from __future__ import annotations

import sys
from concurrent.futures import wait
from pathlib import Path

import pool_tasks as tasks

from site_configs.load import load_site
from workflow.execution.pool import ParslPool


def main() -> None:
    site, directory = load_site(sys.argv[1]), Path(sys.argv[2])
    with ParslPool(site, directory / "logs", directory.name) as pool:
        futures = [
            pool.submit(role, tasks.hold_gpu, directory, f"{role}-{i}", n)
            for role, n in pool.roles.items()
            for i in range(n)
        ]
        wait(futures, 120)
        for future in futures:
            result = future.result(0)
            sys.stdout.write(f"{result.ok} {result.worker} {result.host} {result.value} {result.error}\n")


if __name__ == "__main__":
    main()
