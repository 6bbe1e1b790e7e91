"""How much better did the load generator's own figures look than what clients got?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from harness.bounds import expectations, judge, show
from harness.clock import SECOND_NS
from harness.history import NOTHING, Array, Event, History, Operations, Outcome
from harness.intervals import deadline_s, had_its_time, users, workload
from harness.verdict import Finding, Measured

ABSENT = "the history does not hold Locust's own figures"
# Locust keeps its response times rounded: below each of these, in ms, to so many ms.
ROUNDED_TO = ((100, 1), (1000, 10), (10_000, 100), (float("inf"), 1000))
SHARES = (0.5, 0.99)
COUNTED_SHARE = 0.99  # of the operations that were sent Locust must have counted so many, or it was counting something else


@dataclass
class Told:
    """What Locust's processes say together of one kind of operation, as its own master would add it up."""

    requests: int = 0
    failures: int = 0
    times: Counter[int] = field(default_factory=Counter)  # response time in ms, as rounded by Locust → how many

    def add(self, said: Mapping[str, Any]) -> None:
        self.requests += int(said["requests"])
        self.failures += int(said["failures"])
        for ms, number in said["response_times_ms"].items():
            self.times[round(float(ms))] += int(number)  # a file may have given Locust finer steps

    def percentile(self, share: float) -> Measured:
        """As Locust reckons it; bounded by its rounding."""
        below, rank = 0, int(sum(self.times.values()) * share)
        for ms, number in sorted(self.times.items()):
            below += number
            if below > rank or below == self.times.total():
                half = next(step for limit, step in ROUNDED_TO if ms < limit) / 2
                return Measured(ms / 1000, "s", max(0.0, ms - half) / 1000, (ms + half) / 1000)
        return Measured(None, "s")


@dataclass(frozen=True)
class Got:
    """What clients got: how many operations, how many of them were not acknowledged, and how long they were waited for.

    `guessed` counts those of which only the least and the most is known; `percentiles` are by share.
    """

    operations: int
    failures: int
    guessed: int
    percentiles: Mapping[float, Measured]

    @classmethod
    def of(cls, least: Array, most: Array, failures: int) -> Got:
        """From how long each operation was waited for from its intended start, at least and at most, in ns.

        The two are one where it was sent and ended. A percentile's value is the least that it can have been; it has no upper
        bound where that had not ended when measuring did.
        """
        found = dict.fromkeys(SHARES, Measured(None, "s"))
        if len(least):
            ranks = [min(int(len(least) * share), len(least) - 1) for share in SHARES]
            bounds = ((np.partition(waits, ranks)[ranks] / SECOND_NS).tolist() for waits in (least, most))
            for share, low, high in zip(SHARES, *bounds, strict=True):
                found[share] = Measured(low, "s", low, high if np.isfinite(high) else None)
        return cls(len(least), failures, int((least != most).sum()), found)

    def percentile(self, share: float) -> Measured:
        return self.percentiles[share]


@dataclass(frozen=True)
class LieFactor:
    """The p99 by intended start ÷ the p99 that Locust shows, over the whole run: 1 where Locust tells what clients got.

    Locust's users wait for their answers, so during an outage they ask nothing, and what they meant to ask is in none of its
    figures. `locust_p99` is what its own statistics say, those of all processes added up as its master does: from when an
    operation was really sent, failed ones included. `corrected_p99` counts the same operations from when they were meant to
    start, and with them those that were never sent. One that was not sent, or was still under way at the end, was waited for as
    long as its deadline, at least, and until its user's next acknowledged operation, at most; the value is the least. `by` has
    each kind of operation, and the evidence all figures side by side, with those of failures.

    Users that keep no schedule (a Locust file's, patient ones) have no intended start: Locust's figures stand alone. Where
    Locust did not count what was sent, since somebody reset its statistics, there is no factor either.
    """

    metrics: ClassVar[Mapping[str, str]] = {"lie_factor": "ratio", "locust_p99": "s", "corrected_p99": "s"}

    def check(self, history: History) -> Finding:
        told, scheduled = _told(history), _scheduled(history)
        answered = _next_answer(scheduled)
        by_kind = ((kind, _got(history, scheduled, answered, [kind])) for kind in sorted(scheduled.names["kind"]))
        got = {kind: part for kind, part in by_kind if part.operations}
        both = [kind for kind in got if kind in told]
        theirs, ours = _all_told([told[kind] for kind in both]), _got(history, scheduled, answered, both)
        measured = {
            "lie_factor": _split(_factor(ours, theirs), {kind: _factor(got[kind], told[kind]) for kind in both}),
            "locust_p99": _split(theirs.percentile(0.99), {kind: one.percentile(0.99) for kind, one in told.items()}),
            "corrected_p99": _split(ours.percentile(0.99), {kind: one.percentile(0.99) for kind, one in got.items()}),
        }
        doubts = [] if told else [ABSENT]
        if told and (miscounted := [kind for kind in got if not _counted(scheduled.where(kind=kind), told.get(kind, Told()))]):
            doubts.append(f"Locust did not count what was sent ({', '.join(miscounted)}): its statistics were reset")
            measured["lie_factor"] = Measured(None, "ratio")
        verdict, sentences = judge(measured, expectations(history, self.metrics))
        summary = "; ".join([*sentences, *doubts] or [_said(measured)])
        rows = [_row(kind, told.get(kind), got.get(kind)) for kind in dict.fromkeys([*got, *told])] if told else []
        rows += [_row("all", theirs, ours)] if len(both) > 1 else []
        return Finding("lie_factor", verdict, summary, measured, rows, _notes(history, told, got, ours))


