"""How are the phases of a failover drawn: one bar under the other, each from where the one before ended?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.reporters._shown import number, title_of


@dataclass(frozen=True)
class Bar:
    """One phase; places in pixels, `earliest` and `latest` those of its end."""

    title: str
    took: str
    x: float
    y: float
    width: float
    earliest: float
    latest: float
    label: float


@dataclass(frozen=True)
class Waterfall:
    """The phases of one fault's failover, in an SVG of `WIDTH` × `height`."""

    WIDTH: ClassVar[int] = 1000
    LEFT: ClassVar[int] = 150
    ROW: ClassVar[int] = 26

    fault: str
    lasted_s: float
    total: str
    bars: Sequence[Bar]
    ticks: Sequence[tuple[float, str]]

    @property
    def height(self) -> int:
        return self.ROW * len(self.bars) + 24


def waterfalls(result: Mapping[str, Any]) -> Iterator[Waterfall]:
    """One for each fault that made a failover."""
    rows = [row for finding in result["findings"] if finding["checker"] == "phases" for row in finding["evidence"]]
    for fault in dict.fromkeys(row["fault"] for row in rows):
        yield _drawn(fault, [row for row in rows if row["fault"] == fault])


def longest(falls: Iterable[Waterfall], most: int) -> Iterator[Waterfall]:
    """The `most` of the longest failovers, in the order in which they were."""
    all_ = list(falls)
    ranked = sorted(all_, key=lambda fall: -fall.lasted_s)[:most]
    yield from (fall for fall in all_ if fall in ranked)


def _drawn(fault: str, rows: Sequence[Mapping[str, Any]]) -> Waterfall:
    begin, end = rows[0]["from_s"], rows[-1]["to_s"]
    whole = max(end - begin, 1e-9)
    scale = (Waterfall.WIDTH - Waterfall.LEFT - 90) / whole

    def x(at: float) -> float:
        return float(round(min(Waterfall.WIDTH, Waterfall.LEFT + max(0.0, at - begin) * scale), 1))

    bars = []
    for place, row in enumerate(rows):
        left, right = x(row["from_s"]), x(row["to_s"])
        earliest, latest = x(row["to_earliest_s"]), x(row["to_latest_s"])
        took = number(row["to_s"] - row["from_s"], "s")
        width = round(max(2.0, right - left), 1)
        label = max(right, latest) + 8
        bars.append(Bar(title_of(row["phase"]), took, left, 4.0 + place * Waterfall.ROW, width, earliest, latest, label))
    ticks = [(x(begin + whole * share), number(whole * share, "s") if share else "effect") for share in (0, 0.25, 0.5, 0.75, 1)]
    return Waterfall(fault, whole, number(whole, "s"), bars, ticks)
