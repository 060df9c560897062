"""Workers of one node get cores of their own, as far as the node has what its site says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from site_configs.binding import Core, CoreShare, cores_among, threads_of_worker
from site_configs.launch_variables import CORES, LAUNCHER
from site_configs.load import load_site
from site_configs.roles import ROLES

TWO_THREADS: list[Core] = [(0, 4), (1, 5), (2, 6), (3, 7)]


def test_threads_are_sorted_by_socket_and_core(tmp_path: Path) -> None:
    """Two sockets of two cores with two threads each, numbered as the kernel often does."""
    for thread in range(8):
        folder = tmp_path / f"cpu{thread}/topology"
        folder.mkdir(parents=True)
        (folder / "physical_package_id").write_text(f"{thread % 2}\n")
        (folder / "core_id").write_text(f"{thread // 2 % 2}\n")
    assert cores_among(range(8), tmp_path) == [(0, 4), (2, 6), (1, 5), (3, 7)]
    assert cores_among({1, 2, 6}, tmp_path) == [(2, 6), (1,)]
    assert cores_among({3, 8}, tmp_path / "nothing") == [(3,), (8,)]


@pytest.mark.parametrize(
    ("share", "rank", "expected"),
    [
        (CoreShare(0, 1, 4), 0, (0, 4)),
        (CoreShare(1, 1, 4), 2, (3, 7)),
        (CoreShare(2, 2, 4), 0, (2, 6, 3, 7)),
        (CoreShare(2, 2, 8), 1, (2, 6)),  # the site counts hardware threads
        (CoreShare(0, 1, 9), 0, None),  # fewer than the site says
        (CoreShare(0, 4, 4), 1, None),
        (CoreShare(3, 2, 9, 4), 1, (2, 6, 3, 7)),  # a resource set of its own
        (CoreShare(1, 1, 4, 3), 2, (3, 7)),  # a resource set that is not kept to
        (CoreShare(0, 1, 8, 3), 0, None),
    ],
)
def test_a_worker_has_its_own_cores(share: CoreShare, rank: int, expected: Core | None) -> None:
    assert CoreShare.read(str(share)) == share
    assert threads_of_worker(share, rank, TWO_THREADS) == expected


@pytest.mark.parametrize("name", ["perlmutter", "sierra", "chicoma"])
def test_no_core_of_a_node_is_given_twice(name: str) -> None:
    site = load_site(name, {"account": "m1", "nodes": 3})
    assert not hasattr(site, "cores")
    for node in range(3):
        given = [
            slice_.first_core + i
            for role in ROLES
            for slice_ in site.role(role).slices
            if slice_.first_node <= node < slice_.first_node + slice_.n_nodes
            for i in range(slice_.cores)
        ]
        assert sorted(given) == list(range(len(given)))
        assert len(given) <= site.node.cores


def test_ranks_that_srun_starts_are_told_their_workers_cores() -> None:
    own = min(os.sched_getaffinity(0))
    code = "import os; from site_configs.binding import bind; bind()\n"
    code += f"print(os.environ['{LAUNCHER}'], sorted(os.sched_getaffinity(0)))"
    n_cores = len(cores_among(os.sched_getaffinity(0)))
    launcher = "srun --overlap --cpu-bind=cores -n 2"

    def said(share: CoreShare) -> str:
        environment = {**os.environ, CORES: str(share), LAUNCHER: launcher}
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    if n_cores > 1:
        threads = cores_among(os.sched_getaffinity(0))[0]
        mask = sum(1 << thread for thread in threads)
        expected = f"srun --overlap --cpu-bind=mask_cpu:{mask:#x} -n 2 {list(threads)}"
        assert own in threads
        assert said(CoreShare(0, 1, n_cores)) == expected
    everywhere = f"{launcher} {sorted(os.sched_getaffinity(0))}"
    assert said(CoreShare(0, n_cores, n_cores)) == everywhere  # the label has the node for itself
    assert said(CoreShare(0, 1, 10_000)) == everywhere
