"""An invariant is judged by what the primary says in the end."""

from __future__ import annotations

import pytest

from harness.checkers.invariants import Invariants
from harness.verdict import Finding, Verdict
from tests.unit.histories import Run


def judged(total: int | None, **more: int) -> Finding:
    run = Run(invariants={"accounts_total": 100}).event(31, "authority", node="pg-b")
    run.final("pg-b", {} if total is None else {"accounts_total": total})
    for node, other in more.items():
        run.final(node, {"accounts_total": other})
    return Invariants().check(run.history())


def test_a_total_that_was_kept_passes() -> None:
    assert (judged(100).verdict, judged(100).summary) == (Verdict.PASS, "accounts_total is 100, as it must be")


def test_a_total_that_changed_fails() -> None:
    finding = judged(99)
    assert (finding.verdict, finding.summary) == (
        Verdict.FAIL, "accounts_total is 99 on pg-b, and must be 100; missing_facts 1, at most 0",
    )  # fmt: skip


@pytest.mark.parametrize(("total", "verdict"), [(95, Verdict.PASS), (94, Verdict.FAIL), (101, Verdict.FAIL)])
def test_a_scenario_may_bound_what_is_missing_but_nothing_may_be_there_too_much(total: int, verdict: Verdict) -> None:
    run = Run(invariants={"accounts_total": 100}, expect=[{"metric": "missing_facts", "max": 5}])
    run.event(31, "authority", node="pg-b").final("pg-b", {"accounts_total": total})
    assert Invariants().check(run.history()).verdict is verdict


def test_a_total_that_was_not_read_is_unknown() -> None:
    assert judged(None).verdict is Verdict.UNKNOWN


def test_another_node_that_says_otherwise_is_noted() -> None:
    finding = judged(100, a=90)
    assert (finding.verdict, finding.notes) == (Verdict.PASS, ["a says accounts_total is 90"])


def test_a_workload_without_invariants_passes() -> None:
    assert Invariants().check(Run().history()).verdict is Verdict.PASS


def test_what_the_primaries_of_shards_say_is_added_up() -> None:
    run = Run(invariants={"accounts_total": 100}).event(31, "authority", nodes=["r-1", "r-2"])
    run.final("r-1", {"accounts_total": 70}).final("r-2", {"accounts_total": 30})
    assert Invariants().check(run.history()).verdict is Verdict.PASS
    run.final("r-2", {})
    assert Invariants().check(run.history()).verdict is Verdict.UNKNOWN
