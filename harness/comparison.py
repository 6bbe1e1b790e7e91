"""What is different between two sets of runs of one scenario, and is it more than chance and measurement allow?

A and B are each one run or several. A figure of a run is known to within bounds, and runs differ among themselves: with three
runs or more on each side the interval of a difference covers both, by bootstrap (Efron and Tibshirani, 1993, percentile method);
with fewer it covers the measurement alone, which is said. The effect size is Cliff's delta (1993), which asks for no shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from harness import units
from harness.bounds import RUNS_AT_LEAST, worst
from harness.errors import UsageError
from harness.judging import RESULT, kept_result
from harness.reporters import _shown
from harness.spread import bounds, central, resampled_medians
from harness.verdict import Measured, Verdict, trusted

MORE_IS_BETTER = ("availability", "window_availability", "user_uptime", "probes_on_time", "hit_share", "hit_speedup")
Plain = Mapping[str, Any]


@dataclass(frozen=True)
class Side:
    """The runs of one side, their results in order of time; `left_out` of them could not be trusted."""

    name: str
    results: Sequence[Plain]
    left_out: int = 0

    @property
    def metrics(self) -> dict[str, list[Measured]]:
        """Each metric's values, of the runs that have one."""
        found: dict[str, list[Measured]] = {}
        for result in self.results:
            for name, measured in _shown.metrics(result).items():
                if measured.value is not None:
                    found.setdefault(name, []).append(measured)
        return found


@dataclass(frozen=True)
class Difference:
    """How one metric differs: medians of A and B, B less A with its interval, and Cliff's delta (None for less than 3 runs).

    `allowed` is how much worse B may be, in the metric's unit, or None; `verdict` is what the interval says of that. `missing`
    is in how many runs of both sides it was not measured.
    """

    metric: str
    unit: str
    missing: int
    medians: tuple[float, float]
    lower: float
    upper: float
    effect: float | None
    allowed: float | None = None

    @property
    def change(self) -> float:
        return self.medians[1] - self.medians[0]

    @property
    def worse_by(self) -> tuple[float, float]:
        """By how much B is worse, at least and at most; negative where it is better."""
        return (-self.upper, -self.lower) if self.metric in MORE_IS_BETTER else (self.lower, self.upper)

    @property
    def verdict(self) -> Verdict | None:
        """PASS when B is surely no worse than allowed, FAIL when it surely is, UNKNOWN between; None where nothing was said.

        What was not measured may be the worst of all (a recovery that never came): with that, nothing passes.
        """
        if self.allowed is None:
            return None
        least, most = self.worse_by
        if least > self.allowed:
            return Verdict.FAIL
        return Verdict.PASS if most <= self.allowed and not self.missing else Verdict.UNKNOWN


@dataclass(frozen=True)
class Comparison:
    """Two sides, metric by metric; `notes` are what else is different, and what the figures cannot say."""

    scenario: str
    a: Side
    b: Side
    differences: Sequence[Difference]
    notes: Sequence[str]

    @property
    def verdict(self) -> Verdict:
        """The worst of what was asked for; PASS where nothing was."""
        return worst([verdict for one in self.differences if (verdict := one.verdict)])


