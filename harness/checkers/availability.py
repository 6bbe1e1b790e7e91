"""What share of what clients wanted did they get, in time?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from harness.bounds import expectations, judge, show
from harness.clock import SECOND_NS
from harness.history import History, Operations, Outcome
from harness.intervals import deadline_s, during, in_time, intended, phases
from harness.verdict import Finding, Measured, exactly


@dataclass(frozen=True)
class Availability:
    """The share of the workload's intended operations that were acknowledged within their deadline.

    Counted from the intended start, so what was never sent counts against it. `by` splits it into reads and writes,
    client zones, and the parts of the run (`before`, `fault`, `after`).
    """

    metrics: ClassVar[Mapping[str, str]] = {"availability": "share"}

    def check(self, history: History) -> Finding:
        asked = intended(history)
        deadline = int(deadline_s(history) * SECOND_NS)
        parts = {"reads": asked.reads, "writes": asked.writes}
        parts |= {zone: asked.where(zone=zone) for zone in sorted(set(asked.names["zone"]))}
        parts |= {phase: during(asked, interval) for phase, interval in phases(history).items()}
        by = {name: _share(part, deadline) for name, part in parts.items() if len(part)}
        whole = _share(asked, deadline)
        measured = {"availability": replace(whole, by=by)}
        verdict, sentences = judge(measured, expectations(history, self.metrics))
        said = sentences or [f"availability {show(whole)}" if len(asked) else "the workload asked nothing"]
        return Finding("availability", verdict, "; ".join([*said, *_counts(asked, deadline)]), measured)


def _share(asked: Operations, deadline: int) -> Measured:
    return exactly(float(in_time(asked, deadline).mean()) if len(asked) else None, "share")


def _counts(asked: Operations, deadline: int) -> list[str]:
    if not len(asked):
        return []
    not_sent = int((asked["outcome"] == Outcome.NOT_SENT).sum())
    never = f", {not_sent} were never sent" if not_sent else ""
    return [f"{in_time(asked, deadline).sum()} of {len(asked)} operations answered within {deadline / SECOND_NS:g} s{never}"]
