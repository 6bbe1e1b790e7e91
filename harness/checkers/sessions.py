"""Was a session that had been acknowledged lost, or one that had ended seen again?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from harness.bounds import expectations, judge
from harness.clock import SECOND_NS
from harness.history import NOTHING, Array, History, Operations, Outcome
from harness.intervals import authorities
from harness.verdict import Finding, Measured, Verdict, count

WORKLOAD = "session_store"
LOG_INS, LOOKS = ("log_in", "log_in_briefly"), ("read", "touch")
KINDS = (*LOG_INS, "touch", "log_out", "read")
GONE = 0
NEVER = np.iinfo(np.int64).max
EVIDENCE_MAX = 20
# A server expires keys by the wall clock, which may be turned a little while the run's clock goes on.
CLOCKS_APART_NS = SECOND_NS // 10


@dataclass(frozen=True)
class Known:
    """What is known of each session whose log-in was acknowledged; times in ns, one row a session, ordered by number.

    `made` is when its log-in was acknowledged, `may_end` when the first log-out of it began that may have been carried out,
    `ended` when one was acknowledged (NEVER for none). It lived until `sure_until` unless it was logged out, and not beyond
    `at_most_until`.
    """

    number: Array
    made: Array
    may_end: Array
    ended: Array
    sure_until: Array
    at_most_until: Array


@dataclass(frozen=True)
class Sessions:
    """Judges every look at a session, and the final read, by what clients had been told of it before.

    `lost_sessions` were acknowledged, neither logged out nor expired, and a look or the final read found them gone.
    `resurrected_sessions` had been logged out, with an answer, or must have expired, and were there. Without bounds in the
    scenario neither may be. A look that overlaps a log-out proves nothing, and neither does one after a visit that may have
    prolonged a session without an answer.
    """

    metrics: ClassVar[Mapping[str, str]] = {"lost_sessions": "count", "resurrected_sessions": "count"}
    after_final_reads: ClassVar[bool] = True  # whoever logs out in the end may do so while nobody looks

    def check(self, history: History) -> Finding:
        ttl_ns = _lifetimes(history)
        if ttl_ns is None:
            return Finding("sessions", Verdict.PASS, "no workload keeps sessions")
        operations = history.operations.where(lane="workload", kind=KINDS)
        operations = operations.at((operations["started"] != NOTHING) & (operations["key"] > GONE))
        known = _known(operations, ttl_ns)
        looks = _looks(operations)
        unmeasured = {metric: Measured(None, "count") for metric in self.metrics}
        if not len(known.number) or not len(looks):
            said = "no log-in was acknowledged" if not len(known.number) else "no session was looked at"
            return Finding("sessions", Verdict.UNKNOWN, f"whether sessions were kept cannot be told: {said}", unmeasured)
        rows = [*_judged(looks, known)]
        nodes = authorities(history)
        unread = [node for node in nodes if "sessions" not in history.final_reads.values.get(node, {})]
        if not nodes or unread:
            said = f"no final read of {', '.join(unread) or 'a primary'}"
            return Finding("sessions", Verdict.UNKNOWN, f"lost sessions cannot be told: {said}", unmeasured, rows[:EVIDENCE_MAX])
        held = np.unique(np.concatenate([history.final_reads.values[node]["sessions"] for node in nodes]))
        rows += _left(held, known, history)
        by = {what: sorted({row["session"] for row in rows if row["what"] == what}) for what in ("lost", "resurrected")}
        measured = {"lost_sessions": count(len(by["lost"])), "resurrected_sessions": count(len(by["resurrected"]))}
        verdict, sentences = judge(measured, expectations(history, self.metrics, lost_sessions=0, resurrected_sessions=0))
        said = (
            f"{len(by['lost'])} of {len(known.number)} acknowledged sessions lost, {len(by['resurrected'])} seen after their end"
        )
        evidence = [row for what in by for row in [row for row in rows if row["what"] == what][:EVIDENCE_MAX]]
        notes = [f"{len(looks)} looks at sessions and the final read of {', '.join(nodes)} were judged"]
        return Finding("sessions", verdict, "; ".join([said, *sentences]), measured, evidence, notes)


def _lifetimes(history: History) -> Mapping[str, int] | None:
    """Kind of log-in → how long a session lives after it, in ns; None where no workload keeps sessions."""
    for workload in history.run.get("workloads") or ():
        if workload.get("name") == WORKLOAD:
            long, brief = (int(workload[name] * SECOND_NS) for name in ("ttl_s", "brief_ttl_s"))
            return {"log_in": long, "log_in_briefly": brief, "touch": long}
    return None


def _known(operations: Operations, ttl_ns: Mapping[str, int]) -> Known:
    ok, unknown = (operations["outcome"] == outcome for outcome in (Outcome.OK, Outcome.UNKNOWN))
    made = operations.at(ok & operations.mask(kind=LOG_INS))
    order = np.argsort(made["key"], kind="stable")
    number, acknowledged = made["key"][order], made["ended"][order]

    def each(chosen: Operations, times: Array, start: int, better: np.ufunc) -> Array:
        """Of each session, the least or the greatest of its operations' times."""
        found = np.full(len(number), start, dtype=np.int64)
        at, there = _rows(number, chosen["key"])
        better.at(found, at[there], times[there])
        return found

    out = operations.mask(kind="log_out")
    may, surely = operations.at(out & (ok | unknown)), operations.at(out & ok)
    lives = np.array([ttl_ns.get(kind, 0) for kind in operations.words("kind")], dtype=np.int64)
    # A visit that found nothing prolonged nothing.
    renews = operations.mask(kind=LOG_INS) | (operations.mask(kind="touch") & (operations["value"] != GONE))
    renewed, perhaps = operations.at(renews & ok), operations.at(operations.mask(kind="touch") & unknown)
    first_lives = lives[ok & operations.mask(kind=LOG_INS)][order]
    longest = each(renewed, renewed["ended"] + lives[renews & ok], 0, np.maximum)
    unsure = each(perhaps, perhaps["started"], 0, np.maximum)
    return Known(
        number,
        acknowledged,
        each(may, may["started"], NEVER, np.minimum),
        each(surely, surely["ended"], NEVER, np.minimum),
        # From the log-in alone: a visit that came later does not help a look that was before it.
        made["started"][order] + first_lives,
        np.where(unsure > 0, NEVER, longest),
    )


