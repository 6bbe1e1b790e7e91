"""How long were clients without an acknowledged write, or read?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.bounds import expectations, judge, show, worst
from harness.clock import SECOND_NS
from harness.history import History
from harness.intervals import Gap, Lane, lanes, shards_hit
from harness.verdict import Finding, Measured, Verdict, between

ENDPOINTS = {"write_outage": ("writer", False), "read_outage": ("reader", True), "cache_outage": ("cache", False)}
ELSEWHERE = "write_outage_elsewhere"
EVIDENCE_MAX = 50


@dataclass(frozen=True)
class Outage:
    """The longest single outage of an endpoint, as the probes of each client zone saw it.

    The headline is the worst zone's kept connection; `by` has every lane (`az-a kept`, `az-a fresh`) and the sum of
    its outages (`az-a kept total`). Without any outage the value is 0, and the upper bound the longest gap.

    Where each shard has a writer of its own, the headline is the worst shard's, and `by` says whose each lane is
    (`az-a kept of 2`). `write_outage_elsewhere` is then the worst of those shards of which nothing was hit. `cache_outage` is
    that of a cache in front of a database.
    """

    metrics: ClassVar[Mapping[str, str]] = {**dict.fromkeys(ENDPOINTS, "s"), ELSEWHERE: "s"}

    def check(self, history: History) -> Finding:
        found = {metric: lanes(history, endpoint, reads=reads) for metric, (endpoint, reads) in ENDPOINTS.items()}
        if not found["cache_outage"]:
            del found["cache_outage"]  # few systems have one
        measured = {metric: _headline(seen) for metric, seen in found.items()}
        spared = {lane.shard for lane in found["write_outage"] if lane.shard} - shards_hit(history)
        if spared:
            measured[ELSEWHERE] = _headline([lane for lane in found["write_outage"] if lane.shard in spared])
        verdict, sentences = judge(measured, expectations(history, self.metrics))
        unusable = [lane.unusable for seen in found.values() for lane in seen if lane.lane == "kept" and lane.unusable]
        said = sentences or [f"{metric} {_show(metric, seen, measured[metric])}" for metric, seen in found.items()]
        return Finding(
            "outage",
            worst([verdict, *(Verdict.UNKNOWN for _ in unusable)]),
            "; ".join([*said, *unusable]),
            measured,
            evidence=[row for metric, seen in found.items() for row in _evidence(metric, seen)][:EVIDENCE_MAX],
            notes=[note for metric, seen in found.items() for note in _notes(metric, seen)],
        )


def _show(metric: str, seen: Sequence[Lane], measured: Measured) -> str:
    if measured.value is None:
        return "could not be measured" if seen else f"was not measured: no probes of the {ENDPOINTS[metric][0]}"
    return show(measured) if measured.value else f"none (longest gap {measured.upper:.3f} s)"


def _headline(seen: Sequence[Lane]) -> Measured:
    kept = [longest(lane) for lane in seen if lane.lane == "kept"]
    by = {lane.name: longest(lane) for lane in seen}
    by |= {f"{lane.name} total": _total(lane) for lane in seen if len(lane.outages) > 1}
    if not kept or any(one.value is None for one in kept):
        return Measured(None, "s", by=by)
    worst_of = _of_bounds([one.lower or 0.0 for one in kept], [one.upper for one in kept])
    outage = any(one.value for one in kept) or worst_of.upper is None
    return Measured(worst_of.value if outage else 0.0, "s", worst_of.lower, worst_of.upper, by)


def longest(lane: Lane) -> Measured:
    """The longest outage that a lane saw; 0 without any, and then at most the longest time between two acknowledgements."""
    if lane.unusable:
        return Measured(None, "s")
    if not lane.outages:
        return Measured(0.0, "s", 0.0, lane.longest_s)
    return _of_bounds([gap.lower_s for gap in lane.outages], [gap.upper_s for gap in lane.outages])


def _of_bounds(lowers: Sequence[float], uppers: Iterable[float | None]) -> Measured:
    """The longest of several durations that are each known to within bounds, which frame it soundly."""
    known = [upper for upper in uppers if upper is not None]
    return between(max(lowers), max(known) if len(known) == len(lowers) else None)


def _total(lane: Lane) -> Measured:
    lower = sum(gap.lower_s for gap in lane.outages)
    known = [gap.upper_s for gap in lane.outages if gap.upper_s is not None]
    return between(lower, sum(known) if len(known) == len(lane.outages) else None)


def _evidence(metric: str, seen: Sequence[Lane]) -> list[dict[str, Any]]:
    """The outages, the longest first."""
    found = [(lane, gap) for lane in seen for gap in lane.outages]
    found.sort(key=lambda one: (one[1].first_ok is not None, -(one[1].upper_s or 0), one[1].last_ok))
    return [{"metric": metric, "lane": lane.name, **_row(gap)} for lane, gap in found]


def _row(gap: Gap) -> dict[str, Any]:
    return {
        "last_ok_started_s": gap.last_ok / SECOND_NS,
        "first_ok_ended_s": None if gap.first_ok is None else gap.first_ok / SECOND_NS,
        "lower_s": gap.lower_s,
        "upper_s": gap.upper_s,
    }


def _notes(metric: str, seen: Sequence[Lane]) -> list[str]:
    notes = [f"{metric}: {lane.unusable}" for lane in seen if lane.unusable and lane.lane != "kept"]
    for lane in seen:
        if lane.unusable:
            continue
        if not lane.outages:
            notes.append(f"{metric}: {lane.name}: no outage; the longest gap between acknowledgements was {lane.longest_s:.3f} s")
        elif lane.outages[-1].first_ok is None:
            since = lane.outages[-1].last_ok / SECOND_NS
            notes.append(f"{metric}: {lane.name}: not recovered; the last acknowledged probe started at {since:.2f} s")
        if lane.not_sent:
            notes.append(f"{metric}: {lane.name}: {lane.not_sent} probes were not sent, and are no evidence")
    return notes
