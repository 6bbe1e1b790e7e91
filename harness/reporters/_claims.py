"""How are the claims told: to who reads a terminal, a pull request, or a page?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table as Grid
from rich.text import Text

from harness.plain import plain
from harness.reporters import _shown
from harness.reporters.html import standalone
from harness.reporters.markdown import text

if TYPE_CHECKING:
    from harness.catalogue import Group
    from harness.claims import Row, Table, Tested

MARKS = {"holds": "✓", "refuted": "✕", "unknown": "?", "not run": "–", "not tested": "–"}
WORDS = {"holds": "HOLDS", "refuted": "REFUTED", "unknown": "UNKNOWN", "not run": "not run", "not tested": "not tested"}
CLASSES = {"holds": "pass", "refuted": "fail", "unknown": "unknown", "not run": "dim", "not tested": "dim"}
_STYLES = {"holds": "bold green", "refuted": "bold red", "unknown": "bold yellow", "not run": "dim", "not tested": "dim"}
HEAD = ("claim", "what it says", "measured", "verdict", "run")
LEGEND = (
    ("holds", "every bound that was tied to it before the run surely held, in each scenario that tests it"),
    ("refuted", "one of them was surely broken; it stays here with its figure"),
    ("unknown", "a run could not be trusted, a figure lay on both sides of its bound, or some of its scenarios were not run"),
    ("not run", "scenarios test it, and none of them has been run"),
    ("not tested", "no scenario tests it"),
)
COMPARED = (
    "Seconds that others have published are quoted for comparison: they are of other machines, and no bound here. Dates lead to"
    " the runs' reports, which lie beside this table where it was written, and are not kept with it elsewhere."
)


@dataclass(frozen=True)
class Line:
    """One scenario's run of a claim, or a claim that nothing tests, in words."""

    standing: str
    figures: tuple[str, ...]
    notes: tuple[str, ...]
    scenario: str
    title: str
    because: str
    ran: str  # runtime and date
    scenario_file: str  # as seen from where the table is written
    report: str


def lines(row: Row, below: Path) -> list[Line]:
    """What was tried of a claim; links are as seen from the folder `below`."""
    return [_line(one, below) for one in row.tested]


def _line(one: Tested, below: Path) -> Line:
    figures = tuple(f"{figure.title} {figure.measured}; {figure.bound} {_shown.MARKS[figure.verdict]}" for figure in one.figures)
    ran = f"{one.runtime}, {one.started_at[:10]}" if one.folder else ""
    file = _seen_from(below, one.scenario.path) if one.scenario.path else ""
    report = _seen_from(below, one.folder / "report.html") if one.folder else ""
    name, title = one.scenario.name, one.scenario.title
    return Line(one.standing.value, figures, tuple(one.notes), name, title, one.because, ran, file, report)


def _seen_from(below: Path, path: Path) -> str:
    return os.path.relpath(path.resolve(), below.resolve()).replace(os.sep, "/")


def summary(table: Table) -> str:
    """`42 claims: 3 hold, 1 refuted, 38 not tested`."""
    counts = {standing.value: number for standing, number in table.counts.items() if number}
    told = [f"{number} {'hold' if word == 'holds' and number > 1 else word}" for word, number in counts.items()]
    total = sum(counts.values())
    return f"{total} claim{'s' if total != 1 else ''}: {', '.join(told)}"


# --- a terminal --------------------------------------------------------------------------------------------------------


def grid(table: Table) -> RenderableType:
    """The table for a terminal."""
    shown = Grid(*HEAD, title=summary(table))
    for group, rows in table.groups:
        shown.add_row("", Text(plain(group.title), "bold"), end_section=True)
        for row in rows:
            first = [row.claim.id, plain(row.claim.says)]
            tried = [_cells(line) for line in lines(row, Path())] or [("–", "not tested", "–")]
            for number, (measured, standing, run) in enumerate(tried, 1):
                verdict = Text(_mark(standing), _STYLES[standing])
                shown.add_row(*map(Text, first), Text(measured), verdict, Text(run), end_section=number == len(tried))
                first = ["", ""]
    return shown


def _cells(line: Line) -> tuple[str, str, str]:
    run = f"{line.scenario} ({line.ran})" if line.ran else line.scenario
    return plain("\n".join([*line.figures, *line.notes]) or "–"), line.standing, plain(run)


def _mark(standing: str) -> str:
    return f"{MARKS[standing]} {WORDS[standing]}"


# --- Markdown ----------------------------------------------------------------------------------------------------------


def markdown(table: Table, below: Path) -> str:
    """The table for a folder `below` which its links lead on."""
    return "\n".join(_markdown(table, below)) + "\n"


def _markdown(table: Table, below: Path) -> Iterator[str]:
    yield "# Claims\n"
    yield f"**{text(summary(table))}.** {COMPARED}\n"
    yield from (f"- {_mark(word)}: {means}" for word, means in LEGEND)
    for group, rows in table.groups:
        yield f"\n## {text(group.title)}\n"
        yield f"| {' | '.join(HEAD)} |"
        yield f"|{' --- |' * len(HEAD)}"
        for row in rows:
            yield from _of_claim(row, lines(row, below))
    if table.unread:
        yield "\n## Results that could not be read\n"
        yield from (f"- {text(problem)}" for problem in table.unread)


def _of_claim(row: Row, tried: Sequence[Line]) -> Iterator[str]:
    """A line for each scenario; only the first says the claim itself."""
    says = text(row.claim.says) + (f" Published: {text(row.claim.published)}." if row.claim.published else "")
    first = [f"`{row.claim.id}`", says]
    for one in tried:
        measured = "<br>".join(text(part) for part in (*one.figures, *one.notes)) or "–"
        scenario = f"[{text(one.scenario)}]({one.scenario_file})" if one.scenario_file else text(one.scenario)
        run = f"{scenario}: [{text(one.ran)}]({one.report})" if one.report else scenario
        yield f"| {' | '.join([*first, measured, _mark(one.standing), run])} |"
        first = ["", ""]
    if not tried:
        yield f"| {' | '.join([*first, '–', _mark('not tested'), '–'])} |"


# --- a page ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shown:
    """A claim for the page."""

    row: Row
    standing: str
    lines: Sequence[Line]


def page(table: Table, below: Path) -> str:
    """The table as one HTML file that needs no network."""

    def shown(rows: Sequence[Row]) -> list[Shown]:
        return [Shown(row, row.standing.value, lines(row, below)) for row in rows]

    groups: list[tuple[Group, list[Shown]]] = [(group, shown(rows)) for group, rows in table.groups]
    counts = [(standing.value, number) for standing, number in table.counts.items()]
    words = {"marks": MARKS, "words": WORDS, "classes": CLASSES, "legend": dict(LEGEND), "compared": COMPARED}
    return standalone("claims.html.j2", table=table, groups=groups, counts=counts, summary=summary(table), **words)
