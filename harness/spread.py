"""What do several runs of one scenario say together: the median, how sure it is, and did they all end in one way?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import diptest  # type: ignore[import-untyped]  # it has no types
import numpy as np

from harness.bounds import RUNS_AT_LEAST
from harness.verdict import Measured

RESAMPLES, CONFIDENCE = 10_000, 0.95
DIP_AT_LEAST, DIP_P = 8, 0.05  # with fewer values the test can hardly tell one mode from two


@dataclass(frozen=True)
class Spread:
    """One metric over several runs, in its unit.

    `lower` and `upper` bound the median (95 %, percentile bootstrap: Efron and Tibshirani, 1993; each value is drawn from between
    its run's own bounds, so that what measuring does not know counts, too); None for fewer than three runs or an open bound.
    `one_mode_p` is the p of Hartigan's dip test (1985) for a single mode, None for fewer than eight runs; `missing` counts the
    runs that have no figure.
    """

    metric: str
    unit: str
    values: Sequence[Measured]
    missing: int
    median: float
    lower: float | None
    upper: float | None
    one_mode_p: float | None

    @property
    def half_width(self) -> float | None:
        """Half the interval, as a share of the median; None where there is none."""
        if self.lower is None or self.upper is None or self.median <= 0:
            return None
        return (self.upper - self.lower) / 2 / self.median

    @property
    def resolution(self) -> float | None:
        """Half of what measuring leaves open of a run, as a share of the median; the middlemost run's."""
        open_ = [one.upper - one.lower for one in self.values if one.upper is not None and one.lower is not None]
        return None if not open_ or self.median <= 0 else float(np.median(open_)) / 2 / self.median

    @property
    def several_modes(self) -> bool:
        """Whether one mode is improbable: then the median describes nobody, and the points have to be looked at."""
        return self.one_mode_p is not None and self.one_mode_p < DIP_P

    def as_json(self) -> dict[str, Any]:
        """The spread as repeats.json holds it."""
        return {
            "metric": self.metric, "unit": self.unit, "runs": len(self.values), "missing": self.missing, "median": self.median,
            "lower": self.lower, "upper": self.upper, "one_mode_p": self.one_mode_p, "several_modes": self.several_modes,
            "values": [{"value": one.value, "lower": one.lower, "upper": one.upper} for one in self.values],
        }  # fmt: skip


def spread(metric: str, values: Sequence[Measured], missing: int = 0, seed: int = 0) -> Spread:
    """How a metric's `values`, one a run and none without a figure, are spread. Raises ValueError when there are none."""
    if not values:
        raise ValueError(f"{metric}: no run has a figure")
    figures = np.array([one.value for one in values], dtype=float)
    lower, upper = _interval(values, np.random.default_rng(seed))
    # A value that occurs again and again, such as none, is one mode; the test is made for continuous figures.
    distinct = len(np.unique(figures))
    one_mode = float(diptest.diptest(figures)[1]) if len(figures) >= DIP_AT_LEAST and distinct > 3 else None
    return Spread(metric, values[0].unit, tuple(values), missing, float(np.median(figures)), lower, upper, one_mode)


def _interval(values: Sequence[Measured], random: np.random.Generator) -> tuple[float | None, float | None]:
    if len(values) < RUNS_AT_LEAST:
        return None, None
    medians = resampled_medians(values, random)
    return central(medians) if np.isfinite(medians).all() else (None, None)


def bounds(values: Sequence[Measured]) -> tuple[Any, Any]:
    """What each run's figure can have been; without end for what was not over when measuring was."""
    lowers = np.array([one.value if one.lower is None else one.lower for one in values], dtype=np.float64)
    uppers = np.array([np.inf if one.upper is None and one.unit == "s" else one.upper or one.value for one in values], np.float64)
    return lowers, uppers


def resampled_medians(values: Sequence[Measured], random: np.random.Generator) -> Any:
    """The medians of runs drawn anew, of each a value from between its bounds."""
    lowers, uppers = bounds(values)
    chosen = random.integers(0, len(values), (RESAMPLES, len(values)))
    within = random.random(chosen.shape)
    return np.median(lowers[chosen] + within * (uppers - lowers)[chosen], axis=1)


def central(drawn: Any) -> tuple[float, float]:
    """The interval that holds the middle 95 % of what was drawn."""
    tail = (1 - CONFIDENCE) / 2
    lower, upper = np.quantile(drawn, [tail, 1 - tail])
    return float(lower), float(upper)