def compare(a: Path, b: Path, allowed: Mapping[str, str], seed: int = 0) -> Comparison:
    """Compares what lies in two folders; `allowed` says of metrics how much worse B may be, such as `10%`, `2s` or `5`.

    Raises UsageError for a folder without results, two scenarios, an unknown metric, or an amount that is none.
    """
    sides = _side(a), _side(b)
    scenarios = [side.results[0]["scenario"] for side in sides]
    if scenarios[0] != scenarios[1]:
        raise UsageError(f"{b}: runs of {scenarios[1]}, which cannot be compared with those of {scenarios[0]} in {a}")
    of_a, of_b = (side.metrics for side in sides)
    both = [name for name in of_a if name in of_b]
    for name in allowed:
        if name not in both:
            near = get_close_matches(name, both, 1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; measured on both sides: {', '.join(both) or 'nothing'}"
            raise UsageError(f"--allow {name}: no such metric on both sides{hint}")
    random = np.random.default_rng(seed)
    runs = sum(len(side.results) for side in sides)
    differences = [_difference(name, of_a[name], of_b[name], runs, allowed.get(name), random) for name in both]
    notes = [f"{one.metric} was not measured in {one.missing} of all {runs} runs" for one in differences if one.missing]
    return Comparison(scenarios[0], *sides, differences, [*_notes(*sides), *notes])


# --- reading -----------------------------------------------------------------------------------------------------------


def _side(path: Path) -> Side:
    """One run's folder or result, or a folder of runs of one scenario."""
    files = [path] if path.is_file() else [path / RESULT] if (path / RESULT).exists() else sorted(path.glob(f"*/{RESULT}"))
    files = list(dict.fromkeys(file.resolve() for file in files))  # `latest` points to one of them
    results = [kept_result(file) for file in files]
    if not results:
        raise UsageError(f"{path}: no {RESULT} in this folder, nor in those directly below")
    if len({result["scenario"] for result in results}) > 1:
        raise UsageError(f"{path}: runs of several scenarios; name the folder of one")
    deserved = [result for result in results if trusted(result)]
    if not deserved:
        raise UsageError(f"{path}: no run that can be trusted; the last one said: {results[-1]['reason']}")
    return Side(str(path), sorted(deserved, key=lambda result: str(result["started_at"])), len(results) - len(deserved))


# --- one metric --------------------------------------------------------------------------------------------------------


def _difference(
    name: str, a: Sequence[Measured], b: Sequence[Measured], runs: int, allowed: str | None, random: np.random.Generator
) -> Difference:
    medians = tuple(float(np.median([one.value for one in side])) for side in (a, b))
    enough = min(len(a), len(b)) >= RUNS_AT_LEAST
    lower, upper = _bootstrapped(a, b, random) if enough else _measured(a, b)
    signs = np.sign([[later.value - earlier.value for later in b] for earlier in a])  # type: ignore[operator]  # values of None were left out
    unit = a[0].unit
    return Difference(
        name, unit, runs - len(a) - len(b), (medians[0], medians[1]), lower, upper, float(signs.mean()) if enough else None,
        None if allowed is None else _amount(name, allowed, unit, medians[0]),
    )  # fmt: skip


def _measured(a: Sequence[Measured], b: Sequence[Measured]) -> tuple[float, float]:
    (a_lower, a_upper), (b_lower, b_upper) = bounds(a), bounds(b)
    return float(b_lower.min() - a_upper.max()), float(b_upper.max() - a_lower.min())


def _bootstrapped(a: Sequence[Measured], b: Sequence[Measured], random: np.random.Generator) -> tuple[float, float]:
    """Runs drawn anew, and of each a value from between its bounds."""
    drawn = [resampled_medians(side, random) for side in (a, b)]
    if any(not np.isfinite(medians).all() for medians in drawn):
        return _measured(a, b)
    return central(drawn[1] - drawn[0])


def _amount(metric: str, text: str, unit: str, median: float) -> float:
    """How much worse is allowed: `10%` of a duration or a count, an amount of it, or so many points of a share."""
    try:
        if unit == "share":
            return units.share(text)
        if text.endswith("%"):
            return median * float(text[:-1]) / 100
        return units.seconds(text) if unit == "s" else float(text)
    except ValueError:
        right = {"share": "1%", "s": "10% or 2s"}.get(unit, "10% or 5")
        raise UsageError(f"--allow {metric}={text}: {text!r} is no amount of it; write it like {right}") from None


# --- what else ---------------------------------------------------------------------------------------------------------


def _notes(a: Side, b: Side) -> Iterator[str]:
    for side in (a, b):
        if side.left_out:
            yield f"{side.left_out} of {len(side.results) + side.left_out} runs in {side.name} could not be trusted: left out"
    if min(len(a.results), len(b.results)) < RUNS_AT_LEAST:
        yield (
            f"{len(a.results)} and {len(b.results)} runs: the intervals cover the measurement alone; how much runs differ among"
            f" themselves is known from {RUNS_AT_LEAST} runs a side on"
        )
    for about in ("harness", "runtime", "topology", "workloads", "versions"):
        before, after = a.results[-1].get(about), b.results[-1].get(about)
        for path, old, new in _changed(before, after, about):
            yield f"{path} differs: {old}, then {new}"


def _changed(a: Any, b: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """What differs between two plain values, as deep as it can be said; not the nodes, which follow from the rest."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(key for key in b if key not in a)]:
            if key != "nodes":
                yield from _changed(a.get(key), b.get(key), f"{path}.{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for number, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _changed(one, other, f"{path}[{number}]")
    elif a != b:
        yield path, a, b
