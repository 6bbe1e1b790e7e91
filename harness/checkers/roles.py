"""How often did the primary change, and did it without a fault that could have caused it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.bounds import expectations, judge
from harness.clock import SECOND_NS
from harness.history import Event, History
from harness.intervals import promotions
from harness.verdict import Finding, Verdict, count


@dataclass(frozen=True)
class Roles:
    """Counts the nodes that became primary at a time when no role-changing fault was, or had lately been, in force.

    A fault explains what happens from its injection until `grace_s` seconds after it was healed. A role change that
    nothing explains makes the run UNKNOWN, since the faults are then not what was measured, unless the scenario bounds
    `unplanned_role_changes`: then it is judged like any other metric. `role_changes` counts them all.
    """

    metrics: ClassVar[Mapping[str, str]] = {"role_changes": "count", "unplanned_role_changes": "count"}
    grace_s: float = 60

    def check(self, history: History) -> Finding:
        readings = history.named("role")
        expected = expectations(history, self.metrics)
        if not readings and (expected or _has_roles(history)):
            return Finding("roles", Verdict.UNKNOWN, "no node's role was ever read", validity=not expected)
        begin = history.phase("steady") or 0
        changes = [event for event in promotions(history) if event.at >= begin]
        unplanned = [event for event in changes if not self._explained(history, event)]
        measured = {"role_changes": count(len(changes)), "unplanned_role_changes": count(len(unplanned))}
        verdict, sentences = judge(measured, expected)
        bounded = any(one.metric == "unplanned_role_changes" for one in expected)
        if unplanned and not bounded:
            verdict = Verdict.UNKNOWN
        listed = [_sentence(event) for event in unplanned] or ["no role change without a fault"]
        planned = [_sentence(event) for event in changes if event not in unplanned]
        evidence = [_row(event, event not in unplanned) for event in changes]
        return Finding("roles", verdict, "; ".join([*sentences, *listed]), measured, evidence, planned, validity=not bounded)

    def _explained(self, history: History, event: Event) -> bool:
        for fault in history.faults:
            if fault.changes_roles and fault.injecting is not None:
                over = history.end if fault.healed is None else fault.healed + int(self.grace_s * SECOND_NS)
                if fault.injecting <= event.at <= over:
                    return True
        return False


def _has_roles(history: History) -> bool:
    """Whether the topology has a primary at all; databases do, unless it says otherwise."""
    topology = history.run["topology"]
    databases = any(node["role"] == "database" for node in topology.get("nodes", ()))
    return bool(topology.get("expected_roles", databases))


def _sentence(event: Event) -> str:
    return f"{event['node']} became primary at {event.at / SECOND_NS:.1f} s"


def _row(event: Event, planned: bool) -> dict[str, Any]:
    row = {"node": event["node"], "at_s": event.at / SECOND_NS, "planned": planned}
    return {**row, "timeline": event.data["timeline"]} if "timeline" in event.data else row
