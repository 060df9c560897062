"""The file system of a campaign answers nobody for a while; needs root, for a disk of its own to freeze."""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from tiny_campaign import check_books, events, tiny_settings

SUPPORT = Path(__file__).parents[1] / "support"
LIMIT_S = 250
SILENCE_S = 4
STALL_S = 10
SLOW = {"kind": "ase", "calculator": "faulty_calculators.Slow", "arguments": {"seconds": 0.3}}

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path):
    """Return where a small disk is mounted."""
    image, place = tmp_path / "image", tmp_path / "disk"
    place.mkdir()
    image.touch()
    os.truncate(image, 200 << 20)
    for command in (
        ["mkfs.ext4", "-q", str(image)],
        ["mount", "-o", "loop", str(image), str(place)],
        ["fsfreeze", "--freeze", str(place)],
        ["fsfreeze", "--unfreeze", str(place)],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            pytest.skip(f"no disk to freeze: {error}")
        if done.returncode:
            subprocess.run(["umount", str(place)], capture_output=True, check=False)
            pytest.skip(f"no disk to freeze: {done.stderr.strip()}")
    yield place
    subprocess.run(["fsfreeze", "--unfreeze", str(place)], capture_output=True, check=False)
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_campaign_outlasts_a_file_system_that_stalls_for_longer_than_workers_may_be_silent(disk, tmp_path):
    settings, directory = tmp_path / "tiny.yaml", disk / "run"
    settings.write_text(yaml.safe_dump(tiny_settings(labeller=SLOW)))
    command = [sys.executable, "-m", "workflow.launch", "--site", "local", "--campaign", str(settings)]
    health = ["--set", f"site.health.silence_s={SILENCE_S}", "--directory", str(directory)]
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*command, *health], env=environment, stdout=subprocess.PIPE, text=True) as driver:
        end = time.monotonic() + LIMIT_S
        while len(events(directory, "labelled")) < 4:
            assert driver.poll() is None
            assert time.monotonic() < end
            time.sleep(0.1)
        n_before = len(events(directory, "labelled"))
        subprocess.run(["fsfreeze", "--freeze", str(disk)], check=True)
        time.sleep(STALL_S)
        assert len(events(directory, "labelled")) <= n_before + 2  # one task's, on their way
        subprocess.run(["fsfreeze", "--unfreeze", str(disk)], check=True)
        story = driver.communicate(timeout=LIMIT_S)[0]
    assert driver.returncode == 0, story
    assert "budget spent: 2 of 2 rounds" in story
    check_books(directory)
    labelled = Counter(event["id"] for event in events(directory, "labelled"))
    assert set(labelled.values()) == {1}
    assert all(event["ok"] for event in events(directory, "labelled"))
