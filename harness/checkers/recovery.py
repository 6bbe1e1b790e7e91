"""How long from a fault's effect, or its healing, until service was stable again, and every replica in sync?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from harness.bounds import expectations, judge, show
from harness.clock import SECOND_NS
from harness.history import FaultRecord, History
from harness.intervals import SETTLED_S, Gap, Lane, aftermath, effect, episode, lanes
from harness.steadiness import Instant, baseline, first_written, stable, written
from harness.verdict import Finding, Measured, between


@dataclass(frozen=True)
class Recovery:
    """`first_success`: from the fault's effect (the first write probe that fails after the injection, else the injection) until
    a write is acknowledged again in any client zone. `recovery`: from the effect until service is stable: in every client zone
    writes are acknowledged and none fails for 5 s, and in these 5 s the workload has in each second at least 90 % of
    the throughput of its slowest second before the faults, and over them a p99 by intended start of at most 3 times what it was
    then, or of 50 ms if that is more. With less than 20 operations a second before the faults writes alone decide.

    `recovery_after_healing`: from the healing (of a change, from when it was done) until service is stable, 0 when it was so by
    itself before. `redundancy_recovery`: from the effect to the first `cluster` event that says healthy after the fault was
    healed. The worst fault is the headline; `by` has each, if several.
    """

    metrics: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("first_success", "recovery", "recovery_after_healing", "redundancy_recovery"), "s"
    )  # fmt: skip

    def check(self, history: History) -> Finding:
        fired = [fault for fault in history.faults if fault.injecting is not None]
        kept = [lane for lane in lanes(history, "writer", reads=False) if lane.lane == "kept"]
        first = {fault.id: _first_success(history, fault, kept) for fault in fired}
        service = {fault.id: _service(history, fault, kept) for fault in fired}
        healed = {fault.id: _after_healing(history, fault, kept) for fault in fired}
        redundancy = {fault.id: _redundancy(history, fault, kept) for fault in fired}
        measured = {
            "first_success": _worst(first),
            "recovery": _worst(service),
            "recovery_after_healing": _worst(healed),
            "redundancy_recovery": _worst(redundancy),
        }
        verdict, sentences = judge(measured, expectations(history, self.metrics))
        said = sentences or _said(measured, bool(fired))
        notes = [note for fault in fired for note in _notes(history, fault, kept)]
        return Finding("recovery", verdict, "; ".join([*said, *_rejoined(history)]), measured, notes=notes)


def _worst(by_fault: Mapping[str, Measured]) -> Measured:
    if not by_fault:
        return Measured(None, "s")
    headline = max(by_fault.values(), key=lambda one: (one.value is None, one.upper is None, one.value or 0))
    return replace(headline, by=by_fault if len(by_fault) > 1 else {})


def _gaps(history: History, fault: FaultRecord, kept: Sequence[Lane]) -> list[Gap]:
    return episode(kept, fault, history.end)


def _service(history: History, fault: FaultRecord, kept: Sequence[Lane]) -> Measured:
    if not kept or any(lane.unusable for lane in kept):
        return Measured(None, "s")
    gaps = _gaps(history, fault, kept)
    if not gaps:
        return Measured(0.0, "s", 0.0, max(lane.longest_s for lane in kept))
    earliest, latest = effect(fault, gaps)
    return _until_stable(history, gaps, earliest, latest)


def _after_healing(history: History, fault: FaultRecord, kept: Sequence[Lane]) -> Measured:
    if fault.healed is None or not kept or any(lane.unusable for lane in kept):
        return Measured(None, "s")
    gaps = aftermath(kept, fault, history.end)
    if not gaps:
        return Measured(0.0, "s", 0.0, 0.0)
    return _until_stable(history, gaps, fault.healed if fault.healing is None else fault.healing, fault.healed)


def _first_success(history: History, fault: FaultRecord, kept: Sequence[Lane]) -> Measured:
    if not kept or any(lane.unusable for lane in kept):
        return Measured(None, "s")
    gaps = _gaps(history, fault, kept)
    if not gaps:
        return Measured(0.0, "s", 0.0, max(lane.longest_s for lane in kept))
    return _from(*effect(fault, gaps), first_written(gaps))


def _until_stable(history: History, gaps: Sequence[Gap], earliest: int, latest: int) -> Measured:
    """From something that happened between two instants (ns) until service was stable after the gaps."""
    when = stable(history, gaps)
    if when is None:
        proven = max(written(gap).earliest for gap in gaps)
        return Measured(None, "s", max(0.0, proven - latest) / SECOND_NS)
    return _from(earliest, latest, when)


def _from(earliest: int, latest: int, until: Instant) -> Measured:
    lower = max(0.0, until.earliest - latest) / SECOND_NS
    return between(lower, None if until.latest is None else max(0.0, until.latest - earliest) / SECOND_NS)


def _redundancy(history: History, fault: FaultRecord, kept: Sequence[Lane]) -> Measured:
    """Known to within the time between two looks at the cluster."""
    if fault.healed is None or not history.named("cluster"):
        return Measured(None, "s")
    earliest, latest = effect(fault, _gaps(history, fault, kept))
    looks = [event for event in history.named("cluster") if event.at >= fault.healed]
    healthy = next((event.at for event in looks if event.data.get("healthy")), None)
    missing = [event.at for event in looks if healthy is None or event.at < healthy]
    lower = max(0, max([fault.healed, *missing]) - latest) / SECOND_NS
    return between(lower, None if healthy is None else (healthy - earliest) / SECOND_NS)


def _said(measured: Mapping[str, Measured], fired: bool) -> list[str]:
    if not fired:
        return ["no fault to recover from"]
    return [f"{metric} {show(one)}" for metric, one in measured.items()]


def _rejoined(history: History) -> list[str]:
    return [f"{event['node']} rejoined by {event['way']} at {event.at / SECOND_NS:.1f} s" for event in history.named("rejoin")]


def _notes(history: History, fault: FaultRecord, kept: Sequence[Lane]) -> list[str]:
    gaps = _gaps(history, fault, kept)
    ends = [gap.first_ok for gap in gaps if gap.first_ok is not None]
    if not gaps:
        return [f"{fault.id}: no write probe failed; it had no effect on writes"]
    notes = []
    if ends:
        held = (history.end - max(ends)) / SECOND_NS
        if len(ends) == len(gaps) and held < SETTLED_S:
            notes.append(f"{fault.id}: writes were back for {held:.2f} s when measuring ended; stable is {SETTLED_S:g} s")
        again = sum(gap.begins > max(ends) for lane in kept for gap in lane.outages)
        if len(ends) == len(gaps) and again:
            notes.append(f"{fault.id}: {again} outages began after service had been stable")
        if len(ends) == len(gaps) and held >= SETTLED_S:
            notes.append(f"{fault.id}: {_workload(history, gaps, max(ends))}")
    if len(ends) < len(gaps):
        notes.append(f"{fault.id}: writes were not back in every client zone when measuring ended")
    return notes


def _workload(history: History, gaps: Sequence[Gap], writes_back: int) -> str:
    """What was asked of the workload for service to be stable, and when it had it."""
    usual = baseline(history)
    if usual is None:
        return "the workload asked too little before the faults to be held against it: stable is by writes alone"
    when = stable(history, gaps)
    if when is None:
        told = "whether that held for 5 s was not seen, since measuring ended"
    elif when.latest is None:
        told = "it had not been so for 5 s when measuring ended"
    else:
        told = f"that held from {max(0.0, when.latest - writes_back) / SECOND_NS:.2f} s after writes were back in every zone"
    return f"as before the faults is {usual}; {told}"
