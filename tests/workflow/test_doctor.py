"""The doctor finds each fault, made here for real, and names its remedy."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from dataclasses import replace

import pytest
import torch
from tiny_campaign import tiny_settings

import workflow.diagnosis.job
from potentials.kernels import select
from potentials.kernels.library import forgone
from site_configs.load import load_site
from workflow.diagnosis.driver import listening
from workflow.diagnosis.finding import Finding, right, rows, wrong
from workflow.diagnosis.node import SECRET, Request, examine
from workflow.diagnosis.scheduler import is_gone
from workflow.diagnosis.steps import examine_nodes
from workflow.doctor import main
from workflow.settings.config import CampaignConfig
from workflow.settings.load import save_resolved


@pytest.fixture
def doctor(tmp_path, monkeypatch, capsys):
    """Run the command in a folder of its own; return its status and lines."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, site: str = "slurm") -> tuple[int, list[str]]:
        status = main(["--site", site, *arguments])
        captured = capsys.readouterr()
        return status, (captured.out + captured.err).splitlines()

    return call


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Put commands on an otherwise empty path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(**bodies: str) -> None:
        for name, body in bodies.items():
            (folder / name).write_text(f"#!/bin/bash\n{body}\n")
            (folder / name).chmod(0o755)

    return make


@pytest.fixture
def slurm(commands):
    """Slurm's commands with a partition that takes jobs, and accounts a and b."""
    commands(
        sbatch="",
        scancel="",
        squeue="",
        srun="",
        sinfo="echo 2-00:00:00 9",
        sacctmgr="echo 'a|normal,long'; echo 'b|normal'",
        scontrol="echo PartitionName=gpu AllowAccounts=ALL State=UP",
    )
    return commands


def faults(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines if line.startswith("wrong")]


# This machine.


def test_this_machine_is_right_and_left_as_it_was(doctor, tmp_path):
    save_resolved(CampaignConfig.model_validate(tiny_settings()), tmp_path / "tiny.yaml")
    status, lines = doctor("--campaign", "tiny.yaml", "--set", "site.shared.workers=1", site="local")
    assert status == 0, lines
    assert faults(lines) == []
    said = " ".join(lines)
    for expected in (
        f"torch {torch.__version__}",
        "cpp kernel on cpu",
        f"{tmp_path}/campaigns is writable",
        f"{tmp_path}/campaigns is shared",
        "the driver is reached at 127.0.0.1",
        "eam can be made",
    ):
        assert expected in said
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.yaml"}


def test_a_directory_that_cannot_be_written_is_found_before_anything_runs(doctor, tmp_path):
    (tmp_path / "taken").touch()
    status, lines = doctor("--directory", "taken/campaigns", site="local")
    assert status == 1
    assert faults(lines) == [
        "wrong campaign directory taken/campaigns: Not a directory; give another --directory"
    ]
    assert "not looked at" in " ".join(lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--site", "sirera"], "error: unknown site 'sirera'"),
        (["--site", "slurm", "--set", "site.walltime=12:00"], "walltime: expected HH:MM:SS"),
        (["--site", "local", "--set", "stop.max_rounds=3"], "expected site.key=value, or --campaign FILE"),
        (["--site", "local", "--campaign", "absent.yaml"], "absent.yaml"),
    ],
)
def test_wrong_use_is_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


# The scheduler.


@pytest.mark.usefixtures("slurm")
def test_a_scheduler_that_knows_us_is_right(doctor):
    status, lines = doctor("--no-job", "--set", "site.account=a", "--set", "site.queue=gpu")
    assert status == 0, lines
    assert not [line for line in lines if line.startswith("unknown")]


def test_missing_commands_are_named(doctor, commands):
    commands(sbatch="", squeue="", scancel="")
    status, lines = doctor("--no-job")
    assert status == 1
    assert faults(lines) == [
        "wrong commands sinfo, srun: no such command here; run this on the login node of the site, with the"
        " scheduler's commands on PATH"
    ]


@pytest.mark.parametrize(
    ("settings", "changed", "fault"),
    [
        (["account=c"], {}, "account c is not one of yours; set site.account to one of a, b"),
        (["account=b", "qos=long"], {}, "quality of service long is not open to b; set site.qos to one of"),
        (["queue=gpu"], {"sinfo": ""}, "queue Slurm knows no partition 'gpu'; 'sinfo -s' shows those it has"),
        (["queue=gpu", "nodes=10"], {}, "queue nodes is 10, but partition gpu has 9; set site.queue, site.n"),
        (
            ["queue=gpu", "walltime=49:00:00"],
            {},
            "queue walltime is 49:00:00, but partition gpu ends at 48:00:00; set site.queue, site.nodes or",
        ),
        (["queue=gpu"], {"scontrol": "echo State=DOWN"}, "queue partition gpu is DOWN; wait, or set another"),
        (
            ["account=a", "queue=gpu"],
            {"scontrol": "echo AllowAccounts=b,c State=UP"},
            "queue partition gpu is not open to account a; set site.account to one of b,c",
        ),
    ],
)
def test_what_slurm_will_refuse_is_found_without_a_job(doctor, slurm, settings, changed, fault):
    slurm(**changed)
    sets = [word for setting in settings for word in ("--set", f"site.{setting}")]
    status, lines = doctor("--no-job", *sets)
    assert status == 1
    (found,) = faults(lines)
    assert found.startswith(f"wrong {fault}")


