#!/usr/bin/env python3
"""Plays LSF's bsub, bjobs and bkill and IBM's jsrun over the virtual Slurm, by the name it is called with.

Written from their documentation, for want of the real ones. It keeps what can go wrong: options count only in
a script that comes through standard input; what it does not know it refuses; the script runs without GPUs and
without any variable of Slurm's; jsrun gives one core and no GPU unless asked, places sets on the first hosts
with room, numbers GPUs by host, and lets a set wait that does not fit.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

QUEUES = {"pbatch": "gpu", "pdebug": "debug"}
WITH_VALUE = {"-J", "-Jd", "-o", "-e", "-G", "-P", "-q", "-W", "-nnodes", "-w", "-wa", "-wt", "-alloc_flags"}
STATES = {"PENDING": "PEND", "RUNNING": "RUN", "COMPLETING": "RUN", "COMPLETED": "DONE"}
SETUP = """\
export LSB_JOBID=$SLURM_JOB_ID LSB_QUEUE={queue} STAND_IN_NODES=$(scontrol show hostnames | paste -sd,)
export STAND_IN_CORES=$SLURM_CPUS_ON_NODE STAND_IN_GPUS={gpus} CUDA_VISIBLE_DEVICES=
for name in $(compgen -e SLURM_); do [ $name = SLURM_CONF ] || unset $name; done
"""


def main() -> None:
    {"bsub": bsub, "bjobs": bjobs, "bkill": bkill, "jsrun": jsrun}[Path(sys.argv[0]).name](sys.argv[1:])


def refuse(message: str) -> NoReturn:
    sys.stderr.write(message + "\n")
    raise SystemExit(255)


def slurm(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        refuse(f"Request aborted by esub. Job not submitted. {done.stderr.strip()}")
    return done.stdout


def options_of(words: list[str]) -> dict[str, str]:
    if len(words) % 2 or not set(words[::2]) <= WITH_VALUE:
        refuse(f"{words}: Illegal option. Job not submitted.")
    return dict(zip(words[::2], words[1::2], strict=True))


def bsub(arguments: list[str]) -> None:
    script = sys.stdin.read()
    lines = [line for line in script.splitlines() if line.startswith("#BSUB ")]
    options: dict[str, str] = {}
    for line in lines:
        if line != "#BSUB -r":
            options |= options_of(shlex.split(line.removeprefix("#BSUB")))
    options |= options_of(arguments)
    queue = options.get("-q", "pbatch")
    if queue not in QUEUES:
        refuse(f"{queue}: No such queue. Job not submitted.")
    gpus = os.environ["STAND_IN_GPUS_PER_NODE"]
    wanted = {
        "partition": QUEUES[queue],
        "nodes": options.get("-nnodes", "1"),
        "time": options.get("-W", "10"),
        "job-name": options.get("-J", "job"),
        "comment": options.get("-Jd", ""),
        "gres": f"gpu:{gpus}",
        "output": options.get("-o", "/dev/null").replace("%J", "%j"),
    }
    if "-w" in options:
        wanted["dependency"] = re.sub(r"ended\((\d+)\)", r"afterany:\1", options["-w"])
    if "-wa" in options:
        wanted["signal"] = f"B:{options['-wa']}@{60 * int(options['-wt'])}"
    body = f"#!/bin/bash\n{SETUP.format(queue=queue, gpus=gpus)}{script.replace('#BSUB', '# BSUB')}"
    flags = [f"--{name}={value}" for name, value in wanted.items()]
    flags.append("--requeue" if "#BSUB -r" in lines else "--no-requeue")
    job = slurm("sbatch", "--parsable", "--exclusive", "--ntasks-per-node=1", *flags, text=body)
    sys.stdout.write(f"Job <{job.strip()}> is submitted to queue <{queue}>.\n")


def bjobs(arguments: list[str]) -> None:
    if arguments[:2] != ["-noheader", "-o"]:
        refuse(f"{arguments[:1]}: Illegal option.")
    fields, wanted = arguments[2].split(), arguments[3:]
    known = {}
    for line in slurm("scontrol", "--oneliner", "show", "job").splitlines():
        shown = dict(word.partition("=")[::2] for word in line.split() if "=" in word)
        left = (
            slurm("squeue", "--noheader", f"--job={shown['JobId']}", "--format=%L").strip() if wanted else ""
        )
        hours, _, minutes = left.rpartition(":")[0].rpartition(":")
        known[shown["JobId"]] = {
            "jobid": shown["JobId"],
            "stat": STATES.get(shown["JobState"], "EXIT"),
            "time_left": f"{int(hours or 0)}:{int(minutes)} L" if minutes.isdecimal() else "-",
            "job_description": shown.get("Comment", "-"),
        }
    for job in wanted or [job for job, row in known.items() if row["stat"] in {"PEND", "RUN"}]:
        if job not in known:
            refuse(f"Job <{job}> is not found")
        sys.stdout.write(" ".join(known[job][field] for field in fields) + "\n")


def bkill(arguments: list[str]) -> None:
    for job in arguments:
        slurm("scancel", job)
        sys.stdout.write(f"Job <{job}> is being terminated\n")


def jsrun(arguments: list[str]) -> None:
    n_options = next((i for i, word in enumerate(arguments) if not word.startswith("-")), len(arguments))
    options = {"nrs": "1", "rs_per_host": "1", "tasks_per_rs": "1", "cpu_per_rs": "1", "gpu_per_rs": "0"}
    for word in arguments[:n_options]:
        name, equals, value = word.removeprefix("--").partition("=")
        if not equals or name not in {*options, "bind"}:
            refuse(f"jsrun: unrecognized option {word}")
        options[name] = value
    if (options["rs_per_host"], options["tasks_per_rs"]) != ("1", "1"):
        refuse("jsrun: this stand-in knows one resource set with one task per host only")
    need = (int(options["nrs"]), int(options["cpu_per_rs"]), int(options["gpu_per_rs"]))
    with resource_sets(*need) as gpus_of_host:
        cases = " ".join(f"{host}) g={','.join(gpus)};;" for host, gpus in gpus_of_host.items())
        inside = f'case $(hostname) in {cases} esac; CUDA_VISIBLE_DEVICES=$g exec "$@"'
        hosts = list(gpus_of_host)
        place = [
            f"--jobid={os.environ['LSB_JOBID']}",
            f"--nodelist={','.join(hosts)}",
            f"--nodes={len(hosts)}",
        ]
        flags = [
            f"--ntasks={len(hosts)}",
            "--ntasks-per-node=1",
            "--overlap",
            "--no-kill",
            "--kill-on-bad-exit=0",
        ]
        raise SystemExit(
            subprocess.call(["srun", *place, *flags, "bash", "-c", inside, "jsrun", *arguments[n_options:]])
        )


@contextmanager
def resource_sets(n: int, cores: int, gpus: int) -> Iterator[dict[str, list[str]]]:
    """Hold one resource set on each of ``n`` hosts; give the GPUs of every host."""
    path = Path(os.environ["STAND_IN_STATE"]) / f"job-{os.environ['LSB_JOBID']}.json"
    me = str(os.getpid())

    def change(what: str) -> dict[str, list[str]] | None:
        with path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            held = {pid: each for pid, each in json.loads(file.read() or "{}").items() if _is_alive(pid)}
            taken = None
            if what == "take":
                taken = _fit(held, n, cores, gpus)
                held |= {} if taken is None else {me: {"cores": cores, "hosts": taken}}
            else:
                held.pop(me, None)
            file.truncate(0)
            file.write(json.dumps(held))
            return taken

    while (found := change("take")) is None:
        time.sleep(0.2)
    try:
        yield found
    finally:
        change("release")


def _is_alive(pid: str) -> bool:
    return Path("/proc", pid).exists()


def _fit(held: dict[str, dict[str, object]], n: int, cores: int, gpus: int) -> dict[str, list[str]] | None:
    found: dict[str, list[str]] = {}
    for host in os.environ["STAND_IN_NODES"].split(","):
        here = [each for each in held.values() if host in each["hosts"]]  # type: ignore[operator]
        used = {gpu for each in here for gpu in each["hosts"][host]}  # type: ignore[index]
        free = [str(gpu) for gpu in range(int(os.environ["STAND_IN_GPUS"])) if str(gpu) not in used]
        room = int(os.environ["STAND_IN_CORES"]) - sum(int(str(each["cores"])) for each in here)
        if len(found) < n and room >= cores and len(free) >= gpus:
            found[host] = free[:gpus]
    return found if len(found) == n else None


if __name__ == "__main__":
    main()
