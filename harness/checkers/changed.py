"""What did a change move that only the change itself can know?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.bounds import expectations, judge, show
from harness.history import History
from harness.verdict import Finding, Verdict, exactly

METRICS = {"remapped_share": "share", "begun_anew": "count"}


@dataclass(frozen=True)
class Changed:
    """Figures of the changes that were made; of several, the largest, and `by` has each change's."""

    metrics: ClassVar[Mapping[str, str]] = METRICS

    def check(self, history: History) -> Finding:
        done = [event for event in history.named("change") if event["stage"] == "done"]
        told = {event["id"]: event["measured"] for event in done if "measured" in event.data}
        measured = {}
        for name, unit in METRICS.items():
            by = {id_: exactly(figures[name], unit) for id_, figures in told.items() if name in figures}
            if by:
                measured[name] = exactly(max(one.value or 0 for one in by.values()), unit, by if len(by) > 1 else {})
        verdict, sentences = judge(measured, expectations(history, self.metrics))
        said = sentences or [f"{name} {show(one)}" for name, one in measured.items()] or ["no change was measured"]
        return Finding("changed", verdict if measured or sentences else Verdict.PASS, "; ".join(said), measured)
