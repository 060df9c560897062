"""Write the labels of a campaign for other programs.

    python -m workflow.export DIR OUT.extxyz [--snapshot N] [--format extxyz] [--force]

Exit status 0: written; 1: the file cannot be written; 2: wrong usage, or nothing sound to write.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from workflow.dataset import Dataset
from workflow.storage.extxyz import write_extxyz
from workflow.storage.manifest import DatasetError
from workflow.storage.paths import CampaignPaths

FORMATS = ("extxyz",)


class UsageError(ValueError):
    """The command was given something that it cannot work with."""


def export(directory: Path, out: Path, *, version: int | None = None, force: bool = False) -> int:
    """Write the labels of a snapshot, the newest by default, to ``out`` as extended XYZ; return how many.

    Raises
    ------
    UsageError
        If ``directory`` is no campaign or has no labels, or ``out`` exists and ``force`` is not given.
    DatasetError
        If there is no such snapshot, or the data set is damaged.
    """
    if not directory.is_dir():
        raise UsageError(f"{directory}: there is no such directory")
    dataset = CampaignPaths(directory).dataset
    if not dataset.is_dir():
        raise UsageError(f"{directory}: is no campaign, it has no {dataset.name}")
    if out.exists() and not force:
        raise UsageError(f"{out}: exists; --force replaces it")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out}: there is no directory {out.absolute().parent}")
    snapshot = Dataset.open(dataset).snapshot(version)
    if snapshot.n_labels == 0:
        raise UsageError(f"{directory}: snapshot {snapshot.version} holds no labels")
    return write_extxyz(snapshot.records(), out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    given = _parser().parse_args(arguments)
    try:
        n_labels = export(given.directory, given.out, version=given.snapshot, force=given.force)
    except (UsageError, DatasetError) as error:
        return _fail(str(error), status=2)
    except OSError as error:
        return _fail(f"{given.out}: cannot be written ({error.strerror})", status=1)
    sys.stdout.write(f"{given.out}: {n_labels:,} labels\n")
    return 0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(_fail(f"{message}; --help shows how it is used", status=2))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m workflow.export", description="Write a campaign's labels for other programs."
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="directory of the campaign")
    parser.add_argument("out", type=Path, metavar="OUT.extxyz", help="file to write")
    parser.add_argument(
        "--snapshot", type=int, metavar="N", help="version of the data set; default the newest"
    )
    parser.add_argument("--format", choices=FORMATS, default="extxyz", help="default %(default)s")
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    return parser


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"error: {message}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
