"""Did the cluster serve its clients before anything was broken?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.clock import SECOND_NS
from harness.history import History, Operations, Outcome
from harness.intervals import PROBE_LANES, deadline_s, during
from harness.verdict import Finding, Verdict

DEFAULT_SHARE = 0.999
LANES = (*PROBE_LANES, "workload")  # not clients that take their time


@dataclass(frozen=True)
class SteadyState:
    """Every client zone must have got its share of reads and writes between the steady state and the first fault.

    Asked are the workload and the probes of the endpoints, not those of single nodes, of which replicas refuse writes.
    A probe that was held back is no evidence; an operation of the workload that could not be sent is. A run that was
    not steady before its faults cannot say what they did: it is UNKNOWN.
    """

    metrics: ClassVar[Mapping[str, str]] = {}

    def check(self, history: History) -> Finding:
        begin = history.phase("steady")
        if begin is None:
            return Finding("steady_state", Verdict.UNKNOWN, "the steady state was never reached", validity=True)
        # An operation that the fault could still reach says nothing of the time before it.
        end = _first_fault(history) - int(deadline_s(history) * SECOND_NS)
        asked = history.operations
        nodes = [name for name in asked.names["endpoint"] if name.startswith("node:")]
        held_back = (asked["outcome"] == Outcome.NOT_SENT) & asked.mask(lane=PROBE_LANES)
        asked = during(asked.at(asked.mask(lane=LANES) & ~asked.mask(endpoint=nodes) & ~held_back), (begin, end))
        doubts = list(_doubts(history, asked))
        if doubts:
            return Finding("steady_state", Verdict.UNKNOWN, "before any fault " + "; ".join(doubts), validity=True)
        ok = int((asked["outcome"] == Outcome.OK).sum())
        said = f"{ok} of {len(asked)} operations ok in the {(end - begin) / SECOND_NS:.1f} s judged before any fault"
        return Finding("steady_state", Verdict.PASS, said, validity=True)


def _first_fault(history: History) -> int:
    fired = [fault.injecting for fault in history.faults if fault.injecting is not None]
    return min(fired, default=history.phase("recovering") or history.end)


def _doubts(history: History, asked: Operations) -> Iterator[str]:
    bounds: Mapping[str, Any] = history.run.get("steady_state") or {}
    served = {zone: asked.where(zone=zone) for zone in _client_zones(history, asked)}
    for zone, operations in served.items():
        if not len(operations):
            yield f"nothing was asked in {zone}"
        for name, part in (("write", operations.writes), ("read", operations.reads)):
            needed = bounds.get(f"{name}_success") or DEFAULT_SHARE
            share = float((part["outcome"] == Outcome.OK).mean()) if len(part) else 1.0
            if share < needed:
                yield f"only {share:.2%} of the {name}s in {zone} were ok, {needed:.2%} are needed"
    if not served:
        yield "nothing was asked"


def _client_zones(history: History, asked: Operations) -> list[str]:
    """The zones that have a client node; those that asked something, when the topology does not say."""
    nodes = [node["zone"] for node in history.run["topology"].get("nodes", ()) if node["role"] == "client"]
    return sorted(set(nodes) or asked.said("zone"))
