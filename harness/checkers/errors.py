"""What went wrong for clients, how often, and when?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from harness.bounds import expectations, judge
from harness.history import History, Operations, Outcome
from harness.intervals import during, intended, phases
from harness.verdict import Finding, Measured, count

ERRORS = (Outcome.FAILED, Outcome.UNKNOWN)


@dataclass(frozen=True)
class Errors:
    """The workload's operations that failed, or whose outcome is unknown, by error class and part of the run.

    `by` has the parts (`before`, `fault`, `after`) and the classes, these by part again. What was never sent is no error;
    it is noted, and availability counts it.
    """

    metrics: ClassVar[Mapping[str, str]] = {"errors": "count"}

    def check(self, history: History) -> Finding:
        asked = intended(history)
        wrong = asked.at(np.isin(asked["outcome"], ERRORS))
        intervals = phases(history)
        parts = {phase: during(wrong, interval) for phase, interval in intervals.items()}
        classes = _classes(wrong)
        by = {phase: count(len(part)) for phase, part in parts.items()}
        by |= {
            name: count(number, {phase: count(_classes(part).get(name, 0)) for phase, part in parts.items()})
            for name, number in classes.items()
        }
        total = len(wrong)
        measured = {"errors": count(total, by) if len(asked) else Measured(None, "count")}
        verdict, sentences = judge(measured, expectations(history, self.metrics))
        listed = ", ".join(f"{name} {number}" for name, number in classes.items()) or "none"
        said = [*sentences, f"{total} errors of {len(asked)} operations: {listed}"]
        not_sent = int((asked["outcome"] == Outcome.NOT_SENT).sum())
        notes = [f"{not_sent} operations were never sent"] if not_sent else []
        return Finding("errors", verdict, "; ".join(said), measured, notes=notes)


def _classes(wrong: Operations) -> dict[str, int]:
    """Error class → how many, the most frequent first."""
    codes, numbers = np.unique(wrong["error"], return_counts=True)
    names = [*wrong.names["error"], ""]
    found: Counter[str] = Counter()
    for code, number in zip(codes.tolist(), numbers.tolist(), strict=True):
        found[names[code] or "no answer"] += number
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))
