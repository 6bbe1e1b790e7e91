"""What does a history look like on one time axis: who was served, how fast, by which node?

Everything here is aggregated to windows, since a picture has about a thousand columns and a history
millions of operations. Times that leave this module are seconds on the run's clock, as in result.json.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from harness import slots
from harness.clock import SECOND_NS
from harness.endpoints import with_role
from harness.history import NOTHING, Event, History, Operations, Outcome, each_node
from harness.intervals import DEADLINE_MS, cadence, deadline_s, had_its_time, timing, workload

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WIDTHS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)
WINDOWS_MAX = 3000  # about three for every column of a wide screen, so that a zoom still shows more
STATES = ("ok", "not sent", "unknown", "failing")  # in the order in which one outweighs another within a window
_STATE_OF = {Outcome.OK: 0, Outcome.NOT_SENT: 1, Outcome.UNKNOWN: 2, Outcome.FAILED: 3}
_NO_STATE = -1


@dataclass(frozen=True)
class Windows:
    """`count` equal windows of `width_s` seconds, the first of which begins at `start_s`."""

    start_s: float
    width_s: float
    count: int

    @property
    def starts_s(self) -> Floats:
        """The begin of each window."""
        return np.asarray(self.start_s + np.arange(self.count) * self.width_s, dtype=np.float64)

    @property
    def end_s(self) -> float:
        return self.start_s + self.count * self.width_s

    def index(self, times: Ints) -> Ints:
        """The window that each time (ns) falls into; below 0 or from `count` on when it falls into none."""
        return (times - round(self.start_s * SECOND_NS)) // round(self.width_s * SECOND_NS)

    def count_of(self, times: Ints) -> Floats:
        """How many of the times (ns) fall into each window."""
        at = self.index(times)
        return np.bincount(at[(at >= 0) & (at < self.count)], minlength=self.count).astype(np.float64)


@dataclass(frozen=True)
class Span:
    """A state that held from `start_s` to `end_s`."""

    state: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Strip:
    """One row of states over time: a client zone's lane at an endpoint, or a node's role."""

    label: str
    group: str
    lane: str
    spans: Sequence[Span]


def windows(history: History, operations: Operations | None = None, per_window: float = 0) -> Windows:
    """Windows over the measured part of the run, from the steady state to the end of measuring.

    100 ms wide, wider when there would be more than `WINDOWS_MAX`, or when fewer than `per_window` of
    the operations fell into a window on average: a percentile of three values says nothing. Those for operations are
    whole: a last window that the end of measuring cuts would show a rate that falls.
    """
    begin = history.phase("steady") or 0
    end = max(history.end, begin + SECOND_NS)
    length_s = (end - begin) / SECOND_NS
    wanted_s = per_window * length_s / max(len(operations), 1) if operations is not None else 0
    least_s = max(length_s / WINDOWS_MAX, min(wanted_s, length_s / 20))
    width_s = next((width for width in WIDTHS_S if width >= least_s), WIDTHS_S[-1])
    start_s = np.floor(begin / SECOND_NS / width_s) * width_s
    rounded = np.ceil if operations is None else np.floor
    count = int(rounded((end / SECOND_NS - start_s) / width_s))
    return Windows(round(float(start_s), 6), width_s, count)


def clients(history: History) -> Operations:
    """What the workload's users asked; the probes stand in for them when there is no workload."""
    asked = workload(history)
    return whole(history, asked if len(asked) else history.operations, deadline_s(history))


def whole(history: History, asked: Operations, within_s: float) -> Operations:
    """Without what the end of measuring cut off: it was meant to start later, or had neither ended nor had its deadline."""
    asked = asked.at(slice(int(np.searchsorted(asked["intended"], history.end, side="right"))))
    return asked.at(had_its_time(history, asked, within_s))


def throughput(operations: Operations, over: Windows) -> dict[str, Floats]:
    """Operations per second that ended in each window: `reads` and `writes` that were ok, and `failed`, which
    is everything else: refused, unanswered, never sent.
    """
    ended = np.where(operations["ended"] == NOTHING, operations["intended"], operations["ended"])
    ok = operations["outcome"] == Outcome.OK
    read = operations.reading
    counted = {"reads": ok & read, "writes": ok & ~read, "failed": ~ok}
    return {name: over.count_of(ended[mask]) / over.width_s for name, mask in counted.items()}


