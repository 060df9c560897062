import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from qm.program import program_environment, run_program
from qm.program_config import ProgramConfig
from qm.scratch import scratch_directory, sweep

NOTES_PIDS = """
import os, subprocess, sys, time
own_group = subprocess.Popen(["sleep", "600"], start_new_session=False, process_group=0)
with open("pids", "w") as file:
    file.write(f"{os.getpid()} {own_group.pid}")
    file.flush()
    os.fsync(file.fileno())
time.sleep(600)
"""


def run(command, directory, timeout_s=60.0, **extra):
    return run_program(
        command,
        directory,
        output=directory / "out",
        errors=directory / "err",
        timeout_s=timeout_s,
        environment=program_environment(1, extra),
    )


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(pids, seconds=20.0):
    deadline = time.monotonic() + seconds
    while any(map(runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(runs, pids))


def test_output_errors_and_status_come_back(tmp_path):
    end = run(["sh", "-c", "echo said; echo wrong >&2; exit 3"], tmp_path)
    assert (end.status, end.signal) == (3, None)
    assert (tmp_path / "out").read_text() == "said\n"
    assert (tmp_path / "err").read_text() == "wrong\n"


def test_a_program_ended_by_a_signal_says_which(tmp_path):
    assert run(["sh", "-c", "kill -9 $$"], tmp_path).signal == signal.SIGKILL


def test_a_program_that_is_not_there_is_a_status_and_a_line(tmp_path):
    assert run(["no-such-program"], tmp_path).status == 127
    assert "no-such-program: No such file" in (tmp_path / "err").read_text()


def test_a_program_out_of_time_is_ended_with_children_in_groups_of_their_own(tmp_path):
    end = run([sys.executable, "-c", NOTES_PIDS], tmp_path, timeout_s=1.5)
    assert end.status is None
    assert end.wall_s >= 1.5
    assert gone([int(word) for word in (tmp_path / "pids").read_text().split()], seconds=0.0)


def test_a_program_deaf_to_the_request_to_end_is_ended_all_the_same(tmp_path):
    code = (
        "import os, signal, time; signal.signal(15, signal.SIG_IGN); open('pid', 'w').write(str(os.getpid()))"
    )
    end = run([sys.executable, "-c", f"{code}; time.sleep(600)"], tmp_path, timeout_s=1.0)
    assert end.status is None
    assert gone([int((tmp_path / "pid").read_text())], seconds=0.0)


def test_what_a_program_leaves_running_is_ended_with_it(tmp_path):
    end = run(["sh", "-c", "sleep 600 & echo $! > pid"], tmp_path)
    assert end.status == 0
    assert gone([int((tmp_path / "pid").read_text())], seconds=0.0)


def test_a_killed_owner_leaves_no_process(tmp_path):
    code = f"""
from pathlib import Path
from qm.program import program_environment, run_program
d = Path({str(tmp_path)!r})
run_program([{sys.executable!r}, "-c", {NOTES_PIDS!r}], d, output=d / "out", errors=d / "err", timeout_s=600,
            environment=program_environment(1, {{}}))
"""
    owner = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    noted, deadline = tmp_path / "pids", time.monotonic() + 60.0
    while not (noted.exists() and len(noted.read_text().split()) == 2) and time.monotonic() < deadline:
        time.sleep(0.02)
    pids = [p.pid for p in psutil.Process(owner.pid).children(recursive=True)]
    assert len(pids) == 3
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert gone(pids)


def test_the_program_sees_no_trace_of_an_mpi_job_around_it(monkeypatch):
    for name in ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "PRTE_LAUNCHED"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
    environment = program_environment(3, {"EXTRA": "yes"})
    assert not {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "PRTE_LAUNCHED"} & set(environment)
    assert environment["OMPI_ALLOW_RUN_AS_ROOT"] == "1"
    assert (environment["OMP_NUM_THREADS"], environment["EXTRA"]) == ("3", "yes")
    assert environment["PATH"] == os.environ["PATH"]


def test_memory_of_a_rank_is_limited(tmp_path):
    config = ProgramConfig(command="sh", max_memory_gib=0.25)
    end = run(config.launched(f"{sys.executable} -c 'bytes(2**30)'"), tmp_path)
    assert end.status == 1
    assert "MemoryError" in (tmp_path / "err").read_text()


def test_ranks_are_started_by_the_launcher_and_one_rank_by_itself():
    alone = ProgramConfig(command="pw.x").launched("pw.x -nk 2", "-in", "a b")
    assert alone == ["pw.x", "-nk", "2", "-in", "a b"]
    launcher = "srun -n {ranks} -c {threads}"
    several = ProgramConfig(command="pw.x", ranks=4, threads=2, launcher=launcher, max_memory_gib=1)
    expected = ["srun", "-n", "4", "-c", "2", "prlimit", "--data=1073741824", "pw.x"]
    assert several.launched("pw.x") == expected
    assert several.cores == 8


@pytest.mark.parametrize("launcher", ["mpirun -n {n}", "mpirun {", "", "mpirun 'x"])
def test_a_launcher_that_cannot_be_filled_in_is_refused(launcher):
    with pytest.raises(ValueError, match="launcher"):
        ProgramConfig(command="pw.x", launcher=launcher)


def test_scratch_is_removed_and_that_of_the_dead_swept(tmp_path):
    with scratch_directory(str(tmp_path), Path("/nowhere")) as directory:
        (directory / "wavefunctions").touch()
        assert directory.parent == tmp_path
        assert sweep(str(tmp_path)) == 0
        assert directory.exists()
    assert not directory.exists()
    ends_before_it_tidies = f"""
import os
from pathlib import Path
from qm.scratch import scratch_directory
with scratch_directory({str(tmp_path)!r}, Path()):
    os._exit(0)
"""
    subprocess.run([sys.executable, "-c", ends_before_it_tidies], check=True, cwd=Path(__file__).parents[2])
    assert len(list(tmp_path.iterdir())) == 1
    assert sweep(str(tmp_path)) == 1
    assert list(tmp_path.iterdir()) == []
