"""Launching on a site with a scheduler: what is written, submitted and said, and what is refused."""

import json
import os
import shlex
import subprocess

import pytest
from synthetic_campaign import make_config

import workflow.launching.allocation
from site_configs.load import load_site, site_names
from workflow.driver import Ending
from workflow.launch import main
from workflow.launching.allocation import leave, wait_until_free
from workflow.launching.plan import make_plan
from workflow.lock import CampaignRunningError
from workflow.settings.load import save_resolved
from workflow.status import main as status_main
from workflow.storage.paths import CampaignPaths

SBATCH = """\
n=$(($(/bin/cat {0}/n 2>/dev/null || echo 100) + 1))
echo $n > {0}/n
[ $n -gt ${{LAST:-999}} ] && {{ echo 'queue is full' >&2; exit 1; }}
echo $n
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A folder with settings, and Slurm's commands as small scripts; returns what they were called with."""
    save_resolved(make_config(), tmp_path / "al.yaml")
    monkeypatch.chdir(tmp_path)
    for name in ("SLURM_JOB_ID", "LSB_JOBID", "SMELTER_ALLOCATION_BEGAN"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "bin"
    folder.mkdir()
    bodies = {"sbatch": SBATCH.format(tmp_path), "sinfo": "echo 2-00:00:00 9"}
    for name in ("sbatch", "scancel", "squeue", "srun", "sinfo"):
        script = f'#!/bin/bash\necho "{name} $*" >> {tmp_path}/calls\n{bodies.get(name, "")}\n'
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def calls(name):
        path = tmp_path / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(name)]

    return calls