def latency(operations: Operations, over: Windows, shares: Sequence[float] = (0.5, 0.99)) -> dict[str, Floats]:
    """Milliseconds from intended start to the answer, of what was ok, in each window by intended start.

    `read_p50`, `read_p99`, `write_p50`, `write_p99`; NaN where nothing was ok.
    """
    found: dict[str, Floats] = {}
    for name, of_kind in (("read", operations.reads), ("write", operations.writes)):
        ok = of_kind.at(of_kind["outcome"] == Outcome.OK)
        values_ms = (ok["ended"] - ok["intended"]) / 1e6
        for share, row in zip(shares, percentiles(over.index(ok["intended"]), values_ms, over.count, shares), strict=True):
            found[f"{name}_p{share * 100:g}"] = row
    return found


def percentiles(at: Ints, values: Floats, count: int, shares: Sequence[float]) -> list[Floats]:
    """For each share the nearest-rank percentile of the values in each of `count` windows; NaN where there are none."""
    inside = (at >= 0) & (at < count)
    at, values = at[inside], values[inside]
    if (np.diff(at) < 0).any():
        order = np.argsort(at, kind="stable")
        at, values = at[order], values[order]
    sizes = np.bincount(at, minlength=count)
    for window in np.split(values, np.cumsum(sizes)[:-1]):
        window.sort()  # in its place
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    some = sizes > 0
    rows = []
    for share in shares:
        row = np.full(count, np.nan)
        rank = np.maximum(np.ceil(share * sizes[some]).astype(np.int64) - 1, 0)
        row[some] = values[first[some] + rank]
        rows.append(row)
    return rows


def errors(operations: Operations, over: Windows, most: int = 6) -> dict[str, Floats]:
    """How many operations per second ended with each class of error, in each window; the rarest are `other`.

    An operation without an answer has the class `no answer` when its client named none.
    """
    bad = operations.at(operations["outcome"] != Outcome.OK)
    ended = np.where(bad["ended"] == NOTHING, bad["intended"], bad["ended"])
    numbers: Counter[str] = Counter()
    of_class: dict[str, Floats] = defaultdict(lambda: np.zeros(over.count))
    for code, word in enumerate((*bad.names["error"], "")):
        its = bad["error"] == (code if code < len(bad.names["error"]) else NOTHING)
        if number := int(np.count_nonzero(its)):
            numbers[word or "no answer"] += number
            of_class[word or "no answer"] += over.count_of(ended[its]) / over.width_s
    ranked = sorted(numbers, key=lambda word: (-numbers[word], word))
    found = {word: of_class[word] for word in ranked[:most]}
    if len(ranked) > most:
        found["other"] = np.sum([of_class[word] for word in ranked[most:]], axis=0)
    return found


def probe_strips(history: History, over: Windows) -> list[Strip]:
    """A strip for each endpoint × client zone × lane that was probed: `ok`, `failing`, `unknown`, `not sent`.

    A window shows its worst answer; a window in which no probe was due goes on with the state before it,
    for up to three times the lane's cadence.
    """
    probes = history.operations.at(~history.operations.mask(lane="workload"))
    found = []
    named = [name for role in ("writer", "reader") for name in sorted(with_role(probes.names["endpoint"], role))]
    for endpoint in named:
        for zone in history.zones:
            for lane in ("kept", "fresh"):
                chosen = _whole(history, endpoint, lane, probes.where(endpoint=endpoint, zone=zone, lane=lane))
                if len(chosen):
                    found.append(Strip(zone, endpoint, lane, tuple(_spans_of_probes(chosen, over))))
    return found


def _whole(history: History, endpoint: str, lane: str, probes: Operations) -> Operations:
    return whole(history, probes, timing(history, endpoint, lane).get("deadline_ms", DEADLINE_MS) / 1000)


def _spans_of_probes(probes: Operations, over: Windows) -> Iterator[Span]:
    states = np.full(over.count, _NO_STATE)
    at = over.index(probes["intended"])
    inside = (at >= 0) & (at < over.count)
    of_outcome = np.array([_STATE_OF[outcome] for outcome in sorted(Outcome)])
    np.maximum.at(states, at[inside], of_outcome[probes["outcome"][inside]])
    step_s = cadence(probes) / SECOND_NS or over.width_s
    _carry_on(states, int(np.ceil(3 * step_s / over.width_s)))
    yield from _runs(states, over)


def _carry_on(states: Ints, at_most: int) -> None:
    """Fills windows without a state with the last one before them, at most `at_most` windows long."""
    known = np.flatnonzero(states != _NO_STATE)
    for before, after in pairwise([*known, len(states)]):
        states[before + 1 : min(after, before + 1 + at_most)] = states[before]


def _runs(states: Ints, over: Windows) -> Iterator[Span]:
    edges = np.flatnonzero(np.diff(states)) + 1
    for start, end in pairwise([0, *edges.tolist(), len(states)]):
        if states[start] != _NO_STATE:
            at = (round(over.start_s + index * over.width_s, 3) for index in (start, end))
            yield Span(STATES[states[start]], *at)


