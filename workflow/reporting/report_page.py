"""The report's page: one HTML file that needs nothing from outside."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

_STYLE = """
:root { --ink: #1f2933; --soft: #6b7580; --line: #e4e8ec; --paper: #ffffff; --back: #f6f7f9;
        --mark: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 980px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { margin: 0; font-size: 28px; letter-spacing: -0.01em; }
h2 { margin: 0 0 2px; font-size: 17px; }
p { margin: 0 0 10px; color: var(--soft); }
.state { display: inline-block; margin-left: 10px; padding: 2px 12px; border-radius: 12px; font-size: 14px;
         vertical-align: 5px; color: white; background: var(--mark); }
.converged, .budget_spent { background: #00805c; }
.failed { background: #c2185b; }
.paused { background: #b45309; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
         margin: 20px 0; }
.card, section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; }
.card { padding: 12px 16px; } .card b { display: block; font-size: 22px; font-weight: 650; }
.card span { color: var(--soft); font-size: 13px; }
section { padding: 18px 20px; margin: 14px 0; }
img { display: block; width: 100%; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; margin-top: 6px; }
th, td { padding: 5px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; font-size: 13px; }
th:first-child, td:first-child { text-align: left; }
td.remark { text-align: left; white-space: normal; color: #b45309; }
footer { color: var(--soft); font-size: 13px; margin-top: 24px; }
"""


@dataclass
class Page:
    """Collects the parts of the page; all text is escaped here."""

    title: str
    state: str
    parts: list[str] = field(default_factory=list)

    def text(self, text: str) -> None:
        """Add a paragraph."""
        if text:
            self.parts.append(f"<p>{escape(text)}</p>")

    def cards(self, cards: Iterable[tuple[str, str]]) -> None:
        """Add the headline: values, each with what it is."""
        inner = "".join(
            f'<div class="card"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
            for value, name in cards
        )
        self.parts.append(f'<div class="cards">{inner}</div>')

    def section(self, title: str, text: str, *contents: str) -> None:
        """Add a section of pictures and tables made by `picture` and `table`."""
        body = "".join(contents) or "<p>Nothing to show yet.</p>"
        self.parts.append(f"<section><h2>{escape(title)}</h2><p>{escape(text)}</p>{body}</section>")

    def html(self, footer: str) -> str:
        """Return the whole page."""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{_STYLE}</style></head><body><main>"
            f'<h1>{escape(self.title)}<span class="state {escape(self.state)}">'
            f"{escape(self.state.replace('_', ' '))}</span></h1>"
            + "\n".join(self.parts)
            + f"<footer>{escape(footer)}</footer></main></body></html>\n"
        )


def picture(svg: str, description: str) -> str:
    """Return an image that holds its own data."""
    data = base64.b64encode(svg.encode()).decode()
    return f'<img alt="{escape(description)}" src="data:image/svg+xml;base64,{data}">'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], remarks: bool = False) -> str:
    """Return a table; with ``remarks`` the last column is text."""
    columns = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = []
    for row in rows:
        cells = [f"<td>{escape(cell)}</td>" for cell in row]
        if remarks:
            cells[-1] = f'<td class="remark">{escape(row[-1])}</td>'
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="scroll"><table><tr>{columns}</tr>{"".join(lines)}</table></div>'
