"""Makes the Python environment of the rivals, once."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

import torch

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
DEFAULT_DIRECTORY = (
    Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "smelter" / "engine-peers"
)


def peer_python(directory: Path = DEFAULT_DIRECTORY) -> Path:
    """Return the rivals' interpreter, with their pinned versions and our version of torch.

    The environment is made anew when either has changed. An installation cut short leaves no mark of its
    completion and is made anew too.

    Raises
    ------
    RuntimeError
        If the directory holds something else, or the installation fails; the message ends with pip's.
    """
    torch_pin = f"torch=={torch.__version__.partition('+')[0]}"
    wanted = hashlib.sha256(f"{torch_pin} {sys.version} {REQUIREMENTS.read_text()}".encode()).hexdigest()
    python, mark = directory / "bin" / "python", directory / "installed"
    if mark.exists() and mark.read_text() == wanted:
        return python
    if directory.exists() and any(directory.iterdir()) and not (directory / "pyvenv.cfg").exists():
        raise RuntimeError(f"{directory} holds other things; expected nothing or an environment of the peers")
    print(f"making the environment of the peers in {directory} ...", flush=True)
    venv.create(directory, with_pip=True, clear=True, symlinks=True)
    command = [python, "-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS]
    # A local version (torch 2.13.0+cpu) may be on an index of its own; the public one is the same code.
    done = subprocess.run([*command, torch_pin], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"pip could not install the peers into {directory}: {done.stderr.strip()[-500:]}")
    mark.write_text(wanted)
    return python
