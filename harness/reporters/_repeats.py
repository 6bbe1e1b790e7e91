"""How is a series of runs told: a table, and a page on which every single run can be seen?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from harness.reporters import _shown
from harness.reporters.html import standalone
from harness.spread import Spread

if TYPE_CHECKING:
    from harness.repeats import Series


@dataclass(frozen=True)
class Strip:
    """One figure over all runs, drawn to a scale from 0: a dot for each run, the median, its interval."""

    WIDTH: ClassVar[int] = 360
    HEIGHT: ClassVar[int] = 30

    title: str
    metric: str
    runs: int
    median: str
    interval: str
    width: str
    range: str
    note: str
    dots: tuple[tuple[float, float, str], ...]  # x, y, in words
    at: float
    band: tuple[float, float] | None


def strips(series: Series) -> Iterator[Strip]:
    """Every figure that some run has; those that were none in all runs are left out."""
    for one in series.spreads():
        if any(value.value for value in one.values):
            yield _strip(one)


def nothing(series: Series) -> str:
    """The figures that were none in every run, in words."""
    return ", ".join(_shown.title_of(one.metric) for one in series.spreads() if not any(value.value for value in one.values))


def _strip(one: Spread) -> Strip:
    figures = [value.value or 0.0 for value in one.values]
    most = max([*figures, one.upper or 0.0]) or 1.0
    scale = (Strip.WIDTH - 12) / most

    def x(value: float) -> float:
        return round(6 + value * scale, 1)

    # Runs side by side lie at three heights in turn, so that equal ones are both seen.
    dots = tuple((x(v), 8.0 + 7 * (i % 3), f"run {i + 1}: {_shown.number(v, one.unit)}") for i, v in enumerate(figures))
    known = one.lower is not None and one.upper is not None
    lower, upper = one.lower or 0.0, one.upper or 0.0
    notes = ["more than one mode: look at the points"] if one.several_modes else []
    notes += [f"missing in {one.missing}"] if one.missing else []
    return Strip(
        _shown.title_of(one.metric), one.metric, len(figures), _shown.number(one.median, one.unit),
        f"{_shown.number(lower, one.unit)} … {_shown.number(upper, one.unit)}" if known else "",
        "" if one.half_width is None or math.isclose(one.half_width, 0) else f"± {one.half_width:.1%}",
        f"{_shown.number(min(figures), one.unit)} … {_shown.number(max(figures), one.unit)}",
        "; ".join(notes), dots, x(one.median),
        (x(lower), round(max(2.0, (upper - lower) * scale), 1)) if known else None,
    )  # fmt: skip


def markdown(series: Series) -> str:
    """The series as a table."""
    verdict = series.verdict.value
    lines = [
        f"# {_shown.MARKS[verdict]} {_shown.WORDS[verdict]}: {series.scenario}, {len(series.runs)} runs",
        "",
        f"{series.title}",
        "",
        f"**{series.reason}.** Of {len(series.runs)} runs on one cluster {len(series.trusted)} can be trusted.",
        "",
        "| figure | runs | median | 95 % interval of the median | | least … most | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in strips(series):
        lines.append(f"| {one.title} | {one.runs} | {one.median} | {one.interval} | {one.width} | {one.range} | {one.note} |")
    lines += ["", f"None in every run: {nothing(series)}."] if nothing(series) else []
    lines += ["", "| run | verdict | reason |", "| --- | --- | --- |"]
    lines += [f"| [{name}]({name}/report.html) | {_shown.WORDS[r['verdict']]} | {r['reason']} |" for name, r in series.runs]
    return "\n".join(lines) + "\n"


def page(series: Series) -> str:
    """The series as one HTML file that needs no network."""
    return standalone("repeats.html.j2", series=series, strips=list(strips(series)), strip=Strip, nothing=nothing(series))
