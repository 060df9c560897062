"""Slurm and LSF by their commands, played here by small scripts; the real Slurm is in tests/cluster."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from site_configs.load import load_site
from site_configs.schedulers import (
    LsfScheduler,
    Scheduler,
    SchedulerError,
    SlurmScheduler,
    lsf_time,
    make_scheduler,
    slurm_time,
)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that puts a command on the path; what it is called with is in ``calls``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, body: str = "") -> Path:
        path = folder / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >> {tmp_path}/calls\n{body}\n')
        path.chmod(0o755)
        return tmp_path / "calls"

    return make


def slurm(**changes: object) -> Scheduler:
    return make_scheduler(load_site("slurm", changes))


def lsf() -> Scheduler:
    return make_scheduler(load_site("sierra", {"account": "bank"}))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("9:57", 597), ("1-02:03:04", 93784), ("12:00:00", 43200), ("30", 30), ("infinite", None), ("", None)],
)
def test_slurms_times(text: str, seconds: int | None) -> None:
    assert slurm_time(text) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("text", "minutes"), [("11:59 L", 719), ("0:5 E", 5), ("90", 90), ("-", None), ("", None)]
)
def test_lsfs_times(text: str, minutes: int | None) -> None:
    assert lsf_time(text) == (None if minutes is None else timedelta(minutes=minutes))


def test_each_job_of_a_chain_waits_for_the_end_of_another(commands, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#BSUB -W 5\n")
    calls = commands("sbatch", "echo '12;cluster'")
    commands("bsub", f"/bin/cat > {tmp_path}/stdin; echo 'Job <77> is submitted to queue <pbatch>.'")
    assert slurm().submit(script) == "12"
    assert slurm().submit(script, after="12") == "12"
    assert lsf().submit(script, after="70") == "77"
    assert (tmp_path / "stdin").read_text() == script.read_text()
    assert calls.read_text().splitlines() == [
        f"sbatch --parsable {script}",
        f"sbatch --parsable --dependency=afterany:12 {script}",
        "bsub -w ended(70)",
    ]


def test_what_the_scheduler_says_is_passed_on_in_one_line(commands, tmp_path: Path) -> None:
    commands("sbatch", "printf 'sbatch: error: invalid\\naccount\\n' >&2; exit 1")
    commands("bsub", "echo 'Job not submitted.'")
    script = tmp_path / "job.sh"
    script.touch()
    with pytest.raises(
        SchedulerError, match=r"^sbatch refused with status 1: sbatch: error: invalid account$"
    ):
        slurm().submit(script)
    with pytest.raises(SchedulerError, match=r"^bsub: no job id in its answer: Job not submitted\.$"):
        lsf().submit(script)


def test_absent_commands_are_named(commands, tmp_path: Path) -> None:
    with pytest.raises(SchedulerError, match="sbatch, scancel, squeue, srun: no such command here"):
        slurm().check()
    with pytest.raises(SchedulerError, match="bsub, bjobs, bkill: no such command here"):
        lsf().check()


def test_the_partition_tells_its_limits(commands) -> None:
    for name in ("sbatch", "scancel", "squeue", "srun"):
        commands(name)
    commands("sinfo", "echo 1-00:00:00 4; echo 1-00:00:00 12")
    slurm(queue="gpu", walltime="1-00:00:00").check()
    with pytest.raises(SchedulerError, match="walltime is 24:01:00, but partition gpu ends at 24:00:00"):
        slurm(queue="gpu", walltime="24:01:00").check()
    commands("sinfo", "echo infinite 16")
    slurm(queue="gpu", walltime="30-00:00:00").check()
    with pytest.raises(SchedulerError, match="nodes is 17, but partition gpu has 16"):
        slurm(queue="gpu", nodes=17).check()
    commands("sinfo")
    with pytest.raises(SchedulerError, match="Slurm knows no partition 'gpu'"):
        slurm(queue="gpu").check()


def test_a_scheduler_that_does_not_answer_is_no_end(commands) -> None:
    commands("squeue", "exit 1")
    commands("bjobs", "echo 'LSF is down. Please wait ...' >&2; exit 255")
    commands("scancel", "exit 1")
    assert slurm().time_left("1") is None
    assert lsf().time_left("1") is None
    assert slurm().cancel_tagged("smelter-7") == []
    slurm().cancel(["1"])


def test_only_jobs_with_the_tag_are_cancelled(commands) -> None:
    calls = commands("squeue", "printf '1 smelter-7\\n2 smelter-77\\n3 (null)\\n4 smelter-7\\n'")
    commands("bjobs", "printf '5 smelter-7\\n6 -\\n'")
    commands("scancel")
    commands("bkill")
    assert slurm().cancel_tagged("smelter-7") == ["1", "4"]
    assert lsf().cancel_tagged("smelter-7") == ["5"]
    assert {"scancel 1 4", "bkill 5"} <= set(calls.read_text().splitlines())


def test_the_job_we_are_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "LSB_JOBID"):
        monkeypatch.delenv(name, raising=False)
    assert slurm().job_id() is lsf().job_id() is None
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("LSB_JOBID", "13")
    assert (slurm().job_id(), lsf().job_id()) == ("12", "13")
    assert isinstance(slurm(), SlurmScheduler)
    assert isinstance(lsf(), LsfScheduler)
