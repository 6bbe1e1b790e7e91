"""Do the workload's invariants hold in what the primary says in the end, such as the sum of all accounts?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.history import History
from harness.intervals import authority
from harness.verdict import Finding, Verdict


@dataclass(frozen=True)
class Invariants:
    """Each fact in the run's `invariants` must be read as given, on the node whose final read counts."""

    metrics: ClassVar[Mapping[str, str]] = {}

    def check(self, history: History) -> Finding:
        expected: Mapping[str, Any] = history.run.get("invariants") or {}
        if not expected:
            return Finding("invariants", Verdict.PASS, "the workload declares no invariant")
        node = authority(history)
        facts = history.final_reads.facts.get(node or "", {})
        unread = sorted(set(expected) - set(facts))
        broken = {name: facts[name] for name in expected if name in facts and facts[name] != expected[name]}
        notes = _elsewhere(history, node, expected)
        evidence = [{"fact": name, "expected": expected[name], "read": read, "node": node} for name, read in broken.items()]
        if broken:
            said = "; ".join(f"{name} is {read} on {node}, and must be {expected[name]}" for name, read in broken.items())
            return Finding("invariants", Verdict.FAIL, said, evidence=evidence, notes=notes)
        if unread:
            why = history.final_reads.missing.get(node or "", "not in its final read")
            said = f"{', '.join(unread)} could not be read on {node or 'any primary'} ({why})"
            return Finding("invariants", Verdict.UNKNOWN, said, notes=notes)
        said = "; ".join(f"{name} is {facts[name]}, as it must be" for name in expected)
        return Finding("invariants", Verdict.PASS, said, notes=notes)


def _elsewhere(history: History, node: str | None, expected: Mapping[str, Any]) -> list[str]:
    """What other nodes say that differs; they may still be catching up."""
    return [
        f"{other} says {name} is {facts[name]}"
        for other, facts in history.final_reads.facts.items()
        for name in expected
        if other != node and name in facts and facts[name] != expected[name]
    ]
