"""The whole quickstart campaign on a real Slurm of four nodes, as one batch job or as a pilot; as root.

    python tests/cluster/quickstart_on_nodes.py [--pilot] [--nodes 4]

The nodes share this machine; their GPUs are device files. What ``status`` says from the login node is printed
every half minute, and at the end on which nodes the tasks of each role ran.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

from tiny_campaign import check_books, events  # noqa: E402
from virtual_slurm import N_GPUS, VirtualSlurm, missing  # noqa: E402

LOOK_EVERY_S = 30.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pilot", action="store_true", help="the driver on the login node")
    parser.add_argument("--nodes", type=int, default=4)
    options = parser.parse_args()
    reason = missing()
    if reason is not None:
        sys.exit(reason)
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/var/tmp", ignore_cleanup_errors=True) as place:
        home = Path(place)
        (home / "site.yaml").write_text(yaml.safe_dump(site(options.nodes, pilot=options.pilot)))
        with VirtualSlurm(home / "slurm", options.nodes) as slurm:
            run(slurm, home, home / "campaign")


def site(n_nodes: int, *, pilot: bool) -> dict[str, object]:
    """All roles share the job's nodes; in a pilot each has blocks of one node for itself."""
    blocks = {"blocks": n_nodes - 2} if pilot else {}
    return {
        "kind": "slurm",
        "mode": "pilot" if pilot else "job",
        "queue": "gpu",
        "walltime": 25,
        "notice_s": 60,
        "nodes": 1 if pilot else n_nodes,
        "node": {"cores": 4, "gpus": N_GPUS},
        "require_gpu": False,
        "labelling": {"workers": 1},
        "sampling": {"gpus": 1, **blocks},
    }


def run(slurm: VirtualSlurm, home: Path, directory: Path) -> None:
    environment = {**os.environ, **slurm.environment, "PYTHONPATH": str(ROOT)}
    launch = ["workflow.launch", "--site", home / "site.yaml", "--directory", directory]
    launch += ["--campaign", ROOT / "examples/al_quickstart.yaml"]
    started = time.monotonic()
    with subprocess.Popen(command(*launch), env=environment, cwd=home) as launched:
        while launched.poll() is None or slurm.run("squeue", "--noheader"):
            time.sleep(LOOK_EVERY_S)
            say(f"-- after {time.monotonic() - started:.0f} s")
            subprocess.run(command("workflow.status", directory), env=environment, check=False)
    say(slurm.run("sinfo", "--Node"))
    by_role: dict[str, Counter[str]] = {}
    for task in events(directory, "task"):
        by_role.setdefault(task["role"], Counter())[task["host"]] += 1
    say(json.dumps({role: dict(sorted(hosts.items())) for role, hosts in by_role.items()}, indent=1))
    last = events(directory, "stopped")[-1]
    say(f"{last['state']}: {last['reason']}; {check_books(directory).n_labels} labels")


def command(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