def test_where_slurm_keeps_no_accounts_nothing_is_claimed(doctor, slurm):
    slurm(sacctmgr="echo 'You are not running a supported accounting_storage plugin' >&2; exit 1")
    status, lines = doctor("--no-job", "--set", "site.account=c")
    assert status == 0
    assert any(line.startswith("unknown") and "sacctmgr does not tell yours" in line for line in lines)


@pytest.mark.parametrize(
    ("answer", "verdict", "text"),
    [
        ("echo QUEUE_NAME PRIO STATUS; echo pbatch 30 Open:Active", "right", "pbatch is open"),
        ("echo pbatch 30 Closed:Active", "wrong", "pbatch is Closed:Active"),
        ("echo 'pbatch: No such queue.' >&2; exit 255", "wrong", "LSF knows no queue 'pbatch'"),
    ],
)
def test_lsf_is_asked_for_the_queue(doctor, commands, answer, verdict, text):
    commands(bsub="", bjobs="", bkill="", bqueues=answer)
    status, lines = doctor("--no-job", "--set", "site.account=bank", site="sierra")
    assert status == (verdict == "wrong")
    assert any(line.startswith(verdict) and text in line for line in lines)


def test_a_missing_account_and_a_strange_directory_are_wrong_settings(doctor, slurm):
    _, lines = doctor("--no-job", site="perlmutter")
    assert "account: missing; say what to charge with --set site.account=NAME" in faults(lines)[0]
    _, lines = doctor("--no-job", "--directory", "my campaigns")
    assert "expected letters, digits" in faults(lines)[0]


# The job.


@pytest.mark.parametrize(
    ("bodies", "wait", "fault"),
    [
        (
            {"sbatch": "echo 'Invalid account' >&2; exit 1"},
            "1",
            "sbatch refused with status 1: Invalid account; set site.account, queue, qos, nodes or",
        ),
        ({"sbatch": "echo 12"}, "1", "12 ended and left nothing in {}/campaigns; give --directory on a file"),
        (
            {"sbatch": "echo python: not found > ${2%/*}/job-12.out; echo 12"},
            "1",
            "12 ended early: python: not found; see site.environment, and that nodes see Python",
        ),
        (
            {"sbatch": "echo 12", "squeue": "echo PENDING"},
            "0",
            "12 has not ended within 0 minutes; set a queue for short tests or fewer nodes, or give a longer",
        ),
    ],
)
def test_a_job_that_tells_nothing_is_told_of_and_cancelled(
    doctor, slurm, monkeypatch, tmp_path, bodies, wait, fault
):
    for name in ("_ASK_EVERY_S", "_LATE_S", "_LOOK_EVERY_S"):
        monkeypatch.setattr(workflow.diagnosis.job, name, 0.05)
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/bin:/bin")
    slurm(scancel=f"echo $* > {tmp_path}/cancelled", **bodies)
    status, lines = doctor("--wait", wait)
    assert status == 1
    (found,) = faults(lines)
    assert found.startswith(f"wrong job {fault.format(tmp_path)}")
    if "refused" not in found:
        assert (tmp_path / "cancelled").read_text() == "12\n"
    assert not (tmp_path / "campaigns").exists()


def test_only_a_scheduler_that_answers_says_that_a_job_is_gone(commands):
    slurm, lsf = load_site("slurm"), load_site("sierra", {"account": "bank"})
    assert not is_gone(slurm, "12")
    for answer, gone in (
        ("echo RUNNING", False),
        ("echo COMPLETED", True),
        ("", True),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", True),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", False),
    ):
        commands(squeue=answer)
        assert is_gone(slurm, "12") == gone
    for answer, gone in (
        ("echo PEND", False),
        ("echo EXIT", True),
        ("echo 'Job <12> is not found' >&2; exit 255", True),
        ("echo 'LSF is down. Please wait ...' >&2; exit 255", False),
    ):
        commands(bjobs=answer)
        assert is_gone(lsf, "12") == gone


# A node.


@pytest.fixture
def request_(tmp_path):
    """A request in which everything is right but the driver, who does not listen."""
    place = tmp_path / "campaigns/doctor"
    place.mkdir(parents=True)
    (place / SECRET).write_text("word")
    return Request("sampling", str(place), (), 1, "word", labels=True)


def on_node(request: Request, **changes: object) -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine(replace(request, **changes))}


def test_every_finding_names_its_node(request_):
    found = on_node(request_)
    assert {finding.host for finding in found.values()} == {platform.node()}
    assert {"PyTorch", "descriptors", "scratch", "shared directory", "network"} == set(found)


def test_a_driver_is_reached_by_its_word_only(request_):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = on_node(request_, addresses=("127.0.0.1",), port=port)["network"]
    assert found.verdict == "wrong"
    assert "Connection refused" in found.found
    assert "site.interface" in found.remedy


