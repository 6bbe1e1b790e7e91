"""When was an endpoint not served, and which part of the run was before, during and after the faults?

Probes tell: one acknowledged proves service at some instant between its start and its end; one that failed proves
none from its start to its end. Everything between two acknowledgements is a gap, known to within two bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from harness.clock import MILLISECOND_NS, SECOND_NS
from harness.endpoints import role_of, shard_of, with_role
from harness.history import NOTHING, Array, Event, FaultRecord, History, Operations, Outcome, once
from harness.recording import LATE_OK, NOT_ARRIVED

PROBE_LANES = ("kept", "fresh")
ENOUGH = 200  # probes, to tell their usual latency by
SETTLED_S = 5.0  # service is stable when nothing failed for so long
DEADLINE_MS = 500.0  # of a probe, in a history that does not say


@dataclass(frozen=True)
class Gap:
    """Time between two acknowledgements in which probes failed, or were missing for too long; times in ns.

    `last_ok` is when the last acknowledged probe before it started, `first_ok` when the first one after it ended (None:
    never); `failing_from`, `failing_until` frame the evidence (None without any), and from `surely_from` to `surely_until`
    nothing was served for certain. `allowance` is twice the normal latency.
    """

    last_ok: int
    first_ok: int | None
    failing_from: int | None
    failing_until: int | None
    allowance: int
    surely_from: int | None = None
    surely_until: int | None = None

    @property
    def begins(self) -> int:
        """The first sign of it."""
        return self.last_ok if self.failing_from is None else self.failing_from

    @property
    def lower_s(self) -> float:
        """The truth cannot be shorter, in seconds."""
        if self.surely_from is None or self.surely_until is None:
            return 0.0
        return max(0, self.surely_until - self.surely_from) / SECOND_NS

    @property
    def upper_s(self) -> float | None:
        """The truth cannot be longer, in seconds; None when it had not ended."""
        return None if self.first_ok is None else (self.first_ok - self.last_ok) / SECOND_NS


@dataclass(frozen=True)
class Lane:
    """One client zone's probes of one endpoint over one sort of connection; `shard` is empty where the endpoint serves all.

    `outages` are the gaps that count, in order; `longest_s` is the longest time between two acknowledgements of all,
    outage or not; `ok`, `failing` and `not_sent` count probes, `impossible` those that ended before they started;
    `silent_s` is how long before the end of measuring the lane fell silent: nothing acknowledged any more, and nothing
    seen to fail either.
    """

    zone: str
    lane: str
    outages: Sequence[Gap]
    longest_s: float
    silent_s: float
    ok: int
    failing: int
    not_sent: int
    impossible: int = 0
    shard: str = ""

    @property
    def name(self) -> str:
        """`az-a kept`; where each shard has an endpoint of its own, `az-a kept of 2`."""
        return f"{self.zone} {self.lane} of {self.shard}" if self.shard else f"{self.zone} {self.lane}"

    @property
    def unusable(self) -> str | None:
        """Why this lane cannot tell, if it cannot: it asked nothing, fell silent, or contradicts itself."""
        if not self.ok and not self.failing:
            return f"{self.name}: none of its probes was sent and ended"
        if self.silent_s:
            return f"{self.name}: neither an answer nor a failure in the last {self.silent_s:.2f} s"
        if self.impossible:
            return f"{self.name}: {self.impossible} probes ended before they started"
        for gap in self.outages:
            if gap.upper_s is not None and gap.lower_s > gap.upper_s:
                return f"{self.name}: an outage of at least {gap.lower_s:.3f} s and at most {gap.upper_s:.3f} s cannot be"
        return None


@once
def lanes(history: History, role: str, reads: bool) -> list[Lane]:
    """The probes of the endpoints with a role (`writer`, …) by endpoint, client zone and lane, of the steady state and after."""
    names = with_role(history.operations.names["endpoint"], role)
    probes = measured(history, history.operations).where(endpoint=names, lane=PROBE_LANES)
    probes = probes.reads if reads else probes.writes
    return [
        lane_of(history, endpoint, zone, lane, chosen)
        for endpoint in sorted(names)
        for zone in sorted(set(probes.names["zone"]))
        for lane in PROBE_LANES
        if len(chosen := probes.where(endpoint=endpoint, zone=zone, lane=lane))
    ]


def measured(history: History, operations: Operations) -> Operations:
    """The operations that were meant to start while the run was being measured: from the steady state to the end."""
    return operations.between(history.phase("steady") or 0, history.end + 1)


@once
def workload(history: History) -> Operations:
    """All that the workload's users meant to ask, from the first operation to the last."""
    return history.operations.where(lane="workload")


