"""What the property suite leaves in its directory: JSON, CSV, pictures and one page."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from potentials.durable import replace_file
from validation.results import to_plain
from validation.suite import Property, SuiteName
from workflow.reporting.report_page import Page, picture, table
from workflow.reporting.validation_plots import findings_plot
from workflow.storage.files import write_json_atomic
from workflow.validating.comparison import Row, by_source, comparison
from workflow.validating.numbers import literature_text, number_text, quantity_text
from workflow.validating.run import Examined

RESULTS_JSON, RESULTS_CSV, PAGE, PLOTS = "results.json", "results.csv", "validation.html", "plots"
FORMAT = 1


@dataclass(frozen=True)
class Report:
    """All results of one run of the suite.

    Attributes
    ----------
    suite, props, elements
        What was asked for.
    sources
        Names of the potentials with their fingerprints; the one in question first.
    reference
        Which of them is the reference, if one is.
    skipped
        Potentials that could not be used, with the reason.
    results
        Every property by every potential.
    """

    suite: SuiteName
    props: Sequence[Property]
    elements: Sequence[str]
    sources: Mapping[str, str]
    reference: str | None
    skipped: Mapping[str, str]
    results: Sequence[Examined]

    def rows(self, element: str) -> list[Row]:
        """Return the table of an element."""
        return comparison(self.results, element, self.props, self.reference)


def write_outputs(report: Report, directory: Path) -> Path:
    """Write all files; return the page."""
    plots = directory / PLOTS
    plots.mkdir(parents=True, exist_ok=True)
    write_json_atomic(directory / RESULTS_JSON, results_json(report))
    replace_file(directory / RESULTS_CSV, _csv(report).encode())
    pictures = {
        (element, prop.name): svg
        for element in report.elements
        for prop in report.props
        if (svg := findings_plot(by_source(report.results, element, prop.name))) is not None
    }
    for (element, name), svg in pictures.items():
        replace_file(plots / f"{element}-{name.replace(' ', '_').replace(',', '')}.svg", svg.encode())
    replace_file(directory / PAGE, _page(report, pictures).encode())
    return directory / PAGE


def results_json(report: Report) -> dict[str, Any]:
    """Return everything as plain values for JSON; numbers that do not exist are null."""
    return {
        "format": FORMAT,
        "suite": report.suite,
        "elements": list(report.elements),
        "sources": dict(report.sources),
        "reference": report.reference,
        "skipped": dict(report.skipped),
        "results": [
            {
                "source": result.source,
                "element": result.element,
                "property": result.property,
                **to_plain(result.findings),
            }
            for result in report.results
        ],
        "differences": [
            {
                "element": row.element,
                "quantity": row.quantity,
                "unit": row.unit,
                "source": source,
                "value": value,
            }
            for element in report.elements
            for row in report.rows(element)
            for source, value in row.differences.items()
        ],
        "literature": [
            asdict(value)
            for element in report.elements
            for row in report.rows(element)
            for value in (*row.literature, *row.published_errors)
        ],
    }


def _csv(report: Report) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["element", "property", "quantity", "unit", "source", "value", "error", "error_kind", "remark"]
    )
    for element in report.elements:
        for row in report.rows(element):
            head = [element, row.topic, row.quantity, row.unit]
            for source, q in row.by_source.items():
                writer.writerow([*head, source, _cell(q.value), _cell(q.error), q.error_kind, q.remark])
            for value in row.literature:
                writer.writerow(
                    [*head, value.source, value.value, value.error or "", "", f"{value.method} {value.note}"]
                )
    return text.getvalue()


def _cell(value: float) -> str:
    return repr(value) if math.isfinite(value) else ""


def text_table(report: Report) -> str:
    """Return the numbers of all potentials as text, with one published value each where there is one."""
    lines: list[str] = []
    for element in report.elements:
        head = [element, "unit", *report.sources, "literature", ""]
        lines += _aligned([head, *(_text_cells(report, row) for row in report.rows(element))])
    return "\n".join(lines)


def _text_cells(report: Report, row: Row) -> list[str]:
    known = [quantity_text(row.by_source[s]) if s in row.by_source else "" for s in report.sources]
    published = f"{row.literature[0].value:g} ({row.literature[0].method})" if row.literature else ""
    return [row.quantity, row.unit, *known, published, row.remarks]


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
        cells += [cell.rjust(width) for cell, width in zip(row[2:-1], widths[2:-1], strict=True)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def _page(report: Report, pictures: Mapping[tuple[str, str], str]) -> str:
    first = next(iter(report.sources), "")
    page = Page(f"Properties of {first}", report.suite)
    for name, reason in report.skipped.items():
        page.text(f"Not compared: {name}: {reason}")
    for element in report.elements:
        rows = report.rows(element)
        for prop in report.props:
            found = by_source(report.results, element, prop.name)
            svg = pictures.get((element, prop.name))
            page.section(
                f"{element}: {prop.name}",
                next((findings.method for findings in found.values() if findings.method), ""),
                *([picture(svg, f"{prop.name} of {element}")] if svg else []),
                _table(report, [row for row in rows if row.topic == prop.name]),
            )
    return page.html(f"written {time.strftime('%Y-%m-%d %H:%M')}")


def _table(report: Report, rows: Sequence[Row]) -> str:
    others = [source for source in report.sources if source != report.reference]
    apart = [f"{source} − reference" for source in others] if report.reference else []
    head = ["", "unit", *report.sources, *apart, "published", ""]
    lines = []
    for row in rows:
        values = [quantity_text(row.by_source[s]) if s in row.by_source else "" for s in report.sources]
        differences = [
            number_text(row.differences[s], row.unit) if s in row.differences else "" for s in others
        ]
        published = [literature_text(value) for value in (*row.literature, *row.published_errors)]
        lines.append(
            [
                row.quantity,
                row.unit,
                *values,
                *(differences if report.reference else []),
                " · ".join(published),
                row.remarks,
            ]
        )
    return table(head, lines, remarks=True)
