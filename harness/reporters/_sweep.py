"""How is a sweep told: outage against false failovers, for each value of a setting?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from harness.reporters import _shown
from harness.reporters.html import standalone
from harness.verdict import Verdict

if TYPE_CHECKING:
    from harness.sweeping import Setting, Sweep

MEETS = {Verdict.PASS: "yes", Verdict.FAIL: "no", Verdict.UNKNOWN: "cannot be told"}


@dataclass(frozen=True)
class Row:
    """One setting, in words."""

    value: str
    runs: str
    outage: str
    interval: str
    range: str
    lost: str
    false: str
    meets: str
    named: bool
    folders: tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """Every run's outage (upwards, from 0) over the settings, with the share of false failovers as bars below."""

    WIDTH: ClassVar[int] = 900
    TOP: ClassVar[int] = 260  # the height of the outages' part
    BARS: ClassVar[int] = 70  # and that of the bars
    LINE: ClassVar[int] = 16  # and of each line of a label
    LEFT: ClassVar[int] = 60

    points: tuple[tuple[float, float, str], ...]
    medians: tuple[tuple[float, float, float, float, str], ...]  # x from, x to, y, y of the words above all points, in words
    labels: tuple[tuple[float, tuple[str, ...]], ...]  # x, a line for each setting
    ticks: tuple[tuple[float, str], ...]
    bars: tuple[tuple[float, float, float, float, str], ...]  # x, y, width, height, in words
    rto: float | None
    height: int


def rows(found: Sweep) -> Iterator[Row]:
    """Each setting."""
    for one in found.settings:
        spread, false = one.spread, one.false_failovers
        known = spread is not None and spread.lower is not None and spread.upper is not None
        figures = [value.value or 0.0 for value in spread.values] if spread else []
        yield Row(
            one.value,
            f"{len(one.outage.trusted)} of {len(one.outage.runs)}",
            _shown.number(spread.median, spread.unit) if spread else "not known",
            f"{_shown.number(spread.lower, 's')} … {_shown.number(spread.upper, 's')}" if spread and known else "",
            f"{_shown.number(min(figures), 's')} … {_shown.number(max(figures), 's')}" if figures else "",
            ", ".join(f"{value.value or 0:g}" for value in one.lost.values) if one.lost else "",
            f"{false[0]} in {false[1]} runs" if false else "not known" if one.gray else "not asked",
            "" if found.rto_s is None else MEETS[one.meets(found.rto_s)],
            found.named is one,
            one.folders,
        )  # fmt: skip


def chart(found: Sweep) -> Chart:
    """The drawing."""
    figures = [value.upper or value.value or 0.0 for one in found.settings if one.spread for value in one.spread.values]
    most = 1.1 * max([*figures, found.rto_s or 0.0], default=0.0) or 1.0
    step = (Chart.WIDTH - Chart.LEFT) / max(1, len(found.settings))
    height = Chart.TOP + Chart.LINE * (len(found.vary) + 2) + Chart.BARS + 20

    def y(seconds: float) -> float:
        return round(Chart.TOP * (1 - seconds / most), 1)

    points, medians, labels, bars = [], [], [], []
    for place, one in enumerate(found.settings):
        middle = Chart.LEFT + step * (place + 0.5)
        labels.append((round(middle, 1), tuple(one.value.split(", "))))
        own = _points(one, middle, step, y)
        points += own
        if one.spread:
            above = min(at for _, at, _ in own) - 10
            said = _shown.number(one.spread.median, "s")
            medians.append((round(middle - step / 4, 1), round(middle + step / 4, 1), y(one.spread.median), above, said))
        if false := one.false_failovers:
            tall = round(Chart.BARS * false[0] / false[1], 1)
            wide = min(60.0, step / 2)
            bars.append(
                (round(middle - wide / 2, 1), height - 20 - tall, round(wide, 1), max(tall, 1.0), f"{false[0]} of {false[1]}")
            )  # fmt: skip
    ticks = [(y(most * share), _shown.number(most * share, "s")) for share in (0, 0.25, 0.5, 0.75)]
    rto = None if found.rto_s is None else y(found.rto_s)
    return Chart(tuple(points), tuple(medians), tuple(labels), tuple(ticks), tuple(bars), rto, height)


def _points(one: Setting, middle: float, step: float, y: Callable[[float], float]) -> list[tuple[float, float, str]]:
    values = one.spread.values if one.spread else ()
    apart = step / 3 / max(1, len(values))
    return [
        (round(middle + (i - (len(values) - 1) / 2) * apart, 1), y(value.value or 0.0), f"run {i + 1}: {_shown.value(value)}")
        for i, value in enumerate(values)
    ]


def markdown(found: Sweep) -> str:
    """The sweep as a table."""
    columns = (
        "runs trusted | outage, median | 95 % interval | least … most | lost writes, each run | false failovers | meets the RTO"
    )
    lines = [
        f"# {found.scenario}: {found.varied}",
        "",
        f"**{found.answer}.**",
        "",
        f"Outage: {found.title}. " + (f"False failovers: {found.gray}." if found.gray else ""),
        "",
        f"| {found.varied} | {columns} |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows(found):
        value = f"**{row.value}**" if row.named else row.value
        cells = (value, row.runs, row.outage, row.interval, row.range, row.lost, row.false, row.meets)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page(found: Sweep) -> str:
    """The sweep as one HTML file that needs no network."""
    return standalone("sweep.html.j2", found=found, rows=list(rows(found)), chart=chart(found))
