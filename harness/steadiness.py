"""When was service again what it had been before the faults, for writes and for the workload?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.clock import SECOND_NS
from harness.history import History, Operations, Outcome, once
from harness.intervals import SETTLED_S, Gap, during, load, phases

THROUGHPUT_SHARE = 0.9  # of what was acknowledged in the slowest second before the faults, in each second
P99_TIMES, P99_LEAST_S = 3.0, 0.05  # the baseline's p99 so many times, or this, whichever is more
ENOUGH_PER_S, SECONDS_AT_LEAST = 20, 3  # operations a second on average, and seconds, to tell one second from another
STEP_NS = SECOND_NS // 10


@dataclass(frozen=True)
class Instant:
    """Something that happened between two instants, in ns; `latest` None: it had not when measuring ended."""

    earliest: float
    latest: float | None


@dataclass(frozen=True)
class Baseline:
    """What the workload got before any fault: operations acknowledged in its slowest second, and their p99 by intended start."""

    per_s: float
    p99_s: float

    @property
    def p99_limit_s(self) -> float:
        return max(P99_TIMES * self.p99_s, P99_LEAST_S)

    def __str__(self) -> str:
        least, limit = self.per_s * THROUGHPUT_SHARE, self.p99_limit_s * 1000
        return f"at least {least:.0f} operations acknowledged in each second, p99 at most {limit:.0f} ms"


@once
def baseline(history: History) -> Baseline | None:
    """None where there was too little of a workload before the faults."""
    start, stop = phases(history).get("before", (0, 0))
    ok = during(_acknowledged(history), (start, stop))
    seconds = np.diff(np.searchsorted(ok["intended"], np.arange(start, stop + 1, SECOND_NS)))
    if len(seconds) < SECONDS_AT_LEAST or seconds.mean() < ENOUGH_PER_S:
        return None
    return Baseline(float(seconds.min()), float(np.percentile(ok["ended"] - ok["intended"], 99)) / SECOND_NS)


def written(gap: Gap) -> Instant:
    """When a gap was over: after the last instant at which nothing was served for certain, and before the next answer came."""
    surely = gap.begins if gap.surely_until is None else gap.surely_until
    if gap.first_ok is None:
        return Instant(surely, None)
    return Instant(max(gap.begins, min(gap.first_ok, surely)), gap.first_ok)


def first_written(gaps: Sequence[Gap]) -> Instant:
    """When writes were acknowledged again in the first client zone."""
    closed = [gap for gap in gaps if gap.first_ok is not None]
    return written(min(closed or gaps, key=lambda gap: gap.first_ok or gap.begins))


def stable(history: History, gaps: Sequence[Gap]) -> Instant | None:
    """When service was stable after all of an episode's gaps; None when measuring ended too soon to tell.

    Stable is: writes are acknowledged in every client zone and none fails for 5 s (which ends an episode), and the workload has
    `THROUGHPUT_SHARE` of the baseline's throughput in each of these seconds, its p99 over them within `P99_TIMES` the baseline's.
    Without a workload that is enough to tell by, writes alone decide.
    """
    ends = [written(gap) for gap in gaps]
    latest = [one.latest for one in ends if one.latest is not None]
    earliest = max(one.earliest for one in ends)
    if len(latest) < len(ends):
        return Instant(earliest, None)
    over = max(latest)
    if over + SETTLED_S * SECOND_NS > history.end:
        return None
    usual = baseline(history)
    if usual is None:
        return Instant(earliest, over)
    ok = _acknowledged(history)
    for at in range(int(over), int(history.end - SETTLED_S * SECOND_NS) + 1, STEP_NS):
        if _as_usual(ok, usual, at, SETTLED_S):
            return Instant(earliest if at == over else at - STEP_NS, at)
    # Whether it would have held for longer, where it did until the end, nobody knows.
    held = any(_as_usual(ok, usual, history.end - second * SECOND_NS, second) for second in range(1, int(SETTLED_S)))
    return None if held else Instant(history.end - SETTLED_S * SECOND_NS, None)


def _as_usual(ok: Operations, usual: Baseline, since: int, for_s: float) -> bool:
    edges = np.searchsorted(ok["intended"], since + np.arange(int(for_s) + 1) * SECOND_NS)
    if np.diff(edges).min() < THROUGHPUT_SHARE * usual.per_s:
        return False
    part = slice(edges[0], edges[-1])
    took = ok["ended"][part] - ok["intended"][part]
    return float(np.percentile(took, 99)) <= usual.p99_limit_s * SECOND_NS


@once
def _acknowledged(history: History) -> Operations:
    asked = load(history)
    return asked.at(asked["outcome"] == Outcome.OK)
