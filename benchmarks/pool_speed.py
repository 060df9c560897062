"""Tasks per second and latency of the worker pool with tasks that do nothing.

    python -m benchmarks.pool_speed [--tasks 2000] [--site local]

Prints what one task costs the pool: the rate with all tasks submitted at once, and the time from submitting
one task to its result with nothing else to do. The label source or the dynamics of a real task come on top.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from site_configs.load import load_site
from workflow.execution.pool import ParslPool, Pool

nothing = time.time  # importable on the workers, as a function of this script would not be


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--site", default="local")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        began = time.perf_counter()
        with ParslPool(load_site(options.site), Path(directory) / "logs", f"benchmark-{began}") as pool:
            pool.submit("labelling", nothing).result(120)
            print(f"first result after       {time.perf_counter() - began:8.2f} s")
            measure(pool, options.tasks)
            began = time.perf_counter()
        print(f"close                    {time.perf_counter() - began:8.2f} s")


def measure(pool: Pool, n_tasks: int) -> None:
    """Print rate, cost to the driver, and latency."""
    before_s, began = time.process_time(), time.perf_counter()
    futures = [pool.submit("labelling", nothing) for _ in range(n_tasks)]
    for future in futures:
        future.result(120)
    wall_s, driver_s = time.perf_counter() - began, time.process_time() - before_s
    print(f"rate                     {n_tasks / wall_s:8.0f} tasks/s")
    print(f"driver's processor time  {driver_s / n_tasks * 1e3:8.2f} ms a task")
    latencies_ms = []
    for _ in range(200):
        began = time.perf_counter()
        pool.submit("labelling", nothing, timeout_s=60).result(120)
        latencies_ms.append((time.perf_counter() - began) * 1e3)
    median, p95 = statistics.median(latencies_ms), statistics.quantiles(latencies_ms, n=20)[-1]
    print(f"latency                  {median:8.2f} ms, 95 % below {p95:.2f} ms")


if __name__ == "__main__":
    main()
