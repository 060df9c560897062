"""Starts one manager of workers on every node of a block, each with its slice of the node.

Parsl's own launchers write the command into a file named after the Slurm job, which two executors in one job
overwrite for each other, and give every node the same. These write no file.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from parsl.launchers.base import Launcher

from site_configs.binding import TO_CORES, CoreShare
from site_configs.cluster import ClusterSite
from site_configs.gpu_options import gpu_options
from site_configs.launch_variables import CORES, GPUS, LAUNCHER, SCRATCH, WORKERS
from site_configs.roles import Slice
from site_configs.slurm import SlurmSite


class SliceLauncher(Launcher):  # type: ignore[misc]
    """Starts the command once on each node, knowing there what its slice is."""

    def __init__(
        self,
        slices: Sequence[Slice],
        exports: Mapping[str, str],
        site: ClusterSite | None = None,
        node_cores: int | None = None,
    ) -> None:
        """Take the slices of the nodes and what to export there; without a site on this node only.

        With ``node_cores``, the cores of a node, workers are bound to theirs.
        """
        super().__init__()
        self.slices = tuple(slices)
        self.exports = dict(exports)
        self.site = site
        self.node_cores = node_cores

    def __call__(self, command: str, tasks_per_node: int, nodes_per_block: int, script_dir: str = "") -> str:  # noqa: ARG002
        """Return shell lines that start the command on all nodes and wait for its ends."""
        steps = [self._step(slice_, command) for each in self.slices for slice_ in _of_first_nodes(each)]
        if len(steps) == 1:
            return f"exec {steps[0]}\n"
        return "".join(f"{step} &\n" for step in steps) + _WAIT

    def _step(self, slice_: Slice, command: str) -> str:
        gpus = slice_.gpus
        if self.site is not None and self.site.launcher == "jsrun":  # a resource set counts its own from 0
            own = list(dict.fromkeys(gpus))
            gpus = tuple(str(own.index(gpu)) for gpu in gpus)
        exports = {
            **self.exports,
            WORKERS: str(slice_.workers),
            "PARSL_CORES": str(slice_.workers),  # what Parsl divides among the workers
            **({GPUS: ",".join(gpus)} if gpus else {"CUDA_VISIBLE_DEVICES": ""}),
            **self._cores(slice_),
            **self._launcher_of_labels(slice_),
        }
        lines = [f"export {name}={_quoted(name, value)}" for name, value in exports.items()]
        if self.site is not None and self.site.launcher == "srun":
            lines.append(_LEAVE_STEP)
        return f"{self._start(slice_)}bash -c {shlex.quote(chr(10).join([*lines, command]))}"

    def _cores(self, slice_: Slice) -> dict[str, str]:
        """Return which cores the workers have."""
        if self.node_cores is None:
            return {}
        in_set = slice_.cores if self.site is not None and self.site.launcher == "jsrun" else 0
        each = slice_.cores // slice_.workers
        return {CORES: str(CoreShare(slice_.first_core, each, self.node_cores, in_set))}

    def _launcher_of_labels(self, slice_: Slice) -> dict[str, str]:
        """Return what starts a label's ranks beside its worker, or on all of the worker's nodes.

        A worker's own step holds its nodes, so that these steps overlap it.
        """
        if self.site is None or self.site.launcher != "srun":
            return {}
        words = [
            f"srun --overlap {TO_CORES}",
            f"--relative=$(({slice_.first_node} + SLURM_NODEID)) --nodes={slice_.span}",
            *self.site.launcher_options,
        ]
        return {LAUNCHER: " ".join(words)}

    def _start(self, slice_: Slice) -> str:
        site = self.site
        if site is None or site.launcher == "none":
            return ""
        options = [word for option in site.launcher_options for word in option.split(" ")]
        if site.launcher == "srun":
            # As many as the job has there: hardware threads may count.
            cores = '--cpus-per-task="$SLURM_CPUS_ON_NODE"'
            return f"srun {cores} {shlex.join([*_srun_options(slice_, site), *options])} "
        own = _jsrun_options(slice_) if site.launcher == "jsrun" else ["-n", str(slice_.n_nodes)]
        return f"{shlex.join([site.launcher, *own, *options])} "


_LEAVE_STEP = """\
for name in ${!SLURM_@}; do
    case $name in SLURM_CONF | SLURM_JOB_ID) ;; *) unset "$name" ;; esac
done"""
"""What a worker starts is no rank of its step, though the environment would say so: a program built with MPI
would not start alone, and ``mpirun`` would go to other nodes of the job."""

_WAIT = """\
failed=0
for step in $(jobs -p); do wait "$step" || failed=$?; done
exit "$failed"
"""


def _of_first_nodes(slice_: Slice) -> list[Slice]:
    """Return a slice as it is, or where its workers span nodes one for the first node of each."""
    if slice_.span == 1:
        return [slice_]
    return [
        replace(slice_, first_node=slice_.first_node + n, n_nodes=1)
        for n in range(0, slice_.n_nodes, slice_.span)
    ]


def _quoted(name: str, value: str) -> str:
    """Quote a value for the shell; only two may name variables of the node, and hold nothing to be quoted."""
    return f'"{value}"' if name in {SCRATCH, LAUNCHER} else shlex.quote(value)


def _srun_options(slice_: Slice, site: ClusterSite) -> list[str]:
    """Let the step see all of its nodes: executors divide them by what they are told, not by Slurm's turn.

    So steps overlap. A node that dies must not end the step on the others.
    """
    options = [
        "--export=ALL",
        f"--relative={slice_.first_node}",
        f"--nodes={slice_.n_nodes}",
        f"--ntasks={slice_.n_nodes}",
        "--ntasks-per-node=1",
        "--overlap",
        "--cpu-bind=none",
        "--no-kill",
        "--kill-on-bad-exit=0",
    ]
    return [*options, *gpu_options(site)] if isinstance(site, SlurmSite) else options


def _jsrun_options(slice_: Slice) -> list[str]:
    """Ask for one resource set a node: without being asked, jsrun gives one core and no GPU."""
    return [
        f"--nrs={slice_.n_nodes}",
        "--rs_per_host=1",
        "--tasks_per_rs=1",
        f"--cpu_per_rs={slice_.cores}",
        f"--gpu_per_rs={slice_.n_gpus}",
        "--bind=none",
    ]
