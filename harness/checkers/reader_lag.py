"""How far behind the writer is what clients read from replicas?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from harness.bounds import expectations, judge, show
from harness.clock import SECOND_NS
from harness.endpoints import role_of
from harness.history import NOTHING, Array, History, Operations, Outcome
from harness.intervals import PROBE_LANES, phases
from harness.staleness import replaced_at, stale_seconds
from harness.verdict import Finding, Measured, Verdict, exactly

SHARES = {"reader_lag_p50": 0.5, "reader_lag_p99": 0.99, "reader_lag_max": 1.0}
EVIDENCE_MAX = 20


@dataclass(frozen=True)
class ReaderLag:
    """The age of what probes read at the reader endpoint, before, during and after the faults, too.

    A probe reads the newest value that a replica has. It lags when a newer one had been acknowledged by the writer before the
    read began, and for as long as it had been: the truth is more by at most the time between two of the probes' writes and a
    write's latency. Percentiles are over all reads, of which those that lacked nothing count as 0.
    """

    metrics: ClassVar[Mapping[str, str]] = dict.fromkeys(SHARES, "s")
    by_phase: ClassVar[bool] = True

    def check(self, history: History) -> Finding:
        probes = history.operations.where(lane=PROBE_LANES)
        readers = [name for name in probes.names["endpoint"] if role_of(name) == "reader"]
        reads = probes.where(kind="read", endpoint=readers)
        reads = reads.at((reads["outcome"] == Outcome.OK) & (reads["value"] != NOTHING))
        reads = reads.between(history.phase("steady") or 0, history.end + 1)
        expected = expectations(history, self.metrics)
        if not len(reads):
            verdict = Verdict.UNKNOWN if expected else Verdict.PASS
            return Finding("reader_lag", verdict, "no probe read anything that tells how new it is", _figures(np.empty(0)))
        lags_s = stale_seconds(reads, replaced_at(probes.where(kind="probe_write"), reads))
        parts = {
            phase: _figures(lags_s[(reads["intended"] >= begin) & (reads["intended"] < end)])
            for phase, (begin, end) in phases(history).items()
        }
        measured = {
            name: exactly(one.value, "s", {phase: part[name] for phase, part in parts.items()})
            for name, one in _figures(lags_s).items()
        }
        verdict, sentences = judge(measured, expected)
        said = sentences or [f"{name} {show(one)}" for name, one in measured.items()]
        return Finding("reader_lag", verdict, "; ".join(said), measured, _evidence(reads, lags_s))


def _figures(lags_s: Array) -> dict[str, Measured]:
    def share_of(share: float) -> float | None:
        return float(np.quantile(lags_s, share, method="higher")) if len(lags_s) else None

    return {name: exactly(share_of(share), "s") for name, share in SHARES.items()}


def _evidence(reads: Operations, lags_s: Array) -> list[dict[str, Any]]:
    """The reads that lacked most."""
    rows = np.argsort(-lags_s, kind="stable")[:EVIDENCE_MAX]
    zones, endpoints = reads.words("zone"), reads.words("endpoint")
    return [
        {
            "zone": str(zones[row]), "endpoint": str(endpoints[row]), "value": int(reads["value"][row]),
            "read_at_s": float(reads["started"][row]) / SECOND_NS, "lag_s": float(lags_s[row]),
        }
        for row in rows.tolist()
        if lags_s[row] > 0
    ]  # fmt: skip
