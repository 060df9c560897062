"""What the driver sees of the tasks that workers have taken."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

from workflow.execution.running import RunningTask, RunningTasks


def task(number: int) -> RunningTask:
    return RunningTask(number, f"{number}:1", "elsewhere", "n1", "labelling/0", started=float(number))


def test_files_of_running_tasks_are_read_once(tmp_path: Path) -> None:
    tasks = RunningTasks(tmp_path)
    with task(1).recorded(tmp_path):
        (tmp_path / "2.n1.2").touch()  # just beginning
        assert tasks.look() == [task(1)]
        with task(2).recorded(tmp_path), patch.object(RunningTask, "read", wraps=RunningTask.read) as read:
            assert sorted(each.task for each in tasks.look()) == [1, 2]
            assert sorted(each.task for each in tasks.look()) == [1, 2]
            assert [call.args[0].name for call in read.call_args_list] == ["2.n1.2"]
        assert tasks.look() == [task(1)]
    assert tasks.look() == []
