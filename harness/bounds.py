"""Is what was measured within what the scenario expects, given how exactly it is known?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.history import History
from harness.verdict import Measured, Verdict

RUNS_AT_LEAST = 3  # of one scenario, for an interval that says how much runs differ


@dataclass(frozen=True)
class Expectation:
    """A bound that was written before the run, in the metric's base unit (s, share, count or ratio).

    `during` is `before`, `fault` or `after` for metrics that are read per phase; None is the headline.
    """

    metric: str
    min: float | None = None
    max: float | None = None
    during: str | None = None
    because: str | None = None


def expectations(history: History, metrics: Iterable[str], **default_max: float) -> list[Expectation]:
    """What the scenario expects of these metrics; `default_max` bounds a metric of which it says nothing."""
    wanted = set(metrics)
    written = [_expectation(line) for line in history.run.get("expect", ()) if line["metric"] in wanted]
    named = {expected.metric for expected in written}
    return written + [Expectation(metric, max=bound) for metric, bound in default_max.items() if metric not in named]


def _expectation(line: Mapping[str, Any]) -> Expectation:
    return Expectation(line["metric"], line.get("min"), line.get("max"), line.get("during"), line.get("because"))


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """FAIL outweighs UNKNOWN outweighs PASS."""
    found = set(verdicts)
    return next((verdict for verdict in (Verdict.FAIL, Verdict.UNKNOWN) if verdict in found), Verdict.PASS)


def judge(measured: Mapping[str, Measured], expected: Sequence[Expectation]) -> tuple[Verdict, list[str]]:
    """The verdict over all expectations, and a sentence for each. None expected: PASS, and no sentence.

    A bound holds when the whole interval of what may be true lies within it, is broken when the whole interval
    lies beyond it, and cannot be told in between. A value without an upper bound had not ended when measuring did:
    no `max` holds for it.
    """
    judged = [_judge_one(_read(measured, one), one) for one in expected]
    return worst(verdict for verdict, _ in judged), [sentence for _, sentence in judged]


def _read(measured: Mapping[str, Measured], expected: Expectation) -> Measured | None:
    metric = measured.get(expected.metric)
    return metric.by.get(expected.during) if metric and expected.during else metric


def _judge_one(measured: Measured | None, expected: Expectation) -> tuple[Verdict, str]:
    name = f"{expected.metric} during {expected.during}" if expected.during else expected.metric
    if measured is None or measured.value is None:
        return Verdict.UNKNOWN, f"{name} could not be measured"
    lower = measured.value if measured.lower is None else measured.lower
    verdicts, asked = [], []
    if expected.max is not None:
        verdicts.append(at_most(lower, measured.upper, expected.max))
        asked.append(f"at most {show_value(expected.max, measured.unit)}")
    if expected.min is not None:
        verdicts.append(_at_least(lower, measured.upper, expected.min))
        asked.append(f"at least {show_value(expected.min, measured.unit)}")
    verdict = worst(verdicts)
    unclear = ", which lies between its bounds" if verdict is Verdict.UNKNOWN else ""
    return verdict, f"{name} {show(measured)}, {' and '.join(asked)}{unclear}"


def at_most(lower: float, upper: float | None, bound: float) -> Verdict:
    """Whether what lies between two bounds is at most a third; what had not ended has no upper one."""
    if upper is None or lower > bound:
        return Verdict.FAIL
    return Verdict.PASS if upper <= bound else Verdict.UNKNOWN


def _at_least(lower: float, upper: float | None, bound: float) -> Verdict:
    if lower >= bound:
        return Verdict.PASS
    return Verdict.FAIL if upper is not None and upper < bound else Verdict.UNKNOWN


# --- showing -------------------------------------------------------------------------------------------------


def show(measured: Measured) -> str:
    """`22.41 s (22.38 … 22.44)`, `3`, `99.2 %`; `at least 4.10 s, not over` when it had not ended."""
    if measured.value is None:
        return "not measured"
    scale = max(abs(measured.value), abs(measured.upper or 0))
    value = show_value(measured.value, measured.unit, scale)
    if measured.upper is None:
        return f"at least {value}{'' if measured.unit == 'ratio' else ', not over when measuring ended'}"
    if measured.lower is None or measured.lower == measured.upper:
        return value
    low, high = (show_value(bound, measured.unit, scale).split(" ")[0] for bound in (measured.lower, measured.upper))
    return f"{value} ({low} … {high})"


def show_value(value: float, unit: str, scale: float | None = None) -> str:
    """A value of a base unit in words; `scale` chooses between ms and s, the value itself does otherwise."""
    if unit == "s":
        size = abs(value) if scale is None else scale
        return f"{value * 1000:.1f} ms" if 0 < size < 1 else f"{value:.2f} s" if size < 100 else f"{value:.0f} s"
    if unit == "share":
        return f"{_floor(value * 100)} %"
    if unit == "ratio":
        return f"{value:,.0f} ×" if value >= 100 else f"{value:.3g} ×"
    return f"{value:.12g}"


def _floor(percent: float) -> str:
    """Never rounded up to 100 %: 99.9996 must not read as all."""
    return f"{int(percent * 1000) / 1000:g}"
