"""How is the worst stretch of every length drawn: user-uptime against how long one looks?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.reporters._shown import metrics

PREFIX = "worst "


@dataclass(frozen=True)
class Curve:
    """Points of an SVG of `WIDTH` × `HEIGHT`, the shortest stretch at the left: x, y, how long, which share."""

    WIDTH: ClassVar[int] = 1000
    HEIGHT: ClassVar[int] = 190
    LEFT: ClassVar[int] = 60
    TOP: ClassVar[int] = 24
    BOTTOM: ClassVar[int] = 160

    points: Sequence[tuple[float, float, str, str]]
    grid: Sequence[tuple[float, str]]

    @property
    def line(self) -> str:
        return " ".join(f"{x},{y}" for x, y, _, _ in self.points)

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Curve | None:
        """The curve of a result; None where it has fewer than two lengths to join."""
        measured = metrics(result).get("user_uptime")
        by = measured.by if measured else {}
        found = {name.removeprefix(PREFIX): one.value for name, one in by.items() if name.startswith(PREFIX)}
        worst = [(length, share) for length, share in found.items() if share is not None]
        if len(worst) < 2:
            return None
        step = (cls.WIDTH - 2 * cls.LEFT) / (len(worst) - 1)
        points = [
            (round(cls.LEFT + place * step, 1), cls._y(share), length, f"{share:.1%}")
            for place, (length, share) in enumerate(worst)
        ]
        return cls(points, [(cls._y(share), f"{share:.0%}") for share in (0, 0.5, 1)])

    @classmethod
    def _y(cls, share: float) -> float:
        return round(cls.BOTTOM - share * (cls.BOTTOM - cls.TOP), 1)
