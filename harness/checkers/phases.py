"""Where did the time of a failover go: until a new primary was found to be needed, there, led to, and served its clients well?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

from harness.bounds import expectations, judge, show
from harness.clock import SECOND_NS
from harness.history import Event, FaultRecord, History
from harness.intervals import Gap, Lane, effect, episode, lanes
from harness.steadiness import first_written, stable, written
from harness.verdict import Finding, Measured, between

# Each phase by what ends it.
ENDS = {
    "detected": "detect", "elected": "elect", "promoted": "promote", "routed": "route", "served": "reconnect", "stable": "settle",
}  # fmt: skip


@dataclass(frozen=True)
class Boundary:
    """What happened between two instants (ns): `what` ends a phase."""

    what: str
    earliest: float
    latest: float

    @property
    def at(self) -> float:
        """The middle."""
        return (self.earliest + self.latest) / 2


@dataclass(frozen=True)
class Phases:
    """The phases of each failover: `detect`, from the fault's effect until the member that becomes primary finds the leader's
    lock free; `elect`, until it has it; `promote`, until its server takes writes; `route`, until the endpoint leads to it;
    `reconnect`, until a write is acknowledged in every client zone; `settle`, until service is stable.

    One begins where the one before ends, so that all add up to `recovery`, and those without `settle` to the outage: from the
    first client that was not served until the last one was. That is `write_outage` where the zones' outages begin and end
    together; where they do not, it is longer than the longest of them. Clients that are served only once the fault is healed,
    such as those in a zone that was cut off, are waited for by `settle`. The route is that of the zone that was served last.

    What the manager and the routers did is told by their own logs, on their nodes' clocks, whose offset's error is part of the
    bounds. A boundary that nobody saw is not guessed: its phase is part of the next one, which is said. A fault after which
    nobody was promoted has none.
    """

    metrics: ClassVar[Mapping[str, str]] = dict.fromkeys(ENDS.values(), "s")

    def check(self, history: History) -> Finding:
        kept = [lane for lane in lanes(history, "writer", reads=False) if lane.lane == "kept"]
        by_fault: dict[str, dict[str, Measured]] = {}
        evidence: list[dict[str, Any]] = []
        notes: list[str] = []
        for fault in (one for one in history.faults if one.injecting is not None and not one.change):
            start, ends, said = _boundaries(history, fault, kept)
            notes += [f"{fault.id}: {note}" for note in said]
            if start is None:
                continue
            by_fault[fault.id] = dict(_between(start, ends))
            evidence += _rows(fault.id, start, ends)
        measured = {
            phase: _worst({id_: known[phase] for id_, known in by_fault.items() if phase in known}) for phase in self.metrics
        }
        verdict, sentences = judge(measured, expectations(history, self.metrics))
        known = [f"{phase} {show(one)}" for phase, one in measured.items() if one.value is not None]
        return Finding("phases", verdict, "; ".join(sentences or known or ["no failover"]), measured, evidence, notes)


def _boundaries(history: History, fault: FaultRecord, kept: Sequence[Lane]) -> tuple[Boundary | None, list[Boundary], list[str]]:
    """The fault's effect, what ended each phase, and what there is to say; no effect where there was no failover."""
    gaps = episode(kept, fault, history.end)
    if not kept or any(lane.unusable for lane in kept) or not gaps:
        return None, [], ["no write probe failed, so there are no phases"]
    if any(gap.first_ok is None for gap in gaps):
        return None, [], ["writes were not back in every client zone, so the phases have no end"]
    start = Boundary("effect", *effect(fault, gaps))
    ended = [(gap, written(gap)) for gap in _waited_for(fault, gaps)]
    promotion = _promotion(history, int(start.earliest), int(max(one.latest or 0 for _, one in ended)))
    if promotion is None:
        said = "the manager's log tells of no promotion" if history.named("manager") else "the manager's log was not recorded"
        return None, [], [f"{said}, so there are no phases"]
    # What stalled again after the promotion is no part of the outage that it ended.
    ended = [(gap, one) for gap, one in ended if gap.begins <= promotion.at] or ended
    # Whichever zone was the last: not before any of them can have been served, and when all were.
    served = Boundary("served", max(one.earliest for _, one in ended), max(one.latest or 0 for _, one in ended))
    last, _ = max(ended, key=lambda pair: pair[1].earliest + (pair[1].latest or 0))
    seen = list(_recorded(history, promotion, _zone(kept, last), int(start.earliest), int(served.latest)))
    promoted = next(one for one in seen if one.what == "promoted")
    if (first_written(gaps).latest or 0) < promoted.earliest:
        return None, [], ["clients were served before the promotion was over, so that was not what they waited for"]
    end = stable(history, gaps)
    known = [Boundary("stable", end.earliest, end.latest)] if end is not None and end.latest is not None else []
    ends = list(_in_order(start, [*(_not_after(one, served) for one in seen), served, *known]))
    missing = [phase for what, phase in ENDS.items() if what not in {one.what for one in ends} and what != "stable"]
    notes = [f"nobody saw the end of {', '.join(missing)}: it is part of what follows"] if missing else []
    if not known:
        notes.append("service was not seen to be stable when measuring ended, so settle has no end")
    return start, ends, notes


