"""Blocks of nodes: what is a failure, and what only the scheduler's silence; commands play the scheduler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from parsl.jobs.states import JobState, JobStatus

from site_configs.blocks import Line, Place, SchedulerSilentError, SlurmBlocks, give_up_on_failures
from site_configs.launchers import SliceLauncher
from site_configs.load import load_site
from site_configs.providers import make_provider, scheduler_line

Commands = Callable[..., None]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Let these commands do what these lines of shell say."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def make(**lines: str) -> None:
        for name, line in lines.items():
            program = tmp_path / name
            program.write_text(f"#!/bin/sh\n{line}\n")
            program.chmod(0o755)

    make(sacct="exit 1")
    return make


@pytest.fixture
def pilot(commands: Commands, tmp_path: Path) -> SlurmBlocks:
    """Return the blocks of a role of a Slurm site."""
    commands(squeue="exit 0", sbatch="echo Submitted batch job 7")
    site = load_site("slurm", {"mode": "pilot", "health.scheduler_s": 9})
    part = site.role("sampling")
    provider = make_provider(site, part, SliceLauncher(part.slices, {}, site), "c1", scheduler_line(site))
    provider.script_dir = str(tmp_path)
    return provider


REFUSED = "echo sbatch: invalid account >&2; exit 1"
AWAY = "echo unable to contact the controller >&2; exit 1"


def test_a_refusal_is_a_failure(pilot: SlurmBlocks, commands: Commands) -> None:
    commands(sbatch=REFUSED)
    with pytest.raises(Exception, match="invalid account"):
        pilot.submit("true", 1)
    assert pilot.line.silence is None


def test_silence_is_none(pilot: SlurmBlocks, commands: Commands) -> None:
    commands(sbatch=AWAY, squeue=AWAY)
    with pytest.raises(SchedulerSilentError):
        pilot.submit("true", 1)
    assert pilot.line.silence == "unable to contact the controller"
    commands(sbatch="echo Submitted batch job 7", squeue="exit 0")
    assert pilot.submit("true", 1) == "7"
    assert pilot.line.silence is None


def test_blocks_stay_as_they_were_while_the_scheduler_is_silent(
    pilot: SlurmBlocks, commands: Commands
) -> None:
    job = pilot.submit("true", 1)
    commands(squeue="echo 7 R")
    assert [status.state for status in pilot.status([job])] == [JobState.RUNNING]
    commands(squeue=AWAY)
    assert [status.state for status in pilot.status([job])] == [JobState.RUNNING]
    assert pilot.line.silence is not None
    commands(squeue="exit 0")
    assert [status.state for status in pilot.status([job])] == [JobState.COMPLETED]
    assert pilot.line.silence is None


def test_that_accounting_answers_says_nothing_of_the_scheduler() -> None:
    scheduler = SimpleNamespace(answers=lambda: False)
    line = Line(scheduler)
    line.listen("sacct -X", worked=True, said="")
    assert line.silence is None
    line.listen("sbatch a", worked=False, said="no route to host")
    line.listen("sacct -X", worked=True, said="")
    assert line.silence == "no route to host"
    line.listen("squeue", worked=True, said="")
    assert line.silence is None


def test_a_silent_scheduler_is_not_asked_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    now = [1000.0]
    monkeypatch.setattr("site_configs.blocks.time.monotonic", lambda: now[0])
    line = Line(SimpleNamespace(answers=lambda: asked.append(now[0]) or len(asked) > 2))
    for now[0] in (1000.0, 1010.0, 1050.0, 1070.0, 1080.0, 1140.0):
        line.listen("sacct -X" if asked else "sbatch a", worked=bool(asked), said="silence")
    assert asked == [1000.0, 1070.0, 1140.0]
    assert line.silence is None


def test_a_command_that_never_ends_is_silence_too(pilot: SlurmBlocks, commands: Commands) -> None:
    job = pilot.submit("true", 1)
    pilot.cmd_timeout = 0.2
    commands(squeue="test $# -eq 3 && exit 1; sleep 5")  # the simple question of three words
    pilot.status([job])
    assert pilot.line.silence == "no answer within 0.2 s"


def test_the_scheduler_is_asked_as_often_as_the_site_says(pilot: SlurmBlocks) -> None:
    assert pilot.status_polling_interval == 9


def test_blocks_go_to_the_standby_queue_when_the_first_is_full_and_come_back(
    pilot: SlurmBlocks, commands: Commands, tmp_path: Path
) -> None:
    commands(
        sbatch=f"grep -o Q.$ $1 >> {tmp_path}/asked; echo Submitted batch job $(wc -l < {tmp_path}/asked)"
    )
    own, spare = (Place((f"#SBATCH --partition={name}",), blocks) for name, blocks in (("Q1", 1), ("Q2", 2)))
    pilot.scheduler_options = own.directives[0] + "\n"
    pilot.attend(pilot.line, [own, spare], 9)
    jobs = [pilot.submit("true", 1, f"block-{i}") for i in range(3)]
    commands(squeue="echo 2 R; echo 3 PD")
    assert [status.state for status in pilot.status(jobs)] == [
        JobState.COMPLETED,
        JobState.RUNNING,
        JobState.PENDING,
    ]
    pilot.submit("true", 1, "block-3")
    assert (tmp_path / "asked").read_text().split() == ["Q1", "Q2", "Q2", "Q1"]


@pytest.mark.parametrize(
    ("messages", "given_up"),
    [
        (["invalid account"] * 3, True),
        (["invalid account"] * 2, False),
        (["the scheduler does not answer"] * 9, False),
        (["invalid account", "the scheduler does not answer", "invalid account", "invalid account"], True),
    ],
)
def test_only_what_was_refused_ends_an_executor(messages: list[str], given_up: bool) -> None:
    ended: list[Exception] = []
    executor = SimpleNamespace(set_bad_state_and_fail_all=ended.append)
    failed = {
        str(i): JobStatus(JobState.FAILED, f"Failed to start block {i}: {said}")
        for i, said in enumerate(messages)
    }
    give_up_on_failures(executor, failed)
    assert bool(ended) == given_up