@once
def load(history: History) -> Operations:
    """What they meant to ask while the run was being measured."""
    return measured(history, workload(history))


def users(asked: Operations) -> Array:
    """A number for each operation's user, small where there are few: those are sorted many times as fast."""
    process = asked["process"].astype(np.int64) + 1  # -1 is a process that is not known
    user = process * (int(asked["client"].max(initial=0)) + 1) + asked["client"]
    return user.astype(np.min_scalar_type(int(user.max(initial=0))))


def lane_of(history: History, endpoint: str, zone: str, lane: str, probes: Operations) -> Lane:
    """Judges one lane's probes, of which there is at least one."""
    deadline = int(timing(history, endpoint, lane).get("deadline_ms", DEADLINE_MS) * MILLISECOND_NS)
    sent = probes["started"] != NOTHING
    ok = probes.at(sent & (probes["outcome"] == Outcome.OK))
    ok = ok.at(np.argsort(ok["ended"], kind="stable"))
    failing = _failing(probes, before=history.end - deadline)
    first = int(probes["intended"].min())
    # Gap i lies between the latest start of the acknowledgements so far and the next one's end. Whatever order they
    # overlapped in, no instant of service lies within it, and so no outage is longer.
    last_ok = np.concatenate([[first], np.maximum.accumulate(ok["started"])]) if len(ok) else np.array([first])
    next_ok = ok["ended"]
    lengths = next_ok - last_ok[:-1]
    silence = deadline + cadence(probes)
    allowance = 2 * _usual_latency(ok, failing)
    gap_of = np.maximum(np.searchsorted(last_ok, failing["started"], side="right") - 1, 0)
    counted = np.union1d(gap_of, np.flatnonzero(lengths > silence))
    of_gap = zip(np.searchsorted(gap_of, counted), np.searchsorted(gap_of, counted, side="right"), strict=True)
    outages = [
        _gap(i, last_ok, next_ok, failing.at(np.arange(a, b)), allowance, deadline)
        for i, (a, b) in zip(counted.tolist(), of_gap, strict=True)
    ]
    longest = float(lengths.max()) / SECOND_NS if len(ok) else 0.0
    quiet = history.end - int(last_ok[-1]) if len(next_ok) not in counted else 0
    silent = quiet / SECOND_NS if quiet > silence + deadline + SECOND_NS else 0.0
    impossible = int((ok["ended"] < ok["started"]).sum())
    counts = (len(ok), len(failing), int((~sent).sum()), impossible)
    return Lane(zone, lane, outages, longest, silent, *counts, shard_of(endpoint) if role_of(endpoint) != "node" else "")


def _usual_latency(ok: Operations, failing: Operations) -> int:
    """The p99.9 of the acknowledged probes' latency, in ns, of those with no failing one about; the p99 of all if they are few.

    So much later than in the kernel may the beginning and the end of an outage show at a probe: the first answers after a
    pause come all at once, and each of them later than one does usually.
    """
    if not len(ok):
        return 0
    took, near = ok["ended"] - ok["started"], np.zeros(len(ok), dtype=bool)
    if len(failing):
        after = np.searchsorted(failing["started"], ok["started"])
        for index in (np.minimum(after, len(failing) - 1), np.maximum(after - 1, 0)):
            near |= np.abs(failing["started"][index] - ok["started"]) < SECOND_NS
    calm = took[~near]
    return int(np.percentile(calm, 99.9)) if len(calm) >= ENOUGH else int(np.percentile(took, 99))