@pytest.fixture
def run(capsys):
    def call(*arguments, site="slurm"):
        status = main(["--site", site, *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_a_dry_run_prints_the_script_and_touches_nothing(cluster, run, tmp_path):
    before = set(tmp_path.iterdir())
    status, out, err = run("--campaign", "al.yaml", "--dry-run", "--set", "site.nodes=3")
    assert (status, err) == (0, "")
    assert "one job of 3 nodes for 12:00:00" in out
    assert "#SBATCH --nodes=3" in out
    assert set(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("cluster")
def test_a_submitted_job_runs_the_campaign_in_the_directory(run, tmp_path, capsys):
    status, out, _ = run("--campaign", "al.yaml", "--set", "site.nodes=3", "--set", "stop.max_rounds=4")
    directory = tmp_path / "campaigns/al-test"
    assert status == 0
    assert "submitted job 101\n" in out
    assert f"python -m workflow.status {directory}" in out
    assert "scancel 101" in out
    assert status_main([str(directory)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said == f"{directory} state submitted, not begun jobs 101"
    assert status_main([str(directory), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"state": "submitted", "jobs": ["101"]}
    assert json.loads((directory / "jobs.json").read_text()) == {"jobs": ["101"]}
    script = (directory / "job.sh").read_text()
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
    _, *command = shlex.split(script.splitlines()[-1])
    options = dict(zip(command[3::2], command[4::2], strict=False))
    assert options["--directory"] == str(directory)
    plan = make_plan(options["--site"], None, directory, [], resume=True)  # as the job will do
    assert plan.site == load_site("slurm", {"nodes": 3})
    assert plan.config.stop.max_rounds == 4


def test_a_chain_is_queued_one_after_the_other(cluster, run, tmp_path):
    _, out, _ = run("--campaign", "al.yaml", "--chain", "3")
    script = tmp_path / "campaigns/al-test/job.sh"
    assert "submitted job 101, and then 102, 103, each when the one before has ended" in out
    assert cluster("sbatch") == [
        f"sbatch --parsable {script}",
        f"sbatch --parsable --dependency=afterany:101 {script}",
        f"sbatch --parsable --dependency=afterany:102 {script}",
    ]


def test_a_chain_that_is_refused_halfway_leaves_no_job(cluster, run, monkeypatch):
    monkeypatch.setenv("LAST", "102")
    status, _, err = run("--campaign", "al.yaml", "--chain", "3")
    assert status == 2
    assert err == "error: sbatch refused with status 1: queue is full\n"
    assert cluster("scancel") == ["scancel 101 102"]


@pytest.mark.parametrize(
    ("arguments", "site", "message"),
    [
        ([], "perlmutter", "perlmutter: account: missing; say what to charge with --set site.account=NAME"),
        (["--set", "site.account=a; rm -rf ~"], "perlmutter", "account: expected a name of letters"),
        (["--set", "site.walltime=3-00:00:00"], "perlmutter", "walltime is 72:00:00, but regular ends at"),
        (["--set", "site.walltime=12:00"], "slurm", "walltime: expected HH:MM:SS, D-HH:MM:SS or a number"),
        (["--set", "site.queue=gpu", "--set", "site.walltime=49:00:00"], "slurm", "partition gpu ends at"),
        (["--set", "site.training.gpus=5", "--set", "site.account=a"], "sierra", "a node has 4"),
        (["--set", "site.account=a"], "sierra", "bsub, bjobs, bkill: no such command here"),
        (["--directory", "my campaign"], "slurm", "expected letters, digits and any of"),
        (["--directory", "x%j"], "slurm", "expected letters, digits and any of"),
        (["--set", "site.mode=pilot", "--set", "site.interface=ib7"], "slurm", "ib7 has no address here"),
        (["--set", "site.mode=pilot", "--set", "site.account=a"], "sierra", "bsub, bjobs, bkill: no such"),
        (["--in-allocation"], "slurm", "not inside an allocation"),
        (["--in-allocation"], "local", "this site has no scheduler"),
        (["--chain", "2"], "local", "--chain: nothing is submitted here"),
        (["--chain", "0"], "slurm", "--chain 0: expected the number of jobs, at least 1"),
        (
            ["--set", "labeller={kind: ase, calculator: ase.calculators.emt.EMT, cores: 8}"],
            "slurm",
            "a label takes 8 cores, but its worker has 1; set site.labelling.threads_per_worker=8",
        ),
        ([], "sirera", "unknown site 'sirera'; expected one of: chicoma, darwin, lassen, local"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_submitted(cluster, run, tmp_path, arguments, site, message):
    status, _, err = run("--campaign", "al.yaml", *arguments, site=site)
    assert status == 2
    assert err.count("\n") == 1
    assert message in err
    assert cluster("sbatch") == []
    assert not list(tmp_path.glob("*/al-test/ledger.jsonl"))


def test_known_sites_are_listed_without_one_being_named(capsys):
    assert main(["--list-sites"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed for name in site_names())
    assert "needs site.account" in listed
    assert main(["--campaign", "al.yaml"]) == 2
    assert "expected --site NAME or FILE; --list-sites shows" in capsys.readouterr().err


# In the allocation.


@pytest.fixture
def second_job_of_three(cluster, run, tmp_path, monkeypatch):
    """The plan as seen by the second job of a chain."""
    run("--campaign", "al.yaml", "--chain", "3")
    monkeypatch.setenv("SLURM_JOB_ID", "102")
    directory = tmp_path / "campaigns/al-test"
    return make_plan(str(CampaignPaths(directory).site), None, directory, [], resume=True)


@pytest.mark.parametrize(
    ("ending", "status", "cancelled"),
    [
        (Ending("paused", "the walltime is nearly over", "walltime"), 75, []),
        (Ending("paused", "interrupted", "SIGTERM"), 75, []),
        (Ending("converged", "half live long"), None, ["scancel 103"]),
        (Ending("budget_spent", "9 rounds"), None, ["scancel 103"]),
        (Ending("paused", "labelling is paused"), None, ["scancel 103"]),
        (Ending("failed", "the executors broke down"), None, []),
    ],
)
def test_the_chain_goes_on_only_where_there_is_something_to_do(
    second_job_of_three, cluster, ending, status, cancelled
):
    assert leave(second_job_of_three, ending) == status
    assert cluster("scancel") == cancelled


def test_a_job_waits_for_a_campaign_that_a_killed_one_left_locked(monkeypatch):
    monkeypatch.setattr(workflow.launching.allocation, "_LOOK_EVERY_S", 0.01)
    answers = [CampaignRunningError("held"), CampaignRunningError("held"), "plan"]

    def make():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert wait_until_free(make) == "plan"
    monkeypatch.setattr(workflow.launching.allocation, "STALE_S", 0.05)
    answers.extend([CampaignRunningError("alive")] * 1000)
    with pytest.raises(CampaignRunningError, match="alive"):
        wait_until_free(make)
