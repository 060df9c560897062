"""A real Slurm of a few virtual nodes on one machine, started and stopped by the tests.

Needs root, and Debian's ``slurm-wlm`` and ``munge``. Every node has a network namespace and a host name of
its own and is joined to the others by a bridge, so that a worker on another node reaches the driver by its
address only. All nodes share one process table, one clock and one file system; GPUs are device files.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "munged", "ip", "nsenter", "unshare")
N_NODES = 3
N_CPUS = 4
N_GPUS = 2
_OWN = os.getpid() % 10_000
"""Tells clusters apart that are tested at the same time."""
_BRIDGE = f"smelter{_OWN}"
_NETWORK = f"10.79.{_OWN % 250}"
_PORT = 20_000 + _OWN
_PREFIX = "sn"
_START_S = 60
LONG_S = 400.0
"""Nothing in these tests takes this long, on a busy machine either, s."""


def missing() -> str | None:
    """Return why there can be no virtual Slurm here; ``None`` if there can."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=_path()) is None]
    if absent:
        return f"needs {', '.join(absent)} (Debian: slurm-wlm, munge, iproute2)"
    if os.geteuid() != 0:
        return "needs root, to start Slurm's daemons"
    probes = (
        ["unshare", "--net", "--mount", "--uts", "true"],
        ["ip", "link", "add", _BRIDGE, "type", "bridge"],
        ["ip", "link", "del", _BRIDGE],
    )
    for probe in probes:
        if subprocess.run(probe, capture_output=True, env={**os.environ, "PATH": _path()}).returncode:
            return f"needs the right to make namespaces and bridges: {' '.join(probe)} failed"
    return None


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class VirtualSlurm:
    """The cluster; a context manager."""

    def __init__(self, base: Path, n_nodes: int = N_NODES) -> None:
        self.base = base
        self.environment = {"SLURM_CONF": str(base / "etc/slurm.conf"), "PATH": _path()}
        self.nodes = [f"{_PREFIX}{i}" for i in range(1, n_nodes + 1)]
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> VirtualSlurm:
        for name in ("etc", "munge", "state", "spool", "log", "run", "dev", "nodes", "tmp"):
            (self.base / name).mkdir(parents=True, mode=0o755)
        try:
            self._connect_nodes()
            self._write_settings()
            self._start_munge()
            self.start_controller()
            for node in self.nodes:
                self._start_node(node)
            self.wait_until_idle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.run("scancel", "--user=root", check=False)
        self._wait_quietly(lambda: not self.run("squeue", "--noheader", check=False).strip(), 10)
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
        for daemon in reversed(self._daemons.values()):
            _end(daemon)
        self._kill_steps()
        for node in self.nodes:
            _ip("link", "del", _namespace(node), check=False)
            _ip("netns", "del", _namespace(node), check=False)
        _ip("link", "del", _BRIDGE, check=False)

    def run(self, *command: str, check: bool = True) -> str:
        """Run one of Slurm's commands on the login node; return what it prints."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.stderr}")
        return done.stdout

    def state(self, job: str) -> str:
        """Return the state of a job, such as RUNNING or COMPLETED."""
        shown = self.run("scontrol", "--oneliner", "show", "job", job, check=False)
        return dict(word.partition("=")[::2] for word in shown.split() if "=" in word).get("JobState", "GONE")

    def exit_code(self, job: str) -> int:
        """Return the exit status of a job that has ended."""
        shown = self.run("scontrol", "--oneliner", "show", "job", job)
        text = dict(word.partition("=")[::2] for word in shown.split() if "=" in word)["ExitCode"]
        return int(text.partition(":")[0])

    def wait_for_end(self, job: str, limit_s: float) -> str:
        """Wait until a job has ended; return its state."""
        over = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "GONE"}
        self._wait(lambda: self.state(job) in over, f"job {job} to end", limit_s)
        return self.state(job)

    # -- failing -----------------------------------------------------------------------------------------

    def start_controller(self) -> None:
        """Let the scheduler answer, again or for the first time."""
        self._start("slurmctld", ["slurmctld", "-D"])

    def stop_controller(self) -> None:
        """Let the scheduler give no answers; what runs goes on."""
        daemon = self._daemons["slurmctld"]
        daemon.terminate()
        _end(daemon)

    def cut(self, node: str) -> None:
        """Take the node's cable out."""
        _ip("link", "set", _namespace(node), "down")

    def heal(self, node: str) -> None:
        """Put the node's cable in again."""
        _ip("link", "set", _namespace(node), "up")

    def kill(self, node: str) -> None:
        """End everything that runs on a node, at once."""
        self.cut(node)
        while processes := self.processes(node):
            for pid in processes:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.05)
        self._daemons[f"slurmd-{node}"].wait()

    def mend(self) -> None:
        """Start what was killed or stopped, and plug in all cables."""
        if self._daemons["slurmctld"].poll() is not None:
            self.start_controller()
        for node in self.nodes:
            self.heal(node)
            if self._daemons[f"slurmd-{node}"].poll() is not None:
                self._start_node(node)

    def processes(self, node: str) -> list[int]:
        """Return what runs on a node."""
        space = Path("/run/netns", _namespace(node)).stat().st_ino
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and (entry / "ns/net").stat().st_ino == space:
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def wait_until_idle(self) -> None:
        """Wait until all nodes are there and have nothing to do."""
        self._wait(self._all_idle, "nodes to be idle")

    # -- starting ----------------------------------------------------------------------------------------

    def _connect_nodes(self) -> None:
        """Give every node a network of its own, joined to the others and to this host by a bridge."""
        _ip("link", "add", _BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{_NETWORK}.254/24", "dev", _BRIDGE)
        # A login node is in other networks, too.
        _ip("addr", "add", f"10.1.{_OWN % 250}.1/32", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        for i, node in enumerate(self.nodes, start=1):
            space = _namespace(node)
            _ip("netns", "add", space)
            _ip("link", "add", space, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", space, "master", _BRIDGE, "up")
            _ip("-n", space, "addr", "add", f"{_NETWORK}.{i}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
            _ip("-n", space, "link", "set", "lo", "up")
            hosts = [f"{_NETWORK}.{j} {name}" for j, name in enumerate(self.nodes, start=1)]
            here = f"{_NETWORK}.254 {os.uname().nodename}"
            (self.base / "nodes" / f"{node}.hosts").write_text(
                "\n".join(["127.0.0.1 localhost", here, *hosts]) + "\n"
            )

    def _write_settings(self) -> None:
        for i in range(N_GPUS):
            os.mknod(self.base / f"dev/nvidia{i}", 0o666 | 0o020000, os.makedev(1, 3))
        base, host = self.base, os.uname().nodename.partition(".")[0]
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={node} NodeAddr={_NETWORK}.{i} Port=16918 CPUs={N_CPUS}"
            f" RealMemory=4000 Gres=gpu:{N_GPUS}"
            for i, node in enumerate(self.nodes, start=1)
        )
        every = f"{_PREFIX}[1-{len(self.nodes)}]"
        settings = f"""\
            ClusterName=virtual
            SlurmctldHost={host}({_NETWORK}.254)
            SlurmUser=root
            SlurmdUser=root
            SlurmctldPort={_PORT}
            AuthType=auth/munge
            AuthInfo=socket={base}/munge/socket,cred_expire=5
            CredType=cred/munge
            StateSaveLocation={base}/state
            SlurmdSpoolDir={base}/spool/%n
            SlurmctldPidFile={base}/run/slurmctld.pid
            SlurmdPidFile={base}/run/slurmd-%n.pid
            SlurmctldLogFile={base}/log/slurmctld.log
            SlurmdLogFile={base}/log/slurmd-%n.log
            SlurmdParameters=config_overrides
            ProctrackType=proctrack/linuxproc
            TaskPlugin=task/none
            JobAcctGatherType=jobacct_gather/none
            SelectType=select/cons_tres
            SelectTypeParameters=CR_CPU
            SchedulerType=sched/backfill
            SchedulerParameters=bf_interval=1,sched_interval=2,sched_min_interval=100000,batch_sched_delay=0
            ReturnToService=2
            SlurmdTimeout=10
            MessageTimeout=5
            KillWait=10
            OverTimeLimit=0
            GresTypes=gpu
            MpiDefault=none
            AccountingStorageType=accounting_storage/none
            PlugStackConfig=/dev/null
            PreemptType=preempt/partition_prio
            PreemptMode=CANCEL
            PartitionName=DEFAULT Nodes={every} MaxTime=24:00:00 DefaultTime=10 PriorityTier=2 PreemptMode=OFF
            PartitionName=gpu Default=YES
            PartitionName=debug MaxTime=30:00
            PartitionName=standby PriorityTier=1 PreemptMode=CANCEL
            """
        (base / "etc/slurm.conf").write_text(textwrap.dedent(settings) + nodes + "\n")
        gpus = f"NodeName={every} Name=gpu File={base}/dev/nvidia[0-{N_GPUS - 1}]\n"
        (base / "etc/gres.conf").write_text(gpus)
        (base / "etc/mpi.conf").write_text(f"PMIxCliTmpDirBase={base}/tmp\n")
        (base / "etc/cgroup.conf").write_text("CgroupAutomount=no\nConstrainCores=no\nConstrainDevices=no\n")

    def _start_munge(self) -> None:
        munge = self.base / "munge"
        (munge / "key").write_bytes(secrets.token_bytes(1024))
        (munge / "key").chmod(0o400)
        files = {
            "key-file": "key",
            "socket": "socket",
            "pid-file": "pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        options = [f"--{option}={munge / name}" for option, name in files.items()]
        self._start("munged", ["munged", "--force", "--foreground", *options])
        self._wait((munge / "socket").exists, "munge")

    def _start_node(self, node: str) -> None:
        hosts = self.base / "nodes" / f"{node}.hosts"
        own = self.base / "nodes" / f"{node}.tmp"  # all nodes would have the same names in it
        own.mkdir(exist_ok=True)
        mounts = f"mount --bind {hosts} /etc/hosts; mount --bind {own} {self.base}/tmp"
        inside = f"hostname {node}; {mounts}; exec slurmd -D -N {node}"
        enter = ["nsenter", f"--net=/run/netns/{_namespace(node)}", "unshare", "--mount", "--uts"]
        self._start(f"slurmd-{node}", [*enter, "bash", "-c", inside])

    def _start(self, name: str, command: list[str]) -> None:
        with (self.base / "log" / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                command,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _all_idle(self) -> bool:
        shown = self.run(
            "sinfo", "--noheader", "--partition=gpu", "--Node", "--states=idle", "--format=%N", check=False
        )
        return len(set(shown.split())) == len(self.nodes)

    def _kill_steps(self) -> None:
        """Kill what jobs left: everything that was started with this cluster's settings."""
        mark = f"SLURM_CONF={self.environment['SLURM_CONF']}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or int(entry.name) == os.getpid():
                continue
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                continue

    def _wait(self, condition: Callable[[], bool], what: str, limit_s: float = _START_S) -> None:
        if not self._wait_quietly(condition, limit_s):
            logs = sorted(self.base.glob("log/*"))
            tails = "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)
            raise AssertionError(f"waited {limit_s} s for {what}\n{self.run('squeue', check=False)}{tails}")

    def _wait_quietly(self, condition: Callable[[], bool], limit_s: float) -> bool:
        end = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(0.2)
        return True


def _end(daemon: subprocess.Popen[bytes]) -> None:
    try:
        daemon.wait(10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _namespace(node: str) -> str:
    """Return the name of a node's network namespace, and of its cable."""
    return f"{node}-{_OWN}"


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True)
