"""How long did clients wait for their answers, before, during and after the faults?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from harness.bounds import expectations, judge, show
from harness.clock import SECOND_NS
from harness.history import NOTHING, History, Operations, Outcome
from harness.intervals import during, intended, phases
from harness.verdict import Finding, Measured, exactly

PERCENTILES = {"p50": 50, "p99": 99}


@dataclass(frozen=True)
class Latency:
    """The percentiles of the workload's acknowledged operations, from their intended start to their end.

    From the intended start, since a user who waits for an answer starts the next operation late. The headline is the
    time of the faults, when there were any: a percentile over the whole run hides an outage. What was not
    acknowledged has no latency; availability counts it.
    """

    by_phase: ClassVar[bool] = True
    metrics: ClassVar[Mapping[str, str]] = {f"{kind}_{name}": "s" for kind in ("write", "read") for name in PERCENTILES}

    def check(self, history: History) -> Finding:
        asked = intended(history)
        intervals = phases(history)
        headline = "fault" if "fault" in intervals else "before"
        measured = {}
        for kind, operations in (("write", asked.writes), ("read", asked.reads)):
            for name, percentile in PERCENTILES.items():
                by = {phase: _percentile(during(operations, i), percentile) for phase, i in intervals.items()}
                whole = by.get(headline, Measured(None, "s"))
                measured[f"{kind}_{name}"] = replace(whole, by=by)
        verdict, sentences = judge(measured, expectations(history, self.metrics))
        when = "during the faults" if headline == "fault" else "without a fault"
        said = sentences or [f"{name} {show(one)}" for name, one in measured.items()]
        notes = [_note(phase, during(asked, interval)) for phase, interval in intervals.items()]
        return Finding("latency", verdict, f"{'; '.join(said)} ({when})", measured, notes=notes)


def _answered(asked: Operations) -> Operations:
    return asked.at((asked["outcome"] == Outcome.OK) & (asked["started"] != NOTHING))


def _percentile(asked: Operations, percentile: float) -> Measured:
    ok = _answered(asked)
    if not len(ok):
        return Measured(None, "s")
    value = float(np.percentile(ok["ended"] - ok["intended"], percentile)) / SECOND_NS
    return exactly(value, "s")


def _note(phase: str, asked: Operations) -> str:
    ok = len(_answered(asked))
    return f"{phase}: {ok} operations measured, {len(asked) - ok} left out because they were not acknowledged"
