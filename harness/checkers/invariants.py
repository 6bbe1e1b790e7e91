"""Do the workload's invariants hold in what the primary says in the end, such as the sum of all accounts?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.bounds import expectations, judge
from harness.history import History
from harness.intervals import authorities
from harness.verdict import Finding, Measured, Verdict, count


@dataclass(frozen=True)
class Invariants:
    """Each fact in the run's `invariants` must be read as given, on the node whose final read counts; of shards, in sum.

    By how much they fall short is `missing_facts`, which a scenario may bound where a loss is to be expected; nothing may be
    there that is too much.
    """

    metrics: ClassVar[Mapping[str, str]] = {"missing_facts": "count"}

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
        measured = {"missing_facts": count(sum(max(0, expected[name] - read) for name, read in broken.items()))}
        verdict, bounds = judge(measured, expectations(history, self.metrics, missing_facts=0))
        if any(read > expected[name] for name, read in broken.items()):
            verdict = Verdict.FAIL
        if unread and verdict is Verdict.PASS:
            why = next(filter(None, map(history.final_reads.missing.get, nodes)), "not in its final read")
            said = f"{', '.join(unread)} could not be read on {node or 'any primary'} ({why})"
            return Finding("invariants", Verdict.UNKNOWN, said, {"missing_facts": Measured(None, "count")}, notes=notes)
        if broken:
            differ = [f"{name} is {read} on {node}, and must be {expected[name]}" for name, read in broken.items()]
            return Finding("invariants", verdict, "; ".join(differ + bounds), measured, evidence, notes)
        said = "; ".join(f"{name} is {facts[name]}, as it must be" for name in expected)
        return Finding("invariants", verdict, said, measured, notes=notes)


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
