"""What a check has found, and how findings of many nodes become few lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["right", "wrong", "unknown"]
_SHOWN = 4


@dataclass(frozen=True)
class Finding:
    """What one check has found.

    Attributes
    ----------
    subject
        What was looked at, such as scratch.
    verdict
        "unknown" where nobody here can tell.
    found
        What there is.
    remedy
        What to do about it, where it is not right.
    host
        The node it is about; empty for the host of the command.
    """

    subject: str
    verdict: Verdict
    found: str
    remedy: str = ""
    host: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the table: the same finding, on some nodes."""

    subject: str
    verdict: Verdict
    text: str
    remedy: str


def right(subject: str, found: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(subject, "right", found)


def wrong(subject: str, found: str, remedy: str) -> Finding:
    """Return that something is not as it should be; messages that name a remedy ("; ") keep their own."""
    what, _, own = " ".join(found.split()).partition("; ")
    return Finding(subject, "wrong", what, own or remedy)


def unknown(subject: str, found: str, remedy: str = "") -> Finding:
    """Return that something could not be seen from here."""
    return Finding(subject, "unknown", found, remedy)


def rows(findings: Sequence[Finding]) -> list[Row]:
    """Return the lines of the table, subjects in the order in which they came.

    What is right on several nodes is one line; each different fault is one, with its nodes.
    """
    result = []
    for subject in dict.fromkeys(finding.subject for finding in findings):
        own = [finding for finding in findings if finding.subject == subject]
        good = [finding for finding in own if finding.verdict == "right"]
        if good:
            hosts = {finding.host for finding in good} - {""}
            texts = list(dict.fromkeys(finding.found for finding in good))
            where = f" on {len(hosts)} nodes" if len(hosts) > 1 else ""
            result.append(Row(subject, "right", _listed(texts, "; ") + where, ""))
        faults = [finding for finding in own if finding.verdict != "right"]
        for verdict, found, remedy in dict.fromkeys((f.verdict, f.found, f.remedy) for f in faults):
            alike = [f for f in faults if (f.verdict, f.found, f.remedy) == (verdict, found, remedy)]
            nodes = _listed(sorted({f.host for f in alike if f.host}), ", ")
            result.append(Row(subject, verdict, f"{nodes}: {found}" if nodes else found, remedy))
    return result


def _listed(texts: Sequence[str], separator: str) -> str:
    more = f"{separator}and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return separator.join(texts[:_SHOWN]) + more