def _rows(number: Array, keys: Array) -> tuple[Array, Array]:
    """Where each key is among the sorted numbers, and whether it is there."""
    at = np.minimum(np.searchsorted(number, keys), max(0, len(number) - 1))
    return at, number[at] == keys if len(number) else np.zeros(len(keys), dtype=bool)


def _looks(operations: Operations) -> Operations:
    """What was answered to whoever looked: the session's own number, or that it is gone."""
    answered = (operations["outcome"] == Outcome.OK) & (operations["value"] != NOTHING)
    return operations.at(answered & operations.mask(kind=LOOKS))


def _judged(looks: Operations, known: Known) -> Iterator[dict[str, Any]]:
    at, ours = _rows(known.number, looks["key"])
    looks, at = looks.at(ours), at[ours]
    seen = looks["value"] != GONE
    lost = ~seen & (looks["started"] > known.made[at]) & (looks["ended"] < known.may_end[at])
    lost &= looks["ended"] < known.sure_until[at] - CLOCKS_APART_NS
    back = seen & (looks["started"] > known.ended[at])
    outlived = seen & (looks["started"] - CLOCKS_APART_NS > known.at_most_until[at])
    for what, chosen in (("lost", lost), ("resurrected", back | outlived)):
        found = looks.at(chosen)
        words = zip(found.words("kind"), found.words("zone"), strict=True)
        for session, started, (kind, zone) in zip(found["key"].tolist(), found["started"].tolist(), words, strict=True):
            yield {"what": what, "session": session, "by": kind, "zone": zone, "at_s": started / SECOND_NS}


def _left(held: Array, known: Known, history: History) -> Iterator[dict[str, Any]]:
    """What the final read, made at some time after the authority was named, says of each session."""
    named = max((event.at for event in history.named("authority")), default=history.end)
    there = np.isin(known.number, held)
    over = max((event.at for event in history.events), default=named)  # the final reads were over by then
    lost = ~there & (known.may_end == NEVER) & (known.sure_until - CLOCKS_APART_NS > over)
    back = there & ((known.ended < named) | (known.at_most_until < named - CLOCKS_APART_NS))
    for what, chosen in (("lost", lost), ("resurrected", back)):
        for session in known.number[chosen].tolist():
            yield {"what": what, "session": session, "by": "final read", "zone": None, "at_s": named / SECOND_NS}