def test_an_interface_that_is_not_there_is_found():
    with listening(load_site("slurm", {"interface": "ib7"})) as driver:
        assert driver.fault.startswith("interface: ib7 has no address here")


def test_a_driver_on_any_of_its_addresses_is_enough(request_):
    with listening(load_site("local")) as driver:
        places = {"addresses": ("127.0.0.2", "127.0.0.1"), "port": driver.port}
        assert on_node(request_, **places)["network"].verdict == "wrong"  # someone else listens there
        request = replace(request_, secret=driver.secret)
        assert on_node(request, **places)["network"].verdict == "right"


def test_scratch_that_cannot_be_used_is_found(request_, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for path, text in (
        ("/absent", "No such file"),
        (tmp_path / "file", "Not a directory"),
        ("$NO", "not set"),
    ):
        monkeypatch.setenv("SMELTER_SCRATCH", str(path))
        found = on_node(request_)["scratch"]
        assert (found.verdict, text in found.found) == ("wrong", True), found


def test_a_full_scratch_is_found(request_, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: _Full())
    assert "0.00 GiB free" in on_node(request_)["scratch"].found


class _Full:
    free = 2**20


def test_a_directory_that_the_node_does_not_share_is_found(request_, tmp_path):
    found = on_node(request_, directory=str(tmp_path / "absent"))["shared directory"]
    assert (found.verdict, "No such file" in found.found) == ("wrong", True)
    found = on_node(request_, secret="another")["shared directory"]
    assert (found.verdict, "is another one on the node" in found.found) == ("wrong", True)


def test_gpus_that_the_step_was_not_given_are_found(request_, monkeypatch):
    monkeypatch.setenv("SMELTER_GPUS", "0,1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    found = on_node(request_)["GPUs of sampling"]
    assert found.verdict == "wrong"
    assert "its step was given 1: 0" in found.found


@pytest.mark.skipif(torch.version.cuda is not None, reason="needs a CPU build of torch")
def test_a_gpu_role_whose_torch_has_no_cuda_is_found(request_, monkeypatch):
    monkeypatch.setenv("SMELTER_GPUS", "0,1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    found = on_node(request_)["PyTorch of sampling"]
    assert (found.verdict, "is built without CUDA" in found.found) == ("wrong", True)


def test_fewer_gpus_than_stated_are_found(request_, monkeypatch, commands):
    commands(**{"nvidia-smi": "echo GPU-1"})
    monkeypatch.setenv("SMELTER_GPUS", "0,1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = on_node(request_)["GPUs of sampling"]
    assert (found.verdict, found.found) == ("wrong", "2 for 2 workers are stated, nvidia-smi shows 1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_the_slow_kernel_is_found_with_the_reason(request_):
    select._kernel.cache_clear()
    with forgone():
        found = on_node(request_)["descriptors"]
    select._kernel.cache_clear()
    assert found.verdict == "wrong"
    assert "torch kernel on cpu, many times slower: not to be used" in found.found


def test_a_label_code_that_is_not_there_or_another_is_found(request_, tmp_path):
    def settings(command: str, version: str | None) -> str:
        (tmp_path / "Al.upf").write_text("<UPF>")
        labeller = {
            "kind": "espresso",
            "pseudopotentials": {"Al": {"path": str(tmp_path / "Al.upf")}},
            "functional": "PBE",
            "wavefunction_cutoff_ry": 20.0,
            "k_spacing_per_ang": 0.5,
            "smearing": "none",
            "command": command,
            "version": version,
        }
        path = tmp_path / "dft.yaml"
        save_resolved(CampaignConfig.model_validate({**tiny_settings(), "labeller": labeller}), path)
        return str(path)

    found = on_node(request_, campaign=settings("pw.absent", None))["label code"]
    assert "there is no program 'pw.absent'" in found.found
    program = tmp_path / "pw.x"
    program.write_text("#!/bin/bash\necho '     Program PWSCF v.7.3 starts on 21Nov2026'\n")
    program.chmod(0o755)
    found = on_node(request_, campaign=settings(str(program), "6.7MaX"))["label code"]
    assert (found.verdict, "is version 7.3, the campaign says 6.7MaX" in found.found) == ("wrong", True)


def test_a_node_that_does_not_answer_is_found(tmp_path):
    site = load_site("local", {"shared.workers": 1})
    with listening(site) as driver:
        findings = examine_nodes(site, driver, tmp_path, None, (), step_s=0.01)
    (fault,) = [finding for finding in findings if finding.verdict == "wrong"]
    assert fault.found == "0 of 1 answered for shared: no answer for 0.01 s"


def test_faults_of_many_nodes_are_one_line_each():
    good = [replace(right("scratch", "/tmp"), host=f"n{i}") for i in range(7)]
    bad = [replace(wrong("scratch", "full", "empty it"), host=f"m{i}") for i in range(6)]
    first, second = rows([*good, *bad])
    assert (first.verdict, first.text) == ("right", "/tmp on 7 nodes")
    assert second.text == "m0, m1, m2, m3, and 2 more: full"
    assert second.remedy == "empty it"
