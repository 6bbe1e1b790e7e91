"""Was every event of a stream counted once, and do the totals say so?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from harness.bounds import expectations, judge
from harness.checkers.durability import read_at
from harness.clock import SECOND_NS
from harness.history import NOTHING, Array, FinalReads, History, Operations, Outcome
from harness.intervals import authorities
from harness.verdict import Finding, Measured, Verdict, count
from harness.workloads.dashboard import AMOUNTS, COUNTS, EVENTS
from harness.workloads.dashboard import Dashboard as Workload

EVIDENCE_MAX = 20
COUNTED = ("lost_events", "double_counted_events", "wrong_totals")
# An entry may be delivered, taken over, and counted at last, each just in time; and somebody must have come to take it over.
DEADLINES, TAKE_OVERS = 3, 5


@dataclass(frozen=True)
class Dashboard:
    """Compares the events that were sent with what was counted, and each screen with the newest event that it showed.

    An event that was acknowledged and not counted was lost, once it was due: some deadlines, and the time after which consumers
    take over what others left, before the end. One that was counted twice shows in what was counted; totals are wrong where a
    bucket's count or sum is not that of the events that were counted in it, or where something was counted that nobody sent.
    Without bounds in the scenario, no event may be lost or counted twice, and no total be wrong.
    """

    metrics: ClassVar[Mapping[str, str]] = dict.fromkeys(COUNTED, "count")
    after_final_reads: ClassVar[bool] = True

    def check(self, history: History) -> Finding:
        boards = [one for one in history.run.get("workloads", ()) if one.get("name") == "dashboard"]
        if not boards:
            return Finding("dashboard", Verdict.PASS, "there was no dashboard")
        nodes = authorities(history)
        problem = _unreadable(history.final_reads, nodes)
        sent = history.operations.where(lane="workload", kind="write")
        sent = sent.at((sent["value"] != NOTHING) & (sent["started"] != NOTHING))
        acknowledged = sent.at((sent["outcome"] == Outcome.OK) & (sent["ended"] <= read_at(history)))
        due = acknowledged.at(acknowledged["ended"] <= history.end - _settled(boards[0]))
        if problem or not len(due):
            return _unknown(problem or "no event was acknowledged in time to be counted")
        counted = _Counted(history.final_reads, nodes[0], sent)
        lost = np.setdiff1d(due["value"], counted.values)
        twice = np.unique(counted.values[1:][counted.values[1:] == counted.values[:-1]])
        wrong = list(counted.wrong_totals())
        found = {"lost_events": count(len(lost)), "double_counted_events": count(len(twice)), "wrong_totals": count(len(wrong))}
        verdict, sentences = judge(found, expectations(history, self.metrics, **dict.fromkeys(COUNTED, 0)))
        said = [f"{len(lost)} of {len(due)} acknowledged events were never counted, {len(twice)} more than once", *sentences]
        evidence = [
            {"what": "lost", "event": int(event), "in_stream": bool(event in counted.stream)} for event in lost[:EVIDENCE_MAX]
        ]
        evidence += [{"what": "double counted", "event": int(event)} for event in twice[:EVIDENCE_MAX]]
        notes = list(_notes(sent, counted, lost, len(acknowledged) - len(due)))
        said.append(f"by the final read of {nodes[0]}")
        return Finding("dashboard", verdict, "; ".join(said), found, evidence + wrong[:EVIDENCE_MAX], notes)


class _Counted:
    """What a node says was counted, beside what was sent."""

    def __init__(self, final: FinalReads, node: str, sent: Operations) -> None:
        self.values, self.stream = final.values[node][COUNTS], final.values[node][EVENTS]
        self.totals: Mapping[str, Any] = final.facts.get(node, {}).get("dashboard", {})
        self.buckets = dict(zip(sent["value"].tolist(), sent["key"].tolist(), strict=True))
        self.unsent = [int(value) for value in self.values if int(value) not in self.buckets]

    def wrong_totals(self) -> Iterator[dict[str, Any]]:
        """Each bucket whose count or sum is another than what was counted in it, and each event that nobody sent."""
        expected: dict[str, list[int]] = {}
        for value in self.values.tolist():
            total = expected.setdefault(str(self.buckets.get(value)), [0, 0])
            total[0] += 1
            total[1] += value % AMOUNTS
        for value in self.unsent:
            yield {"what": "counted, and never sent", "event": value}
        for bucket in sorted(expected.keys() | self.totals.keys()):
            if bucket != "None" and list(self.totals.get(bucket, (0, 0))) != expected.get(bucket, [0, 0]):
                yield {"what": "wrong total", "bucket": bucket, "counted": expected.get(bucket), "total": self.totals.get(bucket)}


def _settled(board: Mapping[str, Any]) -> int:
    """How long an event may go uncounted, in ns, whatever became of the consumer that it was given to first."""
    mix = Workload(reads_share=board.get("reads_share", Workload.reads_share)).mix
    between = 1 / (mix["take over"] * float(board["rate_per_s"]))
    return int((board["claim_after_s"] + DEADLINES * board["deadline_s"] + TAKE_OVERS * between) * SECOND_NS)


def _unreadable(final: FinalReads, nodes: tuple[str, ...]) -> str:
    """Why what was counted cannot be told, if so."""
    if len(nodes) != 1:
        return "no node was the primary in the end"
    held = final.values.get(nodes[0], {})
    return "" if COUNTS in held and EVENTS in held else f"what {nodes[0]} had counted was not read"


def _unknown(why: str) -> Finding:
    found = {metric: Measured(None, "count") for metric in COUNTED}
    return Finding("dashboard", Verdict.UNKNOWN, f"whether every event was counted once cannot be told: {why}", found)


def _notes(sent: Operations, counted: _Counted, lost: Array, pending: int) -> Iterator[str]:
    unknown = sent["value"][sent["outcome"] == Outcome.UNKNOWN]
    if len(unknown):
        there = int(np.isin(unknown, counted.values).sum())
        yield f"{len(unknown)} events had no known outcome; {there} of them were counted"
    if len(lost):
        yield f"of the {len(lost)} that were lost, {int(np.isin(lost, counted.stream).sum())} are in the stream"
    if pending:
        yield f"{pending} events were acknowledged too late to be due"
