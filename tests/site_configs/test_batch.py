"""The batch script of every site, held against one on file.

``python tests/site_configs/test_batch.py`` writes the files anew; look at what has changed before it is kept.
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from site_configs.batch import BatchJob, batch_script
from site_configs.launchers import SliceLauncher
from site_configs.load import load_site, site_names
from site_configs.providers import make_provider, scheduler_line
from site_configs.schedulers import directives

SCRIPTS = Path(__file__).parent / "batch_scripts"
SITES = [name for name in site_names() if name != "local"]
JOB = BatchJob(
    name="smelter-al",
    tag="smelter-al",
    directory=Path("/home/me/my work"),
    logs=Path("/scratch/al/logs"),
    command=["/home/me/.venv/bin/python", "-m", "workflow.launch", "--directory", "/scratch/al"],
    goes_on=True,
    watchman=["/home/me/.venv/bin/python", "-m", "workflow.launching.watchman", "--directory", "/scratch/al"],
)
FULL = {
    "account": "m1234_g",
    "queue": "gpu",
    "qos": "long",
    "constraint": "gpu&hbm80g",
    "walltime": "1-12:00:00",
    "nodes": 16,
    "node": {"cores": 64, "gpus": 4, "memory_gb": 200},
    "gpu_request": "gres",
    "options": ["--licenses=scratch,cfs", "--mail-type END"],
    "environment": ["module load cudatoolkit/12.4", "export FI_PROVIDER=cxi"],
    "notice_s": 900,
}
STANDBY = {
    "slurm": ("slurm", {**FULL, "mode": "pilot", "labelling": {"blocks": 2, "standby": {"queue": "spare"}}}),
    "slurm-qos": (
        "slurm",
        {**FULL, "mode": "pilot", "labelling": {"queue": "cpu", "standby": {"qos": "standby", "blocks": 9}}},
    ),
    "lsf": ("sierra", {"account": "m1", "mode": "pilot", "labelling": {"standby": {"queue": "pstandby"}}}),
}


def script(name: str) -> str:
    site = load_site("slurm", FULL) if name == "everything" else load_site(name, {"account": "m1234"})
    return batch_script(site, JOB)


def blocks(name: str) -> str:
    """Return what the blocks of labelling ask for, in each place where they are queued."""
    site = load_site(*STANDBY[name])
    part = site.role("labelling")
    provider = make_provider(site, part, SliceLauncher(part.slices, {}, site), "c1", scheduler_line(site))
    return "".join(
        f"# up to {place.blocks} blocks\n" + "\n".join(place.directives) + "\n" for place in provider.places
    )


@pytest.mark.parametrize("name", [*SITES, "everything"])
def test_the_script_is_as_on_file(name: str) -> None:
    assert script(name) == (SCRIPTS / f"{name}.sh").read_text()


@pytest.mark.parametrize("name", STANDBY)
def test_what_blocks_ask_for_is_as_on_file(name: str) -> None:
    assert blocks(name) == (SCRIPTS / f"{name}-blocks.txt").read_text()


@pytest.mark.parametrize("name", [*SITES, "everything"])
def test_bash_understands_the_script(name: str) -> None:
    subprocess.run(["bash", "-n"], input=script(name), text=True, check=True)


def test_no_setting_that_is_not_a_command_reaches_the_shell() -> None:
    lines = [line for line in script("everything").splitlines() if line and not line.startswith("#")]
    assert lines == [
        "module load cudatoolkit/12.4",
        "export FI_PROVIDER=cxi",
        "trap '' USR1 USR2  # a warning that comes before the driver listens is not its end",
        "cd '/home/me/my work' || exit",
        "srun --relative=1 --nodes=1 --ntasks=1 --overlap --cpu-bind=none --no-kill "
        f"{shlex.join(JOB.watchman)} &",
        f"exec {shlex.join(JOB.command)}",
    ]


def test_blocks_of_a_pilot_ask_for_the_same_nodes_as_a_job() -> None:
    site = load_site("slurm", FULL)
    asked = directives(site, "standby", "smelter-7")
    assert "#SBATCH --partition=standby" in asked
    assert "#SBATCH --comment=smelter-7" in asked
    assert "#SBATCH --gres=gpu:4" in asked
    assert "#SBATCH --no-requeue" in blocks("slurm")  # it would be waited for, for minutes
    assert "#SBATCH --no-kill" in asked  # a dead node must not end the others


if __name__ == "__main__":
    SCRIPTS.mkdir(exist_ok=True)
    for each in [*SITES, "everything"]:
        (SCRIPTS / f"{each}.sh").write_text(script(each))
    for each in STANDBY:
        (SCRIPTS / f"{each}-blocks.txt").write_text(blocks(each))
