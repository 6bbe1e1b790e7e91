"""What share of what clients wanted did they get, in time?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from harness.bounds import expectations, judge, show
from harness.clock import SECOND_NS
from harness.history import History, Mask, Operations, Outcome
from harness.intervals import deadline_s, in_time, intended, phases
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
        ok = in_time(asked, int(deadline_s(history) * SECOND_NS))
        parts: dict[str, Mask | slice] = {"reads": asked.reading, "writes": ~asked.reading}
        parts |= {zone: asked.mask(zone=zone) for zone in sorted(set(asked.names["zone"]))}
        parts |= {phase: asked.span(*interval) for phase, interval in phases(history).items()}
        by = {name: _share(its) for name, part in parts.items() if (its := ok[part]).size}
        whole = _share(ok)
        measured = {"availability": replace(whole, by=by)}
        verdict, sentences = judge(measured, expectations(history, self.metrics))
        said = sentences or [f"availability {show(whole)}" if len(asked) else "the workload asked nothing"]
        return Finding("availability", verdict, "; ".join([*said, *_counts(history, asked, ok)]), measured)


def _share(ok: Mask) -> Measured:
    return exactly(float(ok.mean()) if ok.size else None, "share")


def _counts(history: History, asked: Operations, ok: Mask) -> list[str]:
    if not len(asked):
        return []
    not_sent = int((asked["outcome"] == Outcome.NOT_SENT).sum())
    never = f", {not_sent} were never sent" if not_sent else ""
    return [f"{ok.sum()} of {len(asked)} operations answered within {deadline_s(history):g} s{never}"]
