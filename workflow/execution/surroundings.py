"""What the pool sets around itself while it runs, and puts back: environment, directories, logging."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment, for ourselves and for what we start."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def fresh_directory(path: Path) -> Path:
    """Make an empty directory in place of one that may be there, and return it."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    return path


@contextmanager
def log_file(name: str, path: Path) -> Iterator[None]:
    """Send the warnings of a library to a file and not to the user's terminal."""
    logger = logging.getLogger(name)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


@contextmanager
def path_without_blanks(path: Path) -> Iterator[Path]:
    """Give a path to the same directory that needs no quotes in a shell script."""
    path = path.absolute()
    path.mkdir(exist_ok=True)
    if shlex.quote(str(path)) == str(path):
        yield path
        return
    with TemporaryDirectory(prefix="smelter-") as directory:
        link = Path(directory) / path.name
        link.symlink_to(path)
        yield link
