"""Findings on disk: a file per potential, element and property, with what it was made from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from qm.fingerprint import fingerprint
from validation.results import Findings, from_plain, to_plain
from validation.subject import Subject
from validation.suite import Property
from validation.trajectory import RUNS_VERSION
from workflow.storage.files import DamagedFileError, read_json, write_json_atomic


def inputs_fingerprint(
    source_fingerprint: str, subject: Subject, prop: Property, reference_fingerprint: str = ""
) -> str:
    """Return a hash of all that a property's findings depend on."""
    return fingerprint(
        {
            "source": source_fingerprint,
            "element": subject.element,
            "property": prop.name,
            "version": prop.version,
            "needs": _version(prop.needs),
            "lattices": _lattices(subject),
            **(_of_dynamics(subject, prop, reference_fingerprint) if prop.runs else {}),
        }
    )


def runs_fingerprint(source_fingerprint: str, subject: Subject) -> str:
    """Return a hash of what all runs of dynamics depend on; the rest is in their names."""
    return fingerprint(
        {
            "source": source_fingerprint,
            "element": subject.element,
            "lattices": _lattices(subject),
            "version": RUNS_VERSION,
        }
    )


def _lattices(subject: Subject) -> dict[str, list[float | None]]:
    return {name: [lattice.volume_ang3, lattice.c_over_a] for name, lattice in subject.lattices.items()}


def _of_dynamics(subject: Subject, prop: Property, reference_fingerprint: str) -> dict[str, object]:
    return {
        "runs": asdict(getattr(subject.conditions, prop.runs)),
        "runs_version": RUNS_VERSION,
        "reference": reference_fingerprint if prop.refers else "",
    }


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

    def runs(self, source: str, element: str, inputs: str) -> Path:
        """Return where runs of dynamics from these inputs are kept."""
        return self._directory / f"{_plain(source)}-{element}-runs-{inputs[:12]}"

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
