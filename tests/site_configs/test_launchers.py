"""How managers are started on the nodes: the lines are run by a shell, with a stand-in for the launcher."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from site_configs.config import BatchSite
from site_configs.launchers import SliceLauncher
from site_configs.load import load_site
from site_configs.roles import Role

SAY = 'echo "$WORD $SMELTER_WORKERS $PARSL_CORES ${SMELTER_GPUS-none} ${CUDA_VISIBLE_DEVICES-unset}"'


@pytest.fixture
def started(tmp_path: Path):
    """Return a function that gives, for each start, the launcher's options and what the command said."""
    stand_in = tmp_path / "bin/launcher"
    stand_in.parent.mkdir()
    stand_in.write_text(
        '#!/bin/bash\noptions=()\nwhile [ "$1" != bash ]; do options+=("$1"); shift; done\n'
        f'said=$("$@")\necho "${{options[*]}} -> $said" >> {tmp_path}/starts\nexit ${{STATUS:-0}}\n'
    )
    stand_in.chmod(0o755)
    for name in ("srun", "jsrun", "mpiexec"):
        (stand_in.parent / name).symlink_to(stand_in)

    def run(
        site: BatchSite, role: Role, command: str = SAY, status: int = 0, **more: str
    ) -> list[tuple[str, str]]:
        launcher = SliceLauncher(site.role(role).slices, {"WORD": "it's"}, site)
        part = site.role(role)
        environment = {
            **os.environ,
            "PATH": f"{stand_in.parent}:{os.environ['PATH']}",
            "SLURM_CPUS_ON_NODE": "128",
            "STATUS": str(status),
            **more,
        }
        lines = launcher(command, 1, part.n_nodes)
        done = subprocess.run(["bash", "-c", lines], env=environment, capture_output=True, text=True)
        assert done.returncode == status
        starts = (tmp_path / "starts").read_text().splitlines() if site.launcher != "none" else [done.stdout]
        return sorted(tuple(start.split(" -> ")) for start in starts)

    return run


def test_srun_reaches_the_nodes_by_their_place_and_shares_them(started) -> None:
    first, others = started(load_site("perlmutter"), "sampling")
    assert "--relative=0 --nodes=1 --ntasks=1 " in first[0]
    assert "--relative=1 --nodes=3 --ntasks=3 " in others[0]
    for options, _ in (first, others):
        assert "--cpus-per-task=128" in options  # whatever Slurm counts as one
        assert "--overlap" in options  # else the next executor would wait for its turn
        assert "--gpus-per-node=4" in options  # all: the slice says which
    assert first[1] == "it's 3 3 1,2,3 unset"
    assert others[1] == "it's 4 4 0,1,2,3 unset"


def test_roles_without_gpus_see_none(started) -> None:
    assert started(load_site("perlmutter", {"nodes": 1}), "labelling")[0][1] == "it's 45 45 none "


def test_jsrun_is_asked_for_every_core_and_gpu_and_counts_from_0(started) -> None:
    first, others = started(load_site("sierra"), "sampling")
    usual = "--rs_per_host=1 --tasks_per_rs=1"
    assert first == (f"--nrs=1 {usual} --cpu_per_rs=3 --gpu_per_rs=3 --bind=none", "it's 3 3 0,1,2 unset")
    assert others == (f"--nrs=3 {usual} --cpu_per_rs=4 --gpu_per_rs=4 --bind=none", "it's 4 4 0,1,2,3 unset")


@pytest.mark.parametrize(
    ("labelling", "relative", "place"),
    [
        ({"nodes": 4, "workers": 1, "nodes_per_worker": 2}, ["1", "3"], ["=1 --nodes=2", "=3 --nodes=2"]),
        ({"nodes": 4, "workers": 1}, ["1"], ["=1 --nodes=1"]),
    ],
)
def test_labels_are_started_on_the_nodes_of_their_worker(
    started, labelling: dict[str, object], relative: list[str], place: list[str]
) -> None:
    site = load_site(
        "slurm", {"nodes": 5, "labelling": {"exclusive": True, **labelling}, "launcher_options": ["-u"]}
    )
    assert site.role("labelling").workers == 4 // labelling.get("nodes_per_worker", 1)
    starts = started(site, "labelling", 'echo "$SMELTER_LAUNCHER"', SLURM_NODEID="0")
    n = 4 // labelling.get("nodes_per_worker", 1) // len(starts)
    assert [options.split()[2:5] for options, _ in starts] == [
        [f"--relative={first}", f"--nodes={n}", f"--ntasks={n}"] for first in relative
    ]
    usual = "srun --overlap --cpu-bind=cores --relative"
    assert [said for _, said in starts] == [f"{usual}{where} -u" for where in place]


def test_each_node_of_a_step_starts_its_labels_where_it_is(started) -> None:
    site = load_site("slurm", {"nodes": 3})
    starts = started(site, "labelling", 'echo "$SMELTER_LAUNCHER"', SLURM_NODEID="1")
    assert starts[-1][0].split()[2] == "--relative=1"
    assert "--relative=2 --nodes=1" in starts[-1][1]


def test_what_a_worker_starts_is_no_rank_of_its_step(started) -> None:
    step = {
        "SLURM_JOB_ID": "7",
        "SLURM_JOBID": "7",
        "SLURM_STEP_ID": "1",
        "SLURM_PROCID": "0",
        "SLURM_CONF": "c",
    }
    left = started(load_site("slurm"), "labelling", "env | grep ^SLURM_ | sort | paste -sd,", **step)
    assert [said for _, said in left] == ["SLURM_CONF=c,SLURM_JOB_ID=7"]


def test_mpiexec_and_more_options(started) -> None:
    same = {"training.nodes": "all", "launcher": "mpiexec", "launcher_options": ["-ppn 1"], "nodes": 2}
    assert started(load_site("slurm", same), "training") == [("-n 2 -ppn 1", "it's 1 1 none ")]


def test_without_a_launcher_the_command_runs_here(started) -> None:
    assert started(load_site("slurm", {"launcher": "none"}), "training") == [("it's 1 1 none \n",)]


def test_a_failed_start_is_told(started) -> None:
    started(load_site("perlmutter"), "sampling", status=3)
