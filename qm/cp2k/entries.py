"""Entries of CP2K's files of basis sets and pseudopotentials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ase.data import atomic_numbers

from qm.cp2k.config import EntryConfig


def read_entries(files: Mapping[str, EntryConfig]) -> dict[str, str]:
    """Return the entry of each element, as CP2K reads it, without comments.

    Raises
    ------
    ValueError
        If a file is missing or has changed, or does not hold the entry.
    """
    return {element: _entry(element, file) for element, file in files.items()}


def _entry(element: str, file: EntryConfig) -> str:
    for names, lines in _entries(file.read(element).decode(errors="replace")):
        if names[0] == element and file.name in names[1:]:
            return "\n".join([f"{element} {file.name}", *lines, ""])
    raise ValueError(f"{file.what} of {element}: {file.path} has no {file.name} for {element}")


def _entries(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the names and the other lines of all entries; one begins with a chemical symbol."""
    names: list[str] = []
    lines: list[str] = []
    for raw in text.splitlines():
        line = raw.partition("#")[0].rstrip()
        words = line.split()
        if words and words[0] in atomic_numbers:
            if names:
                yield names, lines
            names, lines = words, []
        elif words:
            lines.append(line)
    if names:
        yield names, lines
