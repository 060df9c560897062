"""The nodes of a job are divided among the roles, and nothing is given twice."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from site_configs.division import ClusterRole, NodeConfig, divide, divide_blocks
from site_configs.load import load_site, site_names
from site_configs.roles import ROLES, Part, Role

NODE = NodeConfig(cores=16, gpus=4)


def roles(**settings: dict[str, Any]) -> dict[Role, ClusterRole]:
    defaults: dict[Role, dict[str, Any]] = {
        "sampling": {"gpus": "rest"},
        "training": {"nodes": 1, "gpus": 1, "threads_per_worker": 4},
        "labelling": {"workers": "rest"},
    }
    return {role: ClusterRole(**{**defaults[role], **settings.get(role, {})}) for role in ROLES}


def on_node(parts: dict[str, Part], node: int) -> dict[str, Any]:
    """Return the slice that each role has of one node."""
    return {
        role: slice_
        for role, part in parts.items()
        for slice_ in part.slices
        if slice_.first_node <= node < slice_.first_node + slice_.n_nodes
    }


def test_sampling_has_every_gpu_that_training_has_not() -> None:
    parts = divide(roles(), 100, NODE)
    assert parts["training"].workers == 1
    assert parts["sampling"].workers == 399
    first, other = on_node(parts, 0), on_node(parts, 57)
    assert first["training"].gpus == ("0",)
    assert first["sampling"].gpus == ("1", "2", "3")
    assert first["labelling"].workers == 16 - 4 - 3
    assert other["sampling"].gpus == ("0", "1", "2", "3")
    assert other["labelling"].workers == 16 - 4
    assert "training" not in other


def test_several_workers_on_each_gpu() -> None:
    parts = divide(roles(sampling={"gpus": "rest", "workers_per_gpu": 3}), 2, NODE)
    assert on_node(parts, 0)["sampling"].gpus == ("1",) * 3 + ("2",) * 3 + ("3",) * 3
    assert parts["sampling"].workers == 9 + 12


def test_a_worker_may_have_several_nodes() -> None:
    labelling = {"nodes": 6, "exclusive": True, "nodes_per_worker": 3, "workers": 1}
    for parts in (
        divide(roles(labelling=labelling), 7, NODE),
        divide_blocks(roles(labelling=labelling), 7, NODE),
    ):
        part = parts["labelling"]
        assert part.workers == 2
        assert part.n_nodes == 6
        assert part.slices[0].span == 3


def test_standby_blocks_count_as_blocks_of_the_role() -> None:
    labelling = {"workers": 5, "blocks": 2, "standby": {"queue": "spare", "blocks": 3}}
    part = divide_blocks(roles(labelling=labelling), 2, NODE)["labelling"]
    assert part.workers == (2 + 3) * 2 * 5
    assert part.standby is not None
    assert (part.standby.queue, part.standby.qos) == ("spare", None)


def test_labels_have_whole_nodes_for_themselves() -> None:
    labelling = {"nodes": 3, "exclusive": True, "workers": 1}
    parts = divide(roles(labelling=labelling), 5, NODE)
    assert parts["labelling"].workers == 3
    assert parts["labelling"].slices[0].cores == NODE.cores  # for its MPI ranks
    assert [set(on_node(parts, node)) for node in range(5)] == [
        {"training", "sampling"},
        {"sampling"},
        *[{"labelling"}] * 3,
    ]


def test_a_single_gpu_goes_to_training_on_its_node_and_to_sampling_elsewhere() -> None:
    parts = divide(roles(), 3, NodeConfig(cores=8, gpus=1))
    assert set(on_node(parts, 0)) == {"training", "labelling"}
    assert on_node(parts, 1)["sampling"].gpus == ("0",)


@pytest.mark.parametrize(
    ("changes", "n_nodes", "message"),
    [
        ({"training": {"gpus": 5}}, 2, "training: 5 GPUs asked for, a node has 4"),
        ({"sampling": {"gpus": 4}}, 2, "sampling and training: 5 GPUs asked for, a node has 4"),
        ({"labelling": {"gpus": "rest", "workers": None}}, 2, '"rest" is for one role only'),
        ({"training": {"threads_per_worker": 20}}, 2, "the roles ask for 23 cores of nodes with 16"),
        ({"training": {"nodes": 3}}, 2, "the roles need 3 nodes, but nodes is 2"),
        ({"labelling": {"nodes": 2, "exclusive": True}}, 2, "the roles need 3 nodes, but nodes is 2"),
        ({"sampling": {"workers": 2}}, 2, "a role with GPUs has workers_per_gpu on each"),
        ({"training": {"gpus": 4}}, 1, "sampling gets no worker"),
        (
            {"sampling": {"nodes": 2}, "labelling": {"nodes": 1}},
            4,
            "nodes is 4, but the roles use 2 of them only",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], n_nodes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        divide(roles(**changes), n_nodes, NODE)


@pytest.mark.parametrize("name", [name for name in site_names() if name != "local"])
@pytest.mark.parametrize("n_nodes", [1, 2, 7])
def test_no_core_and_no_gpu_of_a_known_site_is_given_twice(name: str, n_nodes: int) -> None:
    site = load_site(name, {"nodes": n_nodes})
    parts = {role: site.role(role) for role in ROLES}
    for node in range(n_nodes):
        slices = on_node(parts, node).values()
        gpus = list(itertools.chain.from_iterable(set(slice_.gpus) for slice_ in slices))
        assert sorted(gpus) == [str(gpu) for gpu in range(site.node.gpus)]  # none twice, none idle
        assert site.node.cores - 3 <= sum(slice_.cores for slice_ in slices) <= site.node.cores


def test_blocks_are_for_one_role_each() -> None:
    parts = divide_blocks(roles(labelling={"blocks": 5, "nodes": 2, "queue": "standby"}), 3, NODE)
    assert parts["sampling"].workers == 12
    assert parts["training"].workers == 1
    assert parts["labelling"].workers == 5 * 2 * 16
    assert parts["labelling"].queue == "standby"
    assert {slice_.cores for part in parts.values() for slice_ in part.slices} == {NODE.cores}
