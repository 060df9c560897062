"""Two labels side by side on one machine, each with two MPI ranks, keep to cores of their own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pool_tasks as tasks
import pytest

from qm.program_config import ProgramConfig
from site_configs.load import load_site
from workflow.execution.pool import ParslPool

AS_ROOT = dict.fromkeys(("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"), "1")


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="needs mpirun (Debian: openmpi-bin)")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_ranks_of_two_labels_share_no_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AS_ROOT.items():
        monkeypatch.setenv(name, value)
    command = ProgramConfig(command="grep", ranks=2).launched(
        "grep", "Cpus_allowed_list", "/proc/self/status"
    )
    site = load_site("local", {"shared.workers": 2, "bind_cores": True})
    with ParslPool(site, tmp_path / "logs", f"bound-{os.getpid()}") as pool:
        labels = [
            pool.submit("labelling", tasks.run_side_by_side, tmp_path, f"label-{i}", 2, command)
            for i in range(2)
        ]
        results = [label.result(120) for label in labels]
    assert all(result.ok for result in results), results
    cores = [[line.split()[1] for line in result.value.splitlines()] for result in results]
    assert [len(ranks) for ranks in cores] == [2, 2]
    assert [len(set(ranks)) for ranks in cores] == [1, 1]  # both ranks have their worker's cores
    assert cores[0][0] != cores[1][0]
    assert all(ranks[0].isdecimal() for ranks in cores) or len(os.sched_getaffinity(0)) > 2