def role_strips(history: History, over: Windows) -> list[Strip]:
    """A strip for each database node: `primary`, `replica` or `unknown`, as the node said of itself when asked."""
    return [
        Strip(node, "roles", "", tuple(_clipped(_spans_of_roles(history, node, over.end_s), over)))
        for node in each_node(history, "database")
    ]


def _spans_of_roles(history: History, node: str, end_s: float) -> Iterator[Span]:
    events = [event for event in history.named("role") if event["node"] == node]
    return _spans_of([(event.at / SECOND_NS, str(event["role"])) for event in events], end_s)


def _spans_of(readings: Sequence[tuple[float, str]], end_s: float) -> Iterator[Span]:
    """From one reading that differs from the last one to the next such."""
    changes = [(at, state) for i, (at, state) in enumerate(readings) if i == 0 or state != readings[i - 1][1]]
    for (start_s, state), (next_s, _) in pairwise([*changes, (end_s, "")]):
        yield Span(state, start_s, next_s)


def slot_strips(history: History, over: Windows) -> dict[str, Strip]:
    """For each node that owned slots at any time: how many, by its own word, as long as it owned some."""
    found = {}
    for node in each_node(history, "database"):
        events = [event for event in history.named("role") if event["node"] == node]
        readings = [(event.at / SECOND_NS, _owned(event)) for event in events]
        spans = tuple(span for span in _clipped(_spans_of(readings, over.end_s), over) if span.state)
        if spans:
            found[node] = Strip(node, "slots", "", spans)
    return found


def _owned(event: Event) -> str:
    """`5461 slots`, and how many of those that it has to do with are on their way; empty for none."""
    owned = sum(last - first + 1 for first, last in slots.read(str(event.data.get("slots", ""))))
    moving = event.data.get("moving", 0)
    return ", ".join([f"{owned} slot" + "s" * (owned > 1)] * (owned > 0) + [f"{moving} on their way"] * (moving > 0))


def write_strips(history: History, over: Windows) -> dict[str, Strip]:
    """For each node that was asked directly: when it acknowledged writes (`ok`) and when it did not."""
    probes = history.operations.writes
    probes = probes.at(~probes.mask(lane="workload"))
    found = {}
    for node in each_node(history, "database"):
        endpoint = f"node:{node}"
        chosen = _whole(history, endpoint, "kept", probes.where(endpoint=endpoint))
        if len(chosen):
            found[node] = Strip(node, "writes", "", tuple(s for s in _spans_of_probes(chosen, over) if s.state == "ok"))
    return found


def overlaps_in_shards(history: History, strips: Iterable[Strip], state: str) -> list[Span]:
    """When two or more nodes of one shard were in that state at once, in order: each shard has a primary of its own."""
    of_shard: dict[str, list[Strip]] = {}
    for strip in strips:
        of_shard.setdefault(history.shards.get(strip.label, ""), []).append(strip)
    found = [span for together in of_shard.values() for span in overlaps(together, state)]
    return sorted(found, key=lambda span: span.start_s)


def overlaps(strips: Iterable[Strip], state: str) -> list[Span]:
    """When two or more of the strips were in that state at once."""
    steps = [step for s in strips for span in s.spans if span.state == state for step in ((span.start_s, 1), (span.end_s, -1))]
    steps.sort()
    found, depth = [], 0
    for (at, step), (after, _) in pairwise([*steps, (0.0, 0)]):
        depth += step
        if depth >= 2 and after > at:
            found.append(Span(f"two {state}", at, after))
    return found


def phases(history: History, over: Windows) -> list[Span]:
    """The run's phases, one after the other."""
    begun = [(event.at / SECOND_NS, str(event["phase"])) for event in history.named("phase")]
    spans = [Span(phase, start_s, end_s) for (start_s, phase), (end_s, _) in pairwise([*begun, (over.end_s, "")])]
    return list(_clipped(spans, over))


def fault_windows(history: History, over: Windows) -> Mapping[str, Span]:
    """From the begin of injecting to the end of healing of each fault that fired (of a change, until it was done), by its id."""
    return {
        fault.id: Span(
            fault.kind,
            fault.injecting / SECOND_NS,
            over.end_s if fault.healed is None else fault.healed / SECOND_NS,
        )
        for fault in history.faults
        if fault.injecting is not None
    }


def _clipped(spans: Iterable[Span], over: Windows) -> Iterator[Span]:
    for span in spans:
        start_s, end_s = max(span.start_s, over.start_s), min(span.end_s, over.end_s)
        if end_s > start_s:
            yield Span(span.state, start_s, end_s)
