"""How long did one client wait for one answer, whatever the answer was?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from harness.bounds import expectations, judge, show
from harness.clock import SECOND_NS
from harness.history import NOTHING, History, Operations
from harness.intervals import SETTLED_S, load, measured
from harness.verdict import Finding, Measured, exactly

PREFIX = "client:"  # a lane of clients that wait as long as their own settings let them
WORKLOAD = "workload"


@dataclass(frozen=True)
class Waits:
    """Measures each operation, and each attempt to connect, of the workloads' clients from its start to its end: an error ends
    it, too. `longest_wait` is the longest of all; `by` has each kind of client by where it connects (`default
    direct`), and these by what it asked. What had not ended when measuring did has no upper bound.

    `past_deadline` is by how much a client that keeps a deadline of its own overran it, counted from when the operation was
    meant to start: 0 for none.
    """

    metrics: ClassVar[Mapping[str, str]] = {"longest_wait": "s", "past_deadline": "s"}

    def check(self, history: History) -> Finding:
        asked = _sent(history)
        waits = {name: _by_kind(part, history.end) for name, part in _by_client(asked).items()}
        over = {
            _client(lane): _overrun(part, limit, history.end)
            for lane, limit in (history.run.get("deadlines") or {}).items()
            if len(part := asked.where(lane=lane))
        }
        found = {"longest_wait": _worst(waits), "past_deadline": _worst(over)}
        verdict, sentences = judge(found, expectations(history, self.metrics))
        worst_first = sorted(waits.items(), key=lambda pair: _order(pair[1]), reverse=True)
        listed = [f"{name} waited {show(one)}" for name, one in worst_first]
        return Finding("waits", verdict, "; ".join([*sentences, *listed]) or "no client asked anything", found)


def _sent(history: History) -> Operations:
    patient = [lane for lane in history.operations.names["lane"] if lane.startswith(PREFIX)]
    asked = measured(history, history.operations).where(lane=[WORKLOAD, *patient]) if patient else load(history)
    return asked.at(asked["started"] != NOTHING)


def _by_client(asked: Operations) -> dict[str, Operations]:
    """Kind of client and endpoint, in words → its operations."""
    return {
        f"{_client(lane)} {endpoint}": part
        for lane in asked.said("lane")
        for endpoint in asked.said("endpoint")
        if len(part := asked.where(lane=lane, endpoint=endpoint))
    }


def _client(lane: str) -> str:
    return lane.removeprefix(PREFIX)


def _by_kind(asked: Operations, end: int) -> Measured:
    return _worst({kind: _longest(asked.where(kind=kind), "started", 0, end) for kind in asked.said("kind")})


def _overrun(asked: Operations, limit_s: float, end: int) -> Measured:
    """Of operations whose deadline was over before measuring was."""
    limit = int(limit_s * SECOND_NS)
    return _longest(asked.at(asked["intended"] + limit <= end), "intended", limit, end)


def _longest(asked: Operations, since: str, less: int, end: int) -> Measured:
    """The longest time from `since` to the end, less so many ns; None for no operation at all."""
    if not len(asked):
        return Measured(None, "s")
    ended = (asked["ended"] != NOTHING) & (asked["ended"] <= end)
    took = np.maximum(np.where(ended, asked["ended"], end) - asked[since] - less, 0) / SECOND_NS
    longest = float(took.max())
    waiting = float(took[~ended].max(initial=0))
    # Of one that still waits long after service was stable nobody knows for how much longer it will.
    if waiting > SETTLED_S or (waiting and waiting == longest):
        return Measured(longest, "s", longest, None)
    return exactly(longest, "s")


def _worst(parts: Mapping[str, Measured]) -> Measured:
    if not parts:
        return Measured(None, "s")
    return replace(max(parts.values(), key=_order), by=parts)


def _order(one: Measured) -> tuple[bool, float]:
    return one.upper is None, one.value or 0.0
