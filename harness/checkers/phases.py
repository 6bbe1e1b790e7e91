"""Where did the time of a failover go: until it was detected, a new primary elected and promoted, clients served, all stable?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

from harness.bounds import expectations, judge, show
from harness.clock import SECOND_NS
from harness.history import FaultRecord, History
from harness.intervals import Gap, Lane, effect, episode, lanes
from harness.verdict import Finding, Measured, between

# Each phase by what ends it.
ENDS = {"detected": "detect", "elected": "elect", "promoted": "promote", "served": "reconnect", "stable": "settle"}


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
    """The phases of each failover, whose sum is `recovery`: `detect`, from the fault's effect until the member that becomes
    primary finds the leader's lock free; `elect`, until it has it; `promote`, until its server takes writes; `reconnect`, until
    the first client zone's write is acknowledged, which holds routing, too; `settle`, until writes are stable in every zone.

    What the manager did is told by its own log, on the node's clock, whose offset's error is part of the bounds. A boundary that
    nobody saw is not guessed: its phase is part of the next one, which is said. A fault after which nobody was promoted has none.
    """

    metrics: ClassVar[Mapping[str, str]] = dict.fromkeys(ENDS.values(), "s")

    def check(self, history: History) -> Finding:
        kept = [lane for lane in lanes(history, "writer", reads=False) if lane.lane == "kept"]
        by_fault: dict[str, dict[str, Measured]] = {}
        evidence: list[dict[str, Any]] = []
        notes: list[str] = []
        for fault in (one for one in history.faults if one.injecting is not None and not one.change):
            start, ends, note = _boundaries(history, fault, kept)
            notes += [f"{fault.id}: {note}"] if note else []
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


def _boundaries(history: History, fault: FaultRecord, kept: Sequence[Lane]) -> tuple[Boundary | None, list[Boundary], str]:
    """The fault's effect, what ended each phase, and what there is to say; no effect where there was no failover."""
    gaps = episode(kept, fault, history.end)
    if not kept or any(lane.unusable for lane in kept) or not gaps:
        return None, [], "no write probe failed, so there are no phases"
    if any(gap.first_ok is None for gap in gaps):
        return None, [], "writes were not back in every client zone, so the phases have no end"
    start = Boundary("effect", *effect(fault, gaps))
    first = min(gaps, key=lambda gap: gap.first_ok or 0)
    last = max(gaps, key=lambda gap: gap.first_ok or 0)
    # The first zone is served within its gap's bounds, the last one too; one that is served alone is both.
    served, stable = _end("served", first), _end("stable", last)
    seen = list(_recorded(history, int(start.earliest), int(stable.latest)))
    if "promoted" not in {one.what for one in seen}:
        said = "the manager's log tells of no promotion" if history.named("manager") else "the manager's log was not recorded"
        return None, [], f"{said}, so there are no phases"
    ends = [*seen, served, stable]
    if any(after.latest < before.earliest for before, after in pairwise([start, *ends])):
        return None, [], "clients were served before the promotion was over, so that was not what they waited for"
    ends = list(_in_order(start, ends))
    missing = [ENDS[what] for what in ENDS if what not in {one.what for one in ends}]
    note = f"nobody saw the end of {', '.join(missing)}: it is part of what follows" if missing else ""
    return start, ends, note


def _in_order(start: Boundary, ends: Sequence[Boundary]) -> Iterator[Boundary]:
    """What comes after something else cannot have been before its earliest instant."""
    earliest = start.earliest
    for end in ends:
        earliest = max(earliest, min(end.earliest, end.latest))
        yield replace(end, earliest=min(earliest, end.latest))


def _end(what: str, gap: Gap) -> Boundary:
    proven = gap.begins if gap.failing_until is None else gap.failing_until
    closed = gap.first_ok or proven
    return Boundary(what, max(gap.begins, min(closed, proven - gap.allowance)), closed)


def _recorded(history: History, since: int, until: int) -> Iterator[Boundary]:
    """What the manager's log tells between two instants: the last promotion, and what led to it."""
    told = [event for event in history.named("manager") if since <= event.at <= until]
    promoted = next((event for event in reversed(told) if event["what"] == "promoted"), None)
    if promoted is None:
        return
    its = [event for event in told if event["node"] == promoted["node"] and event.at <= promoted.at]
    elected = [event for event in its if event["what"] == "elected"]
    # Others look for a leader, too: a primary that was cut off does so long before anybody can take its place.
    detected = [event for event in its if event["what"] == "detected" and event.at <= (elected[-1] if elected else promoted).at]
    for event in [*detected[:1], *elected[-1:], promoted]:
        error = float(event["error_s"]) * SECOND_NS
        yield Boundary(event["what"], event.at - error, event.at + error)


def _between(start: Boundary, ends: Sequence[Boundary]) -> Iterator[tuple[str, Measured]]:
    before = start
    for end in ends:
        lower, upper = max(0.0, end.earliest - before.latest), max(0.0, end.latest - before.earliest)
        # Values are between middles, so that they add up to the whole; a phase can be shorter than what is known of its ends.
        value = max(0.0, (end.at - before.at) / SECOND_NS)
        yield ENDS[end.what], replace(between(lower / SECOND_NS, upper / SECOND_NS), value=value)
        before = end


def _rows(id_: str, start: Boundary, ends: Sequence[Boundary]) -> Iterator[dict[str, Any]]:
    before = start
    for end in ends:
        yield {
            "fault": id_, "phase": ENDS[end.what], "from_s": before.at / SECOND_NS, "to_s": max(before.at, end.at) / SECOND_NS,
            "to_earliest_s": end.earliest / SECOND_NS, "to_latest_s": end.latest / SECOND_NS,
        }  # fmt: skip
        before = end


def _worst(by_fault: Mapping[str, Measured]) -> Measured:
    if not by_fault:
        return Measured(None, "s")
    headline = max(by_fault.values(), key=lambda one: one.value or 0)
    return replace(headline, by=by_fault if len(by_fault) > 1 else {})