def _waited_for(fault: FaultRecord, gaps: Sequence[Gap]) -> Sequence[Gap]:
    """The gaps that did not wait for the healing to end; all, when every one did."""
    healing = next((at for at in (fault.healing, fault.healed) if at is not None), None)
    return [gap for gap in gaps if healing is None or (gap.first_ok or 0) <= healing] or gaps


def _zone(kept: Sequence[Lane], gap: Gap) -> str:
    return next(lane.zone for lane in kept if any(one is gap for one in lane.outages))


def _not_after(one: Boundary, served: Boundary) -> Boundary:
    """What clients waited for was over when they were served."""
    return replace(one, earliest=min(one.earliest, served.latest), latest=min(one.latest, served.latest))


def _in_order(start: Boundary, ends: Sequence[Boundary]) -> Iterator[Boundary]:
    """What comes after something else was not before it: neither before its earliest instant nor before its latest one.

    Hence no phase is negative, and they add up, in value and in bounds.
    """
    before = start
    for end in ends:
        before = replace(end, earliest=max(before.earliest, end.earliest), latest=max(before.latest, end.latest))
        yield before


def _promotion(history: History, since: int, until: int) -> Event | None:
    """The last one between two instants."""
    told = [event for event in history.named("manager") if event["what"] == "promoted" and since <= event.at <= until]
    return told[-1] if told else None


def _recorded(history: History, promoted: Event, zone: str, since: int, until: int) -> Iterator[Boundary]:
    """What logs tell of a promotion between two instants: what led to it, and since when the zone's router led to it."""
    told = [event for event in history.named("manager") if since <= event.at <= until]
    new = promoted.data.get("about") or promoted["node"]  # a manager of its own speaks about another node
    its = [event for event in told if event["node"] == promoted["node"] and event.at <= promoted.at]
    elected = [event for event in its if event["what"] == "elected"]
    # Others look for a leader, too: a primary that was cut off does so long before anybody can take its place.
    detected = [event for event in its if event["what"] == "detected" and event.at <= (elected[-1] if elected else promoted).at]
    routed = [
        event
        for event in told
        if event["what"] == "routed" and event["about"] == new and history.node_zone(event["node"]) == zone
    ]
    # A server takes writes when its recovery is complete, and says that it is ready some milliseconds later.
    recovered = [event for event in its if event["what"] == "recovered" and event.at >= (elected[-1] if elected else promoted).at]
    for event in [*detected[:1], *elected[-1:], promoted, *routed[-1:]]:
        error = float(event["error_s"]) * SECOND_NS
        sign = recovered[-1] if event is promoted and recovered else event
        yield Boundary(event["what"], sign.at - error, event.at + error)


def _between(start: Boundary, ends: Sequence[Boundary]) -> Iterator[tuple[str, Measured]]:
    for before, end in pairwise([start, *ends]):
        lower, upper = max(0.0, end.earliest - before.latest) / SECOND_NS, (end.latest - before.earliest) / SECOND_NS
        # Values are between middles, so that they add up to the whole.
        yield ENDS[end.what], replace(between(lower, upper), value=(end.at - before.at) / SECOND_NS)


def _rows(id_: str, start: Boundary, ends: Sequence[Boundary]) -> Iterator[dict[str, Any]]:
    for before, end in pairwise([start, *ends]):
        yield {
            "fault": id_, "phase": ENDS[end.what], "from_s": before.at / SECOND_NS, "to_s": end.at / SECOND_NS,
            "to_earliest_s": end.earliest / SECOND_NS, "to_latest_s": end.latest / SECOND_NS,
        }  # fmt: skip


def _worst(by_fault: Mapping[str, Measured]) -> Measured:
    if not by_fault:
        return Measured(None, "s")
    headline = max(by_fault.values(), key=lambda one: one.value or 0)
    return replace(headline, by=by_fault if len(by_fault) > 1 else {})
