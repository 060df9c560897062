"""Findings on disk: a file per potential, element and property, with what it was made from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from qm.fingerprint import fingerprint
from validation.results import Findings, from_plain, to_plain
from validation.subject import Subject
from validation.suite import Property
from workflow.storage.files import DamagedFileError, read_json, write_json_atomic


def inputs_fingerprint(source_fingerprint: str, subject: Subject, prop: Property) -> str:
    """Return a hash of all that a property's findings depend on."""
    return fingerprint(
        {
            "source": source_fingerprint,
            "element": subject.element,
            "property": prop.name,
            "version": prop.version,
            "needs": _version(prop.needs),
            "lattices": {
                name: [lattice.volume_ang3, lattice.c_over_a] for name, lattice in subject.lattices.items()
            },
        }
    )


class Store:
    """A directory of findings; what is there already need not be computed again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def get(self, source: str, element: str, prop: Property, inputs: str) -> Findings | None:
        """Return what was found from the same inputs, if it was and is still readable."""
        try:
            kept = read_json(self._file(source, element, prop))
            return from_plain(kept["findings"]) if kept["inputs"] == inputs else None
        except (FileNotFoundError, DamagedFileError, KeyError, TypeError, ValueError):
            return None

    def put(self, source: str, element: str, prop: Property, inputs: str, findings: Findings) -> None:
        """Keep findings."""
        kept: Mapping[str, object] = {
            "source": source,
            "element": element,
            "property": prop.name,
            "inputs": inputs,
            "findings": to_plain(findings),
        }
        write_json_atomic(self._file(source, element, prop), kept)

    def _file(self, source: str, element: str, prop: Property) -> Path:
        return self._directory / f"{_plain(source)}-{element}-{_plain(prop.name)}.json"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", name).strip("_.")


def _version(package: str) -> str:
    if not package:
        return ""
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
