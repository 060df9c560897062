"""Sites with a scheduler: what they may say, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from site_configs.config import SITE
from site_configs.load import SiteError, load_site


def test_walltimes_in_a_file_are_not_taken_for_numbers(tmp_path: Path) -> None:
    """By YAML 1.1, 12:00:00 is 43,200: as minutes a month."""
    path = tmp_path / "mine.yaml"
    path.write_text("kind: slurm\nwalltime: 12:00:00\nnodes: 2\nnode: {cores: 8}\n")
    assert load_site(path).walltime == timedelta(hours=12)
    path.write_text("kind: slurm\nwalltime: 90\nnodes: 2\nnode: {cores: 8}\n")
    assert load_site(path).walltime == timedelta(minutes=90)


@pytest.mark.parametrize("name", ["perlmutter", "lassen"])
def test_a_resolved_site_reads_back_as_it_was(name: str) -> None:
    site = load_site(name, {"account": "m1234_g", "walltime": "1-06:30:00", "limits": {}})
    assert SITE.validate_python(SITE.dump_python(site, mode="json")) == site


def test_limits_are_those_of_the_quality_of_service_or_the_queue() -> None:
    assert load_site("perlmutter", {"walltime": "2-00:00:00"}).walltime == timedelta(days=2)
    with pytest.raises(SiteError, match="walltime is 00:31:00, but debug ends at 00:30:00"):
        load_site("perlmutter", {"qos": "debug", "walltime": 31})
    with pytest.raises(SiteError, match="walltime is 12:01:00, but pbatch ends at 12:00:00"):
        load_site("lassen", {"walltime": "12:01:00"})
    assert load_site("lassen", {"walltime": "13:00:00", "queue": "other"}).longest_walltime is None


@pytest.mark.parametrize(
    ("site", "changes", "message"),
    [
        ("slurm", {"account": "a; rm -rf ~"}, "account: expected a name of letters"),
        ("slurm", {"account": "$(reboot)"}, "account: expected a name"),
        ("slurm", {"account": "-x"}, "account: expected a name"),
        ("slurm", {"queue": "gpu\n#SBATCH --uid=0"}, "queue: expected a name"),
        ("slurm", {"qos": "a b"}, "qos: expected a name"),
        ("slurm", {"constraint": "gpu;ls"}, "constraint: expected features"),
        ("slurm", {"options": ["--comment=a\nrm"]}, "options: expected one option"),
        ("slurm", {"options": ["rm"]}, "options: expected one option"),
        ("slurm", {"launcher_options": ["--x=`ls`"]}, "launcher_options: expected one option"),
        ("slurm", {"scratch": "/tmp/$(ls)"}, "scratch: expected an absolute path"),
        ("slurm", {"scratch": 'x"; ls'}, "scratch: expected an absolute path"),
        ("slurm", {"environment": ["module load a\nrm"]}, "environment: expected one line"),
        ("slurm", {"walltime": "12:00"}, "walltime: expected HH:MM:SS, D-HH:MM:SS or a number of minutes"),
        ("slurm", {"walltime": 5}, "walltime is 00:05:00; expected at least twice notice_s = 300 s"),
        ("slurm", {"nodes": 0}, "nodes: Input should be greater than 0"),
        ("slurm", {"launcher": "mpirun"}, "launcher: Input should be 'srun', 'jsrun', 'mpiexec' or 'none'"),
        ("slurm", {"launcher": "none", "nodes": 2}, "launcher is none, which reaches one node"),
        (
            "slurm",
            {"launcher": "mpiexec", "nodes": 2},
            "launcher is mpiexec, which cannot be told nodes: sampling and training and labell",
        ),
        ("slurm", {"sampling": {"gpus": 3}}, "sampling: 3 GPUs asked for, a node has 0"),
        ("perlmutter", {"training": {"gpus": 5}}, "training: 5 GPUs asked for, a node has 4"),
        ("perlmutter", {"wlltime": 60}, "wlltime: unknown setting; did you mean walltime?"),
        ("perlmutter", {"sampling.worker_per_gpu": 2}, "did you mean workers_per_gpu?"),
        ("lassen", {"qos": "x"}, "qos: unknown setting"),
        ("slurm", {"labelling": {"standby": {"queue": "s"}}}, "labelling: standby is for mode pilot"),
        ("slurm", {"mode": "pilot", "labelling": {"standby": {}}}, "standby: expected a queue or a qos"),
        (
            "lassen",
            {"mode": "pilot", "labelling": {"standby": {"qos": "s"}}},
            "labelling: standby: LSF knows no qos, found 's'; expected a queue",
        ),
        (
            "slurm",
            {"nodes": 4, "labelling": {"nodes": 3, "exclusive": True, "nodes_per_worker": 2}},
            "labelling: nodes is 3; expected a multiple of nodes_per_worker = 2",
        ),
        (
            "slurm",
            {"nodes": 4, "labelling": {"nodes": 2, "nodes_per_worker": 2}},
            "labelling: nodes_per_worker is 2; expected exclusive: true, no gpus, and one worker",
        ),
        (
            "lassen",
            {"labelling": {"nodes": 2, "exclusive": True, "nodes_per_worker": 2}},
            "labelling: nodes_per_worker needs launcher srun; found jsrun",
        ),
    ],
)
def test_wrong_settings_are_refused_in_one_line(site: str, changes: dict[str, object], message: str) -> None:
    with pytest.raises(SiteError) as caught:
        load_site(site, changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_time_of_health_can_be_changed_alone() -> None:
    health = load_site("slurm", {"health.silence_s": 600}).health
    assert (health.silence_s, health.heartbeat_period_s) == (600, 5)


def test_a_scratch_directory_may_name_variables() -> None:
    for scratch in ("/scratch/me", "$PSCRATCH", "$TMPDIR/labels", "/lustre/$USER"):
        assert load_site("slurm", {"scratch": scratch}).scratch == scratch