def _told(history: History) -> dict[str, Told]:
    """By kind; a process that was started anew would tell anew, so only the last word of each counts."""
    last: dict[str, Event] = {str(event["process"]): event for event in history.named("locust")}
    found: dict[str, Told] = {}
    for event in last.values():
        for said in event["statistics"]:
            found.setdefault(str(said["kind"]), Told()).add(said)
    return found


def _scheduled(history: History) -> Operations:
    """All that users meant to ask who keep a schedule, from the first operation to the last: Locust counts those, too."""
    asked = workload(history)
    own = {str(event["process"]) for event in history.named("ready") if "file" in event.data}
    return asked.at(~asked.mask(process=sorted(own)))


def _got(history: History, asked: Operations, answered: Array, kinds: Sequence[str]) -> Got:
    deadline = int(deadline_s(history) * SECOND_NS)
    known = asked.mask(kind=kinds) & had_its_time(history, asked, deadline_s(history))
    asked, answered = asked.at(known), answered if known.all() else answered[known]
    under_way = asked["ended"] == NOTHING
    least = np.where(under_way, history.end, asked["ended"]) - asked["intended"]
    never = np.flatnonzero(under_way | (asked["outcome"] == Outcome.NOT_SENT))
    least[never] = np.maximum(least[never], deadline)
    most = least.astype(np.float64)
    most[never] = np.maximum(most[never], answered[never] - asked["intended"][never])
    return Got.of(least, most, int((asked["outcome"] != Outcome.OK).sum()))


def _next_answer(asked: Operations) -> Array:
    """For each operation when its user was next acknowledged one, which may be itself; infinite for never."""
    user = users(asked)
    found = np.full(len(asked), np.inf)
    ok = asked["outcome"] == Outcome.OK
    order = np.argsort(user, kind="stable")
    for its in np.split(order, np.flatnonzero(np.diff(user[order])) + 1):
        ends = np.append(np.sort(asked["ended"][its[ok[its]]]).astype(float), np.inf)
        found[its] = ends[np.searchsorted(ends, asked["intended"][its], side="right")]
    return found


def _counted(asked: Operations, told: Told) -> bool:
    """Whether Locust counted what was sent and ended. It also counts failed attempts to connect, after which nothing was sent."""
    sent = int(((asked["started"] != NOTHING) & (asked["ended"] != NOTHING)).sum())
    return sent * COUNTED_SHARE <= told.requests <= len(asked)


def _all_told(each: Sequence[Told]) -> Told:
    times = sum((one.times for one in each), Counter[int]())
    return Told(sum(one.requests for one in each), sum(one.failures for one in each), times)


def _factor(ours: Got, theirs: Told) -> Measured:
    got, told = ours.percentile(0.99), theirs.percentile(0.99)
    if got.value is None or told.value is None or told.upper is None:
        return Measured(None, "ratio")
    # What Locust rounds to 0 ms took up to half a millisecond, and nobody knows how much less.
    value, lower = got.value / (told.value or told.upper), (got.lower or 0.0) / told.upper
    return Measured(value, "ratio", lower, got.upper / told.lower if got.upper is not None and told.lower else None)


def _split(whole: Measured, by: Mapping[str, Measured]) -> Measured:
    return replace(whole, by={kind: one for kind, one in by.items() if one.value is not None})


def _said(measured: Mapping[str, Measured]) -> str:
    locust, corrected, factor = (measured[name] for name in ("locust_p99", "corrected_p99", "lie_factor"))
    if factor.value is None:
        return "there is nothing to hold Locust's own figures against"
    return f"Locust's own p99 {show(locust)}, by intended start {show(corrected)}: lie factor {show(factor)}"


def _row(kind: str, told: Told | None, got: Got | None) -> dict[str, Any]:
    """Both figures of a kind, side by side; times in seconds."""
    row: dict[str, Any] = {"kind": kind}
    for word, one in (("locust", told), ("corrected", got)):
        row[f"{word}_operations"] = (one.operations if isinstance(one, Got) else one.requests) if one else None
        row[f"{word}_failures"] = one.failures if one else None
        for name, share in zip(("p50", "p99"), SHARES, strict=True):
            row[f"{word}_{name}_s"] = one.percentile(share).value if one else None
    return row | {"lie_factor": _factor(got, told).value if got and told else None}


def _notes(history: History, told: Mapping[str, Told], got: Mapping[str, Got], ours: Got) -> list[str]:
    notes = []
    if alone := sorted(set(told) - set(got)):
        notes.append(f"{', '.join(alone)}: users without a schedule, so that what they meant to ask is not known")
    if ours.guessed:
        least = f"{deadline_s(history):g} s"
        notes.append(f"{ours.guessed} operations were not sent, or had not ended: each counts as {least}, its deadline, or more")
    return notes
