"""Was each fault really there, by the word of somebody other than its injector, and gone afterwards? Was each change made?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.clock import SECOND_NS
from harness.history import FaultRecord, History
from harness.verdict import Finding, Verdict

STAGES = ("before", "begin", "end", "after")
OVERDUE_S = 3.0  # healing takes its time, too: a server is started again


@dataclass(frozen=True)
class Witness:
    """A fault that hit nothing, was not injected or not healed, or lacks a witness makes the run UNKNOWN.

    Every vantage point must have looked before, at the beginning, just before healing and after; have seen what was
    expected each time; and see after the fault what it saw before.
    A planned change that was not carried out, stopped half way or could not be verified makes the run UNKNOWN, too. So does
    one after which a vantage point says something else than it should, or all say what they said before.
    """

    metrics: ClassVar[Mapping[str, str]] = {}

    def check(self, history: History) -> Finding:
        if not history.faults:
            return Finding("witness", Verdict.PASS, "no fault and no change was planned", validity=True)
        doubts = [doubt for fault in history.faults for doubt in _doubts(fault)]
        notes = list(_overdue(history))
        if doubts:
            return Finding("witness", Verdict.UNKNOWN, "; ".join(doubts), notes=notes, validity=True)
        said = "; ".join(_sentence(fault) for fault in history.faults)
        return Finding("witness", Verdict.PASS, said, notes=notes, validity=True)


def _overdue(history: History) -> Iterator[str]:
    """The faults that lasted clearly longer than the scenario says, as on a machine too busy to heal them in time."""
    planned = {plan["id"]: plan["for_s"] for plan in history.run.get("faults") or () if plan.get("for_s")}
    for fault in history.faults:
        if fault.id in planned and fault.injected is not None and fault.healed is not None:
            lasted = (fault.healed - fault.injected) / SECOND_NS
            if lasted > planned[fault.id] + OVERDUE_S:
                yield f"{fault.id} lasted {lasted:.1f} s; {planned[fault.id]:g} s were planned"


def _sentence(fault: FaultRecord) -> str:
    vantages = ", ".join(sorted({witness.vantage for witness in fault.witnesses}))
    if fault.change:
        return f"{fault.what} was verified ({vantages}): {fault.said}"
    return f"{fault.what} was witnessed ({vantages})"


def _doubts_of_change(change: FaultRecord) -> Iterator[str]:
    name = f"{change.what} ({change.id})"
    if change.error:
        yield f"{name} failed: {change.error}"
        return
    if change.injecting is None:
        yield f"{name} was never begun"
        return
    if change.healed is None:
        yield f"{name} was not brought to its end"
        return
    before, after = change.seen("before"), change.seen("after")
    if not before or not after:
        yield f"{name}: nobody looked {_when('after' if before else 'before')}"
    elif before == after:
        yield f"{name} changed nothing that anybody could see"
    for seen in change.witnesses:
        if not seen.shown:
            yield f"{name}: {seen.vantage} said '{seen.seen}' {_when(seen.stage)}, expected '{seen.expected}'"


def _doubts(fault: FaultRecord) -> Iterator[str]:
    if fault.change:
        yield from _doubts_of_change(fault)
        return
    name = f"{fault.kind} of {fault.target} ({fault.id})"
    if fault.error:
        yield f"{name} failed: {fault.error}"
    if fault.injected is None:
        yield f"{name} was never injected"
        return
    if not fault.hit:
        yield f"{name} hit nothing"
    if fault.healed is None:
        yield f"{name} was not healed"
    if not fault.witnesses:
        yield f"{name} was witnessed by nobody"
    for vantage in dict.fromkeys(witness.vantage for witness in fault.witnesses):
        yield from (f"{name}: {doubt}" for doubt in _doubts_at(fault, vantage))


def _doubts_at(fault: FaultRecord, vantage: str) -> Iterator[str]:
    readings = {stage: [w for w in fault.witnesses if w.vantage == vantage and w.stage == stage] for stage in STAGES}
    for stage, seen in readings.items():
        if not seen:
            yield f"{vantage} did not look {_when(stage)}"
        yield from (f"{vantage} saw '{w.seen}' {_when(stage)}, expected '{w.expected}'" for w in seen if not w.shown)
    before, after = ({w.seen for w in readings[stage]} for stage in ("before", "after"))
    if before and after and before != after:
        yield f"{vantage} saw '{_listed(after)}' after it, and '{_listed(before)}' before"


def _listed(seen: Iterable[str]) -> str:
    return ", ".join(sorted(seen))


def _when(stage: str) -> str:
    return {"before": "before it", "begin": "at its beginning", "end": "just before healing", "after": "after it"}[stage]
