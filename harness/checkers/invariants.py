"""Do the workload's invariants hold in what the primary says in the end, such as the sum of all accounts?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.history import History
from harness.intervals import authorities
from harness.verdict import Finding, Verdict


@dataclass(frozen=True)
class Invariants:
    """Each fact in the run's `invariants` must be read as given, on the node whose final read counts; of shards, in sum."""

    metrics: ClassVar[Mapping[str, str]] = {}

    def check(self, history: History) -> Finding:
        expected: Mapping[str, Any] = history.run.get("invariants") or {}
        if not expected:
            return Finding("invariants", Verdict.PASS, "the workload declares no invariant")
        nodes = authorities(history)
        node = ", ".join(nodes)
        facts = _together([history.final_reads.facts.get(name, {}) for name in nodes])
        unread = sorted(set(expected) - set(facts))
        broken = {name: facts[name] for name in expected if name in facts and facts[name] != expected[name]}
        notes = _elsewhere(history, nodes, expected) if len(nodes) < 2 else []
        evidence = [{"fact": name, "expected": expected[name], "read": read, "node": node} for name, read in broken.items()]
        if broken:
            said = "; ".join(f"{name} is {read} on {node}, and must be {expected[name]}" for name, read in broken.items())
            return Finding("invariants", Verdict.FAIL, said, evidence=evidence, notes=notes)
        if unread:
            why = next(filter(None, map(history.final_reads.missing.get, nodes)), "not in its final read")
            said = f"{', '.join(unread)} could not be read on {node or 'any primary'} ({why})"
            return Finding("invariants", Verdict.UNKNOWN, said, notes=notes)
        said = "; ".join(f"{name} is {facts[name]}, as it must be" for name in expected)
        return Finding("invariants", Verdict.PASS, said, notes=notes)


def _together(parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What the nodes say together: each keeps a part, so that what all of them say is added up."""
    if len(parts) == 1:
        return parts[0]
    names = set(parts[0]).intersection(*parts[1:]) if parts else set()
    return {name: sum(part[name] for part in parts) for name in names}


def _elsewhere(history: History, nodes: Sequence[str], expected: Mapping[str, Any]) -> list[str]:
    """What other nodes say that differs; they may still be catching up."""
    return [
        f"{other} says {name} is {facts[name]}"
        for other, facts in history.final_reads.facts.items()
        for name in expected
        if other not in nodes and name in facts and facts[name] != expected[name]
    ]
