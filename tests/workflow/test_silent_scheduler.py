"""A driver that starts itself anew waits for a scheduler that it needs; commands play the scheduler."""

from __future__ import annotations

from pathlib import Path

import pytest

from site_configs.load import load_site
from workflow.launching.site_plan import wait_for_scheduler


@pytest.mark.parametrize(("site", "asked"), [("lsf", 3), ("slurm", 3), ("slurm, in a job", 0), ("local", 0)])
def test_it_waits_for_an_answer_and_says_so_once(
    site: str, asked: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("squeue", "bjobs"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho >> {tmp_path}/asked\ntest $(wc -l < {tmp_path}/asked) -ge 3\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    kind, _, job = site.partition(",")
    wait_for_scheduler(load_site(kind, {} if job or kind == "local" else {"mode": "pilot"}), every_s=0.01)
    questions = (tmp_path / "asked").read_text() if asked else ""
    assert questions.count("\n") == asked
    assert capsys.readouterr().out.count("waiting for the scheduler") == (1 if asked else 0)


def test_no_job_at_all_is_an_answer_of_lsf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bjobs"
    program.write_text("#!/bin/sh\necho No unfinished job found >&2\nexit 255\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    wait_for_scheduler(load_site("lsf", {"mode": "pilot"}))
