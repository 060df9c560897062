"""The doctor's job on a real Slurm looks at every node; its GPUs here are device files only."""

from __future__ import annotations

import os
import subprocess
import sys

from virtual_slurm import LONG_S


def test_the_nodes_are_looked_at_and_what_is_wrong_on_them_is_found(campaign):
    tiny = campaign({"nodes": 2, "scratch": "/var/tmp", "labelling": {"nodes": 1, "workers": 1}})
    command = [sys.executable, "-m", "workflow.doctor", "--site", str(tiny.home / "site.yaml")]
    done = subprocess.run(
        [*command, "--directory", str(tiny.directory), "--campaign", str(tiny.home / "tiny.yaml")],
        env={**os.environ, **tiny.slurm.environment},
        capture_output=True,
        text=True,
        timeout=LONG_S,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert all("is built without CUDA" in line for line in lines if line.startswith("wrong")), lines
    good = [line for line in lines if line.startswith("right")]
    for expected in (
        "queue partition gpu takes 2 nodes",
        "scratch /var/tmp is writable",
        f"shared directory {tiny.directory} is shared, files synchronised and renamed on 2 nodes",
        "network the driver is reached at",
        "label code eam can be made",
    ):
        assert any(expected in line for line in good), (expected, lines)
    assert not tiny.directory.exists()
    tiny.wait_until(lambda: not tiny.slurm.run("squeue", "--noheader").strip(), 30)
