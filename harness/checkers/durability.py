"""Which acknowledged writes were lost, which were applied twice, and which failed but are there?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from harness.bounds import expectations, judge
from harness.clock import SECOND_NS
from harness.endpoints import role_of, shard_of
from harness.history import NOTHING, Array, FinalReads, History, Mask, Operations, Outcome
from harness.intervals import authorities, shards_hit
from harness.verdict import Finding, Measured, Verdict, count

SETS = {"write": "ledger", "probe_write": "probe"}  # kind → the set that its values go into
EVIDENCE_MAX = 20
METRICS = ("lost_writes", "duplicated_writes", "resurrected_writes")
ELSEWHERE = "lost_writes_elsewhere"


@dataclass(frozen=True)
class Compared:
    """One set as the clients wrote it against one node's final read; all are sorted arrays of values.

    `extra` are values that no client ever sent.
    """

    name: str
    writes: Operations
    acknowledged: Array
    lost: Array
    duplicated: Array
    resurrected: Array
    extra: Array
    unknown: int
    unknown_there: int


@dataclass(frozen=True)
class Durability:
    """Compares what clients were told with what the primary holds in the end, value by value.

    Where each shard has a primary, what they hold together counts.
    An unknown write may be there or not; only an acknowledged one can be lost, only one that definitely failed can be
    resurrected. Without bounds in the scenario, no write may be lost and none applied twice.

    Where there are shards, `by` of `lost_writes` has each (`shard(1)`), and `lost_writes_elsewhere` counts those of shards of
    which no fault and no change has hit a node. It is known of a write which shard it went to when it was asked of a node, or of
    a shard's own endpoint.
    """

    metrics: ClassVar[Mapping[str, str]] = dict.fromkeys((*METRICS, ELSEWHERE), "count")
    after_final_reads: ClassVar[bool] = True  # nothing is lost for certain while clients still write

    def check(self, history: History) -> Finding:
        nodes = authorities(history)
        sets: Mapping[str, str] = history.run.get("sets") or SETS
        problem = _unreadable(history, nodes, sets)
        if problem:
            return Finding("durability", Verdict.UNKNOWN, f"lost writes cannot be told: {problem}", _unmeasured())
        compared = [
            _compare(name, _writes(history, kinds), held, read_at(history))
            for name, kinds in _kinds(sets).items()
            if (held := _held(history.final_reads, nodes, name)) is not None
        ]
        measured = {metric: _measure(metric, compared) for metric in METRICS}
        by_shard = _lost_by_shard(history, compared)
        lost_writes = measured["lost_writes"]
        of_shards = {f"shard({shard})": count(number) for shard, number in sorted(by_shard.items())}
        measured["lost_writes"] = replace(lost_writes, by={**lost_writes.by, **of_shards})
        if spared := {history.shards[node] for node in nodes if node in history.shards} - shards_hit(history):
            lost_of = {shard: count(by_shard[shard]) for shard in sorted(spared & by_shard.keys())}
            measured[ELSEWHERE] = count(sum(by_shard[shard] for shard in lost_of), lost_of)
        verdict, sentences = judge(measured, expectations(history, self.metrics, lost_writes=0, duplicated_writes=0))
        acknowledged = sum(len(one.acknowledged) for one in compared)
        lost = sum(len(one.lost) for one in compared)
        if not acknowledged and verdict is Verdict.PASS:
            return Finding("durability", Verdict.UNKNOWN, "no write was acknowledged, so none could be lost", measured)
        said = [f"{lost} of {acknowledged} acknowledged writes lost", *sentences, f"by the final read of {', '.join(nodes)}"]
        return Finding("durability", verdict, "; ".join(said), measured, _evidence(compared), _notes(history, nodes, compared))


def _kinds(sets: Mapping[str, str]) -> dict[str, list[str]]:
    """Set → the kinds of operations that write into it."""
    found: dict[str, list[str]] = {}
    for kind, name in sets.items():
        found.setdefault(name, []).append(kind)
    return found


def _writes(history: History, kinds: Sequence[str]) -> Operations:
    writes = history.operations.where(kind=kinds)
    return writes.at((writes["value"] != NOTHING) & (writes["started"] != NOTHING))


def read_at(history: History) -> int:
    """When the final reads began: what was acknowledged later, by a client that did not stop, they may not hold."""
    return max((event.at for event in history.named("authority")), default=history.end)


def _held(final: FinalReads, nodes: Sequence[str], name: str) -> Array | None:
    """What some nodes hold of a set, together and sorted; None where one of them was not asked for it."""
    parts = [final.values[node][name] for node in nodes if name in final.values[node]]
    if len(parts) < len(nodes):
        return None
    return parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts))


def _unreadable(history: History, nodes: Sequence[str], sets: Mapping[str, str]) -> str | None:
    """Why the final reads cannot be compared, if so."""
    final = history.final_reads
    if not nodes:
        each = " of each shard" if history.shards else ""
        return f"no node was named as the authority, nor was exactly one{each} the primary in the end"
    for node in nodes:
        if node not in final.values:
            return f"no final read of {node} ({final.missing.get(node, 'none was made')})"
        for name, kinds in _kinds(sets).items():
            if name not in final.values[node] and (_writes(history, kinds)["outcome"] == Outcome.OK).any():
                return f"the final read of {node} has no set '{name}'"
    return None


def _unmeasured() -> dict[str, Measured]:
    return {metric: Measured(None, "count") for metric in METRICS}


def _compare(name: str, writes: Operations, held: Array, read_at: int) -> Compared:
    values, outcomes = writes["value"], writes["outcome"]
    outcomes = np.where((outcomes == Outcome.OK) & (writes["ended"] > read_at), Outcome.UNKNOWN, outcomes)
    acknowledged = _distinct(values[outcomes == Outcome.OK])
    maybe = _distinct(values[outcomes == Outcome.UNKNOWN])
    unknown = maybe[~_within(maybe, acknowledged)]
    tried = _distinct(values[outcomes == Outcome.FAILED])
    failed = tried[~_within(tried, acknowledged, unknown)]
    there = _distinct(held)
    repeated = _distinct(held[1:][held[1:] == held[:-1]])
    return Compared(
        name,
        writes,
        acknowledged,
        lost=acknowledged[~_within(acknowledged, there)],
        duplicated=repeated[_within(repeated, acknowledged, unknown, failed)],
        resurrected=failed[_within(failed, there)],
        extra=there[~_within(there, acknowledged, unknown, failed)],
        unknown=len(unknown),
        unknown_there=int(_within(unknown, there).sum()),
    )


def _distinct(values: Array) -> Array:
    """Sorted, each once. Several times as fast as np.unique, whose hash table suits short keys with many repetitions."""
    ordered = np.sort(values)
    distinct: Array = ordered[np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))]
    return distinct


def _within(values: Array, *sorted_sets: Array) -> Mask:
    """Which of the (sorted) values are in at least one of the sorted sets."""
    found = np.zeros(len(values), dtype=bool)
    for held in sorted_sets:
        if len(held):
            found |= held[np.minimum(np.searchsorted(held, values), len(held) - 1)] == values
    return found


def _found(metric: str, one: Compared) -> Array:
    return {"lost_writes": one.lost, "duplicated_writes": one.duplicated, "resurrected_writes": one.resurrected}[metric]


def _measure(metric: str, compared: Sequence[Compared]) -> Measured:
    """How many, by set and by client zone."""
    by: dict[str, int] = {}
    for one in compared:
        values = _found(metric, one)
        by[one.name] = len(values)
        zones = _operations(one, metric, values).words("zone")
        for zone in sorted(set(one.writes.names["zone"])):
            by[zone] = by.get(zone, 0) + int((zones == zone).sum())
    total = sum(len(_found(metric, one)) for one in compared)
    return count(total, {name: count(number) for name, number in by.items()})


def _lost_by_shard(history: History, compared: Sequence[Compared]) -> dict[str, int]:
    """How many writes each shard has lost, of those of which it is known that they went there."""
    found = dict.fromkeys(history.shards.values(), 0)
    for one in compared:
        for endpoint in _operations(one, "lost_writes", one.lost).words("endpoint"):
            node_or_shard = shard_of(str(endpoint))
            shard = history.shards.get(node_or_shard) if role_of(str(endpoint)) == "node" else node_or_shard
            if shard in found:
                found[str(shard)] += 1
    return found


def _operations(one: Compared, metric: str, values: Array) -> Operations:
    """The operation behind each value: the acknowledged one for a lost value, else the first."""
    writes = one.writes.at(_within(one.writes["value"], values))
    if metric == "lost_writes":
        writes = writes.at(writes["outcome"] == Outcome.OK)
    return writes.at(np.unique(writes["value"], return_index=True)[1])


def _evidence(compared: Sequence[Compared]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for metric in METRICS:
        what = metric.removesuffix("_writes")
        rows_of = [row for one in compared for row in _rows(what, one, _operations(one, metric, _found(metric, one)))]
        rows.extend(sorted(rows_of, key=lambda row: float(row["ended_s"] or 0))[:EVIDENCE_MAX])
    return rows


def _rows(what: str, one: Compared, writes: Operations) -> list[dict[str, Any]]:
    writes = writes.at(np.argsort(writes["ended"], kind="stable")[:EVIDENCE_MAX])
    words = zip(writes.words("zone"), writes.words("endpoint"), strict=True)
    numbers = zip(writes["value"].tolist(), writes["outcome"].tolist(), writes["ended"].tolist(), strict=True)
    return [
        {
            "what": what,
            "set": one.name,
            "value": value,
            "zone": zone,
            "endpoint": endpoint,
            "outcome": Outcome(outcome).name.lower(),
            "ended_s": None if ended == NOTHING else ended / SECOND_NS,
        }
        for (zone, endpoint), (value, outcome, ended) in zip(words, numbers, strict=True)
    ]


def _notes(history: History, nodes: Sequence[str], compared: Sequence[Compared]) -> list[str]:
    notes = []
    for one in compared:
        if one.unknown:
            notes.append(f"{one.name}: {one.unknown} writes had no known outcome; {one.unknown_there} of them are there")
        if len(one.extra):
            notes.append(f"{one.name}: {len(one.extra)} values are there that no recorded write sent")
    return notes + _differing(history, nodes, [one.name for one in compared])


def _differing(history: History, nodes: Sequence[str], names: Sequence[str]) -> list[str]:
    """Where other nodes hold something else than their shard's once everything was healed, and which could not be read."""
    final = history.final_reads
    notes = [f"no final read of {other}: {error}" for other, error in final.missing.items()]
    of_shard = {history.shards.get(node): node for node in nodes}
    for other, held in final.values.items():
        node = of_shard.get(history.shards.get(other))
        for name in names if node is not None and other != node else ():
            mine, theirs = final.values[str(node)][name], held.get(name)
            if theirs is None:
                notes.append(f"{name}: {other} was not asked for it")
            elif not np.array_equal(mine, theirs):
                lacks, more = (~_within(mine, theirs)).sum(), (~_within(theirs, mine)).sum()
                notes.append(f"{name}: {other} differs from {node}: {lacks} values missing, {more} more")
    return notes
