"""How much of what was asked did the cache have, how stale was it, and what was left for the origin to answer?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from harness.bounds import expectations, judge, show_value
from harness.clock import SECOND_NS
from harness.history import NOTHING, Array, History, Operations, Outcome
from harness.intervals import during, intended, phases
from harness.staleness import NEVER, replaced_at, stale_seconds
from harness.verdict import Finding, Measured, Verdict, exactly

# What the workloads call these operations, and in the place of an error's class how a read that was ok came by its value.
WORKLOAD = "cache_aside"
READ, DIRECT, UPDATE = "read cached", "read origin", "update"
HIT = ""
FROM_ORIGIN = ("miss", "past the cache")
STALENESS = {"staleness_p50": 0.5, "staleness_p99": 0.99, "staleness_max": 1.0}
METRICS = {
    "hit_share": "share",
    "stale_share": "share",
    **dict.fromkeys(STALENESS, "s"),
    "origin_reads": "count",
    "origin_reads_peak": "count",
    "hit_p50": "s",
    "hit_p99": "s",
    "origin_p50": "s",
    "origin_p99": "s",
    "hit_speedup": "count",
}
EVIDENCE_MAX = 20
TICK_S = 1.0  # caches count a ttl in seconds: an entry may live so much longer


@dataclass(frozen=True)
class Cache:
    """Judges what was read through a cache, before, during and after the faults, too.

    A read is stale when the value that it got had been replaced in the origin for certain before it began: by an update that
    began after the value's own had ended, and that was acknowledged. It is stale since that acknowledgement; the truth is at
    most an update's latency more. Percentiles are over all reads, of which those that were not stale count as 0.
    `origin_reads` is how many reads a second the origin was asked for by misses, and by users whose cache did not answer;
    `origin_reads_peak` the most in any second. `hit_speedup` is how many times longer the median read of the origin itself took
    than the median hit.

    Without a bound on `staleness_max`, nothing may be served for longer after it was replaced than it may live: the workload's
    longest ttl, a second of the cache's clock, and the time that a user has for putting into the cache what it has read.
    """

    metrics: ClassVar[Mapping[str, str]] = METRICS
    by_phase: ClassVar[bool] = True

    def check(self, history: History) -> Finding:
        asked = intended(history)
        reads = asked.where(kind=READ)
        expected = expectations(history, self.metrics)
        if not len(reads) and not expected and not _cached(history):
            return Finding("cache", Verdict.PASS, "nothing was read through a cache")
        ok = reads.at(reads["outcome"] == Outcome.OK)
        if not len(ok):
            return Finding("cache", Verdict.UNKNOWN, "no read through a cache was answered", _unmeasured())
        replaced = replaced_at(history.operations.where(kind=UPDATE), ok)
        measured = self._measured(history, asked, ok, stale_seconds(ok, replaced))
        bounded = any(one.metric == "staleness_max" for one in expected)
        default = {} if bounded else {"staleness_max": max(_limits_s(history), default=0.0)}
        default = {name: bound for name, bound in default.items() if bound}
        verdict, sentences = judge(measured, expectations(history, self.metrics, **default))
        said = [f"{show_value(measured['hit_share'].value or 0, 'share')} of {len(ok)} reads were hits", *sentences]
        stale = stale_seconds(ok, replaced)
        return Finding("cache", verdict, "; ".join(said), measured, _evidence(ok, stale), _notes(ok, replaced))

    def _measured(self, history: History, asked: Operations, ok: Operations, stale_s: Array) -> dict[str, Measured]:
        whole = _figures(history, asked, ok, stale_s, (history.phase("steady") or 0, history.end + 1))
        parts = {}
        for phase, interval in phases(history).items():
            inside = (ok["intended"] >= interval[0]) & (ok["intended"] < interval[1])
            parts[phase] = _figures(history, during(asked, interval), ok.at(inside), stale_s[inside], interval)
        return {
            name: exactly(value, METRICS[name], {phase: exactly(part[name], METRICS[name]) for phase, part in parts.items()})
            for name, value in whole.items()
        }


def _unmeasured() -> dict[str, Measured]:
    return {name: Measured(None, unit) for name, unit in METRICS.items()}


def _cached(history: History) -> bool:
    return any(workload.get("name") == WORKLOAD for workload in history.run.get("workloads") or ())


def _limits_s(history: History) -> Iterator[float]:
    """How long each workload may serve what was replaced; nothing of one whose entries live for ever."""
    for workload in history.run.get("workloads") or ():
        options: Mapping[str, Any] = workload.get("options") or workload
        if workload.get("name") == WORKLOAD and options.get("ttl_s"):
            longest = options["ttl_s"] * (1 + options.get("ttl_jitter_share", 0))
            yield longest + TICK_S + options.get("deadline_s", 1)


# --- figures -------------------------------------------------------------------------------------------------


def _figures(
    history: History, asked: Operations, ok: Operations, stale_s: Array, interval: tuple[int, int]
) -> dict[str, float | None]:
    """Every metric over a part of the run; `asked` and `ok` are that part's."""
    found: dict[str, float | None] = dict.fromkeys(METRICS)
    if not len(ok):
        return found
    hits = ok.at(ok.mask(error=HIT))
    direct = asked.where(kind=DIRECT)
    direct = direct.at(direct["outcome"] == Outcome.OK)
    origin = _asked_of_origin(asked.where(kind=READ))
    begin = history.phase("steady") or 0  # of all parts' seconds, so that none has a worse one than the whole
    seconds = np.bincount((origin["started"] - begin) // SECOND_NS) if len(origin) else np.zeros(1)
    length_s = (min(interval[1], history.end) - interval[0]) / SECOND_NS
    found |= {name: float(np.quantile(stale_s, share, method="higher")) for name, share in STALENESS.items()}
    found |= {
        "hit_share": len(hits) / len(ok),
        "stale_share": float((stale_s > 0).mean()),
        "origin_reads": round(len(origin) / length_s, 2) if length_s > 0 else None,
        "origin_reads_peak": float(seconds.max()),
        "hit_p50": _took_s(hits, 0.5),
        "hit_p99": _took_s(hits, 0.99),
        "origin_p50": _took_s(direct, 0.5),
        "origin_p99": _took_s(direct, 0.99),
    }
    hit, read = found["hit_p50"], found["origin_p50"]
    found["hit_speedup"] = round(read / hit, 2) if hit and read else None
    return found


def _asked_of_origin(reads: Operations) -> Operations:
    """The reads for which the origin was asked, be it in vain."""
    words = [word for word in reads.names["error"] if word in FROM_ORIGIN or word.startswith("origin: ")]
    return reads.at(reads.mask(error=words) & (reads["started"] != NOTHING) & (reads["outcome"] != Outcome.NOT_SENT))


def _took_s(operations: Operations, share: float) -> float | None:
    """From start to answer: what is compared is the servers, not how late their clients were."""
    if not len(operations):
        return None
    return float(np.quantile(operations["ended"] - operations["started"], share)) / SECOND_NS


def _evidence(ok: Operations, stale_s: Array) -> list[dict[str, Any]]:
    """The stalest reads."""
    rows = np.argsort(-stale_s, kind="stable")[:EVIDENCE_MAX]
    zones = ok.words("zone")
    return [
        {
            "key": int(ok["key"][row]), "value": int(ok["value"][row]), "zone": str(zones[row]),
            "read_at_s": float(ok["started"][row]) / SECOND_NS, "stale_s": float(stale_s[row]),
        }
        for row in rows.tolist()
        if stale_s[row] > 0
    ]  # fmt: skip


def _notes(ok: Operations, replaced: Array) -> Sequence[str]:
    words, numbers = np.unique(ok.words("error").astype(str), return_counts=True)
    how = ", ".join(f"{word or 'hit'} {number}" for word, number in zip(words, numbers.tolist(), strict=True))
    replaced_at_all = int((replaced < NEVER).sum())
    return [f"reads came by their values so: {how}", f"{replaced_at_all} of them got a value that was replaced in the end"]
