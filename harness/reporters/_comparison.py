"""How is a comparison told: as a table for a pull request, and as a page to look at?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from harness.comparison import Comparison, Difference
from harness.reporters import _shown
from harness.reporters.html import standalone

MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Row:
    """One figure, in words; `bar` is the x and width of its interval in a drawing of `WIDTH`, `state` its colour."""

    WIDTH: ClassVar[int] = 160

    title: str
    a: str
    b: str
    difference: str
    interval: str
    effect: str
    allowed: str
    verdict: str
    bar: tuple[float, float]
    state: str


def rows(found: Comparison) -> Iterator[Row]:
    """Every figure that both sides have."""
    for one in found.differences:
        a, b = (_shown.number(value, one.unit) for value in one.medians)
        yield Row(
            _shown.title_of(one.metric), a, b, _signed(one.change, one.unit),
            f"{_signed(one.lower, one.unit)} … {_signed(one.upper, one.unit)}",
            "" if one.effect is None else f"{one.effect:+.2f}",
            "" if one.allowed is None else _shown.number(one.allowed, one.unit),
            one.verdict.value if one.verdict else "", _bar(one), _state(one),
        )  # fmt: skip


def gated(found: Comparison) -> bool:
    """Whether anybody said how much worse B may be."""
    return any(one.verdict for one in found.differences)


def markdown(found: Comparison) -> str:
    """The comparison as a table, for a pull request."""
    a, b = (f"`{side.name}`, {_runs(len(side.results))}" for side in (found.a, found.b))
    lines = [
        f"## {found.scenario}: what changed",
        "",
        f"A: {a}; B: {b}. Medians; B less A.",
        "",
        "| figure | A | B | difference | interval | effect |" + (" at most worse by | |" if gated(found) else ""),
        "| --- | --- | --- | --- | --- | --- |" + (" --- | --- |" if gated(found) else ""),
    ]
    for row in rows(found):
        cells = [row.title, row.a, row.b, row.difference, row.interval, row.effect]
        if gated(found):
            cells += [row.allowed, f"{_shown.MARKS[row.verdict]} {_shown.WORDS[row.verdict]}" if row.verdict else ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, *([""] if found.notes else []), *(f"- {note}" for note in found.notes)]) + "\n"


def page(found: Comparison) -> str:
    """The comparison as one HTML file that needs no network."""
    return standalone("comparison.html.j2", found=found, rows=list(rows(found)), gated=gated(found))


def _runs(count: int) -> str:
    return f"{count} run{'s' if count != 1 else ''}"


def _signed(value: float, unit: str) -> str:
    if not math.isfinite(value):
        return "no end"
    sign = "+" if value > 0 else MINUS if value < 0 else ""
    return f"{sign}{abs(value) * 100:.3f} points" if unit == "share" else f"{sign}{_shown.number(abs(value), unit)}"


def _bar(one: Difference) -> tuple[float, float]:
    """Around the middle, which is no difference; each figure by a scale of its own."""
    known = [abs(value) for value in (one.lower, one.upper) if math.isfinite(value)]
    scale = Row.WIDTH / 2 / (max(known, default=0) or 1)
    half = Row.WIDTH / 2
    left, right = (half + max(-half, min(half, value * scale)) for value in (one.lower, one.upper))
    return round(min(left, Row.WIDTH - 2.0), 1), round(max(2.0, right - left), 1)


def _state(one: Difference) -> str:
    """Surely worse, surely better, or neither."""
    least, most = one.worse_by
    return "failing" if least > 0 else "ok" if most < 0 else "replica"
