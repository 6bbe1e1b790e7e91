"""How old is what a dashboard shows?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from harness.bounds import expectations, judge, show
from harness.clock import SECOND_NS
from harness.history import NOTHING, Array, History, Operations, Outcome
from harness.intervals import measured, phases
from harness.verdict import Finding, Measured, Verdict, exactly

PERCENTILES = {"p50": 50, "p99": 99}


@dataclass(frozen=True)
class ScreenAge:
    """The time from the moment at which the newest event on a screen was meant to be sent to the end of the look at it.

    A look that is not answered, or could not be sent, sees what the same screen showed last, which is older by then. The
    headline is the time of the faults, when there were any.
    """

    by_phase: ClassVar[bool] = True
    metrics: ClassVar[Mapping[str, str]] = {f"screen_age_{name}": "s" for name in PERCENTILES}

    def check(self, history: History) -> Finding:
        if not any(one.get("name") == "dashboard" for one in history.run.get("workloads", ())):
            return Finding("screen_age", Verdict.PASS, "there was no dashboard")
        found = _ages(history)
        verdict, sentences = judge(found, expectations(history, self.metrics))
        said = sentences or [f"{name} {show(one)}" for name, one in found.items()]
        return Finding("screen_age", verdict, "; ".join(said), found)


def _ages(history: History) -> dict[str, Measured]:
    """The percentiles of how old screens were, by phase; the headline is the time of the faults, when there were any."""
    looks, ages = _looks(history)
    intervals = phases(history)
    found = {}
    for name, percentile in PERCENTILES.items():
        by = {}
        for phase, (start, stop) in intervals.items():
            known = ages[(looks["intended"] >= start) & (looks["intended"] < stop)]
            by[phase] = exactly(float(np.percentile(known, percentile)) / SECOND_NS if len(known) else None, "s")
        whole = by.get("fault" if "fault" in by else "before", Measured(None, "s"))
        found[f"screen_age_{name}"] = replace(whole, by=by)
    return found


def _looks(history: History) -> tuple[Operations, Array]:
    """The looks at a screen that had something to show, and how old (ns) the newest event on it was when each was over."""
    operations = history.operations.where(lane="workload")
    looks = measured(history, operations.where(kind="read screen"))
    looks = looks.at(np.lexsort((looks["intended"], looks["client"], looks["process"])))
    shown = np.where(looks["outcome"] == Outcome.OK, looks["value"], NOTHING)
    who = looks["process"].astype(np.int64) * (1 << 32) + looks["client"]
    # Whoever gets no answer still sees what the same screen showed last.
    last = np.maximum.accumulate(np.where(shown != NOTHING, np.arange(len(looks)), NOTHING))
    same = (last != NOTHING) & (who[last] == who)
    events = operations.where(kind="write")
    events = events.at(np.argsort(events["value"], kind="stable"))
    if not len(events):
        return looks.at(np.zeros(len(looks), dtype=bool)), np.zeros(0, dtype=np.int64)
    at = np.minimum(np.searchsorted(events["value"], shown[last]), len(events) - 1)
    known = same & (events["value"][at] == shown[last])
    over = np.maximum(looks["ended"], looks["intended"])
    return looks.at(known), (over - events["intended"][at])[known]