def resolution_s(probes: Operations) -> float | None:
    """Half of what the probes leave open of an outage, in seconds: an interval and a usual latency at either end."""
    ok = probes.at((probes["started"] != NOTHING) & (probes["outcome"] == Outcome.OK))
    failing = _failing(probes, before=int(probes["intended"].max()))
    return (cadence(probes) + _usual_latency(ok, failing)) / SECOND_NS if len(ok) else None


def _failing(probes: Operations, before: int) -> Operations:
    """The probes that are evidence of failing: sent, ended, and with their whole deadline before measuring ended.

    One that was never sent says nothing of the endpoint; one without an end only that its process was stopped.
    """
    ended = (probes["ended"] != NOTHING) | (probes["answered"] != NOTHING)
    bad = (probes["outcome"] == Outcome.FAILED) | (probes["outcome"] == Outcome.UNKNOWN)
    found = probes.at(bad & ended & (probes["started"] != NOTHING) & (probes["started"] <= before))
    return found.at(np.argsort(found["started"], kind="stable"))


def _gap(index: int, last_ok: Array, next_ok: Array, failing: Operations, allowance: int, deadline: int) -> Gap:
    closes = int(next_ok[index]) if index < len(next_ok) else None
    begin = int(last_ok[index])
    if not len(failing):
        return Gap(begin, closes, None, None, allowance)
    # A late answer that was ok is an acknowledgement, too: service was back by then, unless a later probe failed again.
    late = failing.at(failing.mask(error=LATE_OK))["answered"]
    signs = [*late[late > failing["started"].max()].tolist(), *([] if closes is None else [closes])]
    closes = min(signs) if signs else None
    until = _failing_until(failing, closes, deadline)
    surely = _surely(failing, until, allowance // 2)
    return Gap(begin, closes, int(failing["started"].min()), until, allowance, *surely)


def _surely(failing: Operations, until: int, latency: int) -> tuple[int, int]:
    """Between which two instants nothing was served for certain, as failing probes prove it.

    A probe that was served would have been answered within the usual `latency`: one without an answer proves by then that
    there was no service, one that was refused sooner by then. And there was none yet when the last one that failed began,
    nor a latency before the evidence ends.
    """
    surely_from = np.minimum(failing["started"] + latency, failing["ended"]).min()
    return int(surely_from), int(max(failing["started"].max(), until - latency))


def _failing_until(failing: Operations, closes: int | None, deadline: int) -> int:
    """Until when nothing was served, as far as the failing probes of a gap prove it.

    One that waited for its whole `deadline` (ns) proves it for as long; one whose packets may not have arrived, or that was
    refused or broken off at some moment meanwhile, for its beginning only. A late answer proves it until it came. But service
    is back with its first sign: the next acknowledgement, or the first late answer once no later probe failed any more. What
    one connection still waited for after that proves nothing of the others (a paused server answers its parked connections
    one by one, a replaced one much later).
    """
    answered = failing["answered"]
    waited = (failing["ended"] - failing["started"] >= deadline - MILLISECOND_NS) & ~failing.mask(error=NOT_ARRIVED)
    ended = np.where(waited, failing["ended"], failing["started"])
    until = int(np.where(answered != NOTHING, answered, ended).max())
    signs = answered[answered > failing["started"].max()].tolist() + ([] if closes is None else [closes])
    return int(min([until, *signs]))


def timing(history: History, endpoint: str, lane: str) -> Mapping[str, float]:
    """How a lane asks, in ms: `cadence_ms`, `deadline_ms`; empty when the run does not say.

    The run's `probes` has it by endpoint (`writer`, `reader`, `node` for all nodes) and lane, or by lane alone.
    """
    said: Mapping[str, Any] = history.run.get("probes") or {}
    of_endpoint = said.get(role_of(endpoint))
    lanes_said = of_endpoint if isinstance(of_endpoint, Mapping) else said
    found = lanes_said.get(lane)
    return found if isinstance(found, Mapping) else {}


def cadence(probes: Operations) -> int:
    """The usual time between two intended starts, in ns."""
    steps = np.diff(probes["intended"])
    return int(np.median(steps)) if len(steps) else 0


# --- parts of the run -----------------------------------------------------------------------------------------


def episode(kept: Sequence[Lane], fault: FaultRecord, end: int) -> list[Gap]:
    """The outages that a fault brought about in any of the lanes: from the first one until all were stable.

    The first begins from the injection on (a probe may have been under way then), at most `SETTLED_S` after healing; the
    next ones at most `SETTLED_S` after those before were over. What comes after stable service is another matter.
    """
    if fault.injecting is None:
        return []

    def earlier(gap: Gap, injecting: int) -> bool:
        return gap.failing_from is not None and gap.failing_from < injecting - gap.allowance - MILLISECOND_NS

    gaps = [gap for lane in kept for gap in lane.outages if not earlier(gap, fault.injecting)]
    return _linked(gaps, fault.injecting, end if fault.healed is None else fault.healed, end)


def effect(fault: FaultRecord, gaps: Sequence[Gap]) -> tuple[int, int]:
    """When a fault took effect, earliest and latest, in ns; `gaps` are its episode's.

    After the last answer before it, and before nothing was served for certain.
    """
    injecting = fault.injecting or 0
    if not gaps:
        return injecting, injecting if fault.injected is None else fault.injected
    latest = min(gap.begins if gap.surely_from is None else gap.surely_from for gap in gaps)
    return max(injecting, min(gap.last_ok for gap in gaps)), max(injecting, latest)


def aftermath(kept: Sequence[Lane], fault: FaultRecord, end: int) -> list[Gap]:
    """The outages in any of the lanes that the healing of a fault did not end, or brought about, until all were stable.

    A fault that service had come to terms with can still be felt when it is healed: whoever comes back has to find its place.
    """
    if fault.healed is None:
        return []
    healing = fault.healed if fault.healing is None else fault.healing
    return _linked([gap for lane in kept for gap in lane.outages], healing, fault.healed, end)


def _linked(gaps: Sequence[Gap], since: int, first_until: int, end: int) -> list[Gap]:
    """The gaps that close after `since`, in order: the first begins at most `SETTLED_S` after `first_until`, the next ones
    at most as long after those before were over.
    """
    settled = int(SETTLED_S * SECOND_NS)
    horizon = first_until + settled
    over = 0
    found: list[Gap] = []
    for gap in sorted(gaps, key=lambda gap: gap.begins):
        closes = end if gap.first_ok is None else gap.first_ok
        if closes <= since:
            continue
        if gap.begins > horizon:
            break
        found.append(gap)
        over = max(over, closes)
        horizon = over + settled
    return found


@once
def phases(history: History) -> dict[str, tuple[int, int]]:
    """The parts of the measured time as half-open intervals in ns: `before`, `fault` and `after`.

    `fault` lasts from the first injection until all are healed and writes at the writer endpoint are back in
    every client zone. Without a fault there is only `before`.
    """
    begin, end = history.phase("steady") or 0, history.end
    fired = [fault for fault in history.faults if fault.injecting is not None]
    if not fired:
        return {"before": (begin, end + 1)}
    first = min(fault.injecting for fault in fired if fault.injecting is not None)
    over = max(end if fault.healed is None else fault.healed for fault in fired)
    kept = [lane for lane in lanes(history, "writer", reads=False) if lane.lane == "kept"]
    gaps = [gap for fault in fired for gap in episode(kept, fault, end)]
    over = max([over, *(end if gap.first_ok is None else gap.first_ok for gap in gaps)])
    over = over if over < end else end + 1
    found = {"before": (begin, first), "fault": (first, over), "after": (over, end + 1)}
    return {name: (start, stop) for name, (start, stop) in found.items() if stop > start}


def during(operations: Operations, interval: tuple[int, int]) -> Operations:
    """The operations that were meant to start within a half-open interval (ns)."""
    return operations.between(*interval)


def had_its_time(history: History, asked: Operations, within_s: float) -> Array:
    """Whether each operation had ended, or had its whole deadline, when measuring ended: of the others nothing is known."""
    had: Array = (asked["ended"] != NOTHING) | (asked["intended"] <= history.end - int(within_s * SECOND_NS))
    return had


@once
def intended(history: History) -> Operations:
    """The workload's operations that were meant to be, and that had their whole deadline to be answered in."""
    return load(history).between(0, history.end - int(deadline_s(history) * SECOND_NS) + 1)


def in_time(asked: Operations, deadline: int) -> Array:
    """Whether each operation was acknowledged within its deadline (ns) from its intended start."""
    ok: Array = (asked["outcome"] == Outcome.OK) & (asked["ended"] - asked["intended"] <= deadline)
    return ok


def deadline_s(history: History) -> float:
    """The workload's deadline in seconds; the strictest of several; 1 s when the history does not say."""
    workloads: Sequence[Mapping[str, Any]] = history.run.get("workloads") or ()
    said = [w.get("deadline_s", (w.get("options") or {}).get("deadline_s")) for w in workloads]
    return float(min((s for s in said if s is not None), default=1.0))


def overlaps(intervals: Sequence[tuple[str, int, int]]) -> Iterator[tuple[int, int, frozenset[str]]]:
    """Where intervals (owner, from, to) of at least two owners overlap: (from, to, owners), in order."""
    edges = sorted({edge for _, start, stop in intervals for edge in (start, stop)})
    for start, stop in pairwise(edges):
        owners = frozenset(owner for owner, a, b in intervals if a <= start and b >= stop)
        if len(owners) > 1:
            yield start, stop, owners


def promotions(history: History) -> Iterator[Event]:
    """The readings at which a node had become primary; the first primary of each shard was so from the beginning.

    A node that could not be read in between, and is primary as before, did not become it.
    """
    definite: dict[str, str] = {}
    had_primary: set[str] = set()
    shards = history.shards
    for event in history.named("role"):
        node, role = event["node"], event["role"]
        if role not in ("primary", "replica"):
            continue
        was = definite.get(node)
        shard = shards.get(node, "")
        if role == "primary" and was != "primary" and (was or shard in had_primary):
            yield event
        if role == "primary":
            had_primary.add(shard)
        definite[node] = role


def shards_hit(history: History) -> frozenset[str]:
    """The shards of which a fault or a change has hit a node, be it with its zone."""
    hit = {name for fault in history.faults for name in fault.hit}
    return frozenset(shard for node, shard in history.shards.items() if {node, history.node_zone(node)} & hit)


def authorities(history: History) -> tuple[str, ...]:
    """The nodes whose final reads together count, one a shard: those that an `authority` event names, else the primaries left.

    None when that cannot be told: of some shard no primary was seen, or several nodes said so last.
    """
    named = history.named("authority")
    if named:
        nodes = named[-1].data.get("nodes") or (named[-1]["node"],)
        return tuple(map(str, nodes))
    last = {str(event["node"]): event["role"] for event in history.named("role") if event["role"] in ("primary", "replica")}
    return of_each_shard(last, history.shards)


def of_each_shard(roles: Mapping[str, str], shards: Mapping[str, str]) -> tuple[str, ...]:
    """The primary of each shard, by what nodes say of themselves; none when a shard has not exactly one.

    `shards` says which part of the data a node keeps; a node that is not in it belongs to the only one.
    """
    primaries: dict[str, list[str]] = {shards.get(node, ""): [] for node in roles}
    for node, role in roles.items():
        if role == "primary":
            primaries[shards.get(node, "")].append(node)
    if not primaries or any(len(nodes) != 1 for nodes in primaries.values()):
        return ()
    return tuple(nodes[0] for nodes in primaries.values())
