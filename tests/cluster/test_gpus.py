"""On a real Slurm every worker has its GPU, and one that was not given any is found out."""

from __future__ import annotations

from collections import Counter


def gpus_of_workers(tiny, n_nodes: int, gpus_per_node: int) -> list[tuple[bool, str, str, str, str]]:
    """Run a pool inside an allocation; return for each task: ok, worker, host, GPU, error."""
    wanted = [f"--nodes={n_nodes}", f"--gpus-per-node={gpus_per_node}"]
    rows = [line.split(" ", 4) for line in tiny.run_in_allocation("pool_on_nodes.py", *wanted)]
    return [(ok == "True", worker, host, gpu, error) for ok, worker, host, gpu, error in rows]


def test_every_gpu_has_its_workers_and_no_others(campaign):
    sharing = {"sampling": {"gpus": "rest", "workers_per_gpu": 2}, "labelling": {"nodes": 1, "workers": 1}}
    tiny = campaign(sharing)
    rows = gpus_of_workers(tiny, n_nodes=3, gpus_per_node=2)
    assert all(ok for ok, *_ in rows), rows
    users = Counter((host, gpu) for _, _, host, gpu, _ in rows if gpu != "none")
    training = [(host, gpu) for _, worker, host, gpu, _ in rows if worker.startswith("training")]
    assert training == [("sn1", "0")]
    expected = {(node, gpu): 2 for node in tiny.slurm.nodes for gpu in "01"}
    assert users == {**expected, ("sn1", "0"): 1}


def test_a_job_without_the_gpus_that_its_site_states_fails_loudly(campaign):
    tiny = campaign({"nodes": 1, "gpu_request": "none"})
    rows = {worker: (ok, error) for ok, worker, *_, error in gpus_of_workers(tiny, 1, gpus_per_node=1)}
    assert rows["training/0"] == (True, "")
    ok, error = rows["sampling/0"]
    assert not ok
    assert "GpuError" in error
    assert "is to use GPU 1 (counted from 0), but its step was given 1: 0" in error
