"""A fault that nobody else saw did not happen."""

from __future__ import annotations

import pytest

from harness.checkers.witness import Witness
from harness.verdict import Finding, Verdict
from tests.unit.histories import Run


def judged(run: Run) -> Finding:
    return Witness().check(run.history())


def witnessed(**seen: str) -> Run:
    """A fault with one witness, whose readings at a stage can be replaced; an empty one is left out."""
    run = Run().fault(10, 12, witnessed=False)
    expected = {"before": "answers", "begin": "silence", "end": "silence", "after": "answers"}
    for number, (stage, wanted) in enumerate(expected.items()):
        if seen.get(stage, wanted):
            run.witness(10 + number, stage, wanted, seen.get(stage, wanted))
    return run


def test_a_fault_that_was_seen_and_gone_passes() -> None:
    assert (judged(witnessed()).verdict, judged(witnessed()).summary) == (Verdict.PASS, "crash of pg-a was witnessed (client-b)")


@pytest.mark.parametrize(
    ("stage", "seen", "said"),
    [
        ("before", "silence", "client-b saw 'silence' before it, expected 'answers'"),
        ("begin", "answers", "client-b saw 'answers' at its beginning, expected 'silence'"),
        ("end", "answers", "client-b saw 'answers' just before healing, expected 'silence'"),
        ("after", "silence", "client-b saw 'silence' after it, and 'answers' before"),
        ("begin", "", "client-b did not look at its beginning"),
        ("after", "", "client-b did not look after it"),
    ],
)
def test_a_reading_that_is_missing_or_wrong_makes_the_run_unknown(stage: str, seen: str, said: str) -> None:
    finding = judged(witnessed(**{stage: seen}))
    assert (finding.verdict, finding.validity) == (Verdict.UNKNOWN, True)
    assert f"crash of writer (crash): {said}" in finding.summary


def test_sabotage_a_fault_whose_injection_did_nothing_is_unknown() -> None:
    assert judged(witnessed(begin="answers", end="answers")).verdict is Verdict.UNKNOWN


def test_one_of_two_witnesses_is_not_enough() -> None:
    run = witnessed().witness(10, "begin", "silence", "answers", vantage="client-c")
    assert "client-c saw 'answers' at its beginning" in judged(run).summary


def test_two_readings_of_one_vantage_must_both_show_it() -> None:
    assert judged(witnessed().witness(10, "begin", "gone", "there")).verdict is Verdict.UNKNOWN


def test_a_fault_that_nobody_looked_at_is_unknown() -> None:
    assert "was witnessed by nobody" in judged(Run().fault(10, 12, witnessed=False)).summary


def test_a_fault_that_hit_nothing_is_unknown() -> None:
    assert "hit nothing" in judged(Run().fault(10, 12, hit=())).summary


def test_a_fault_that_was_not_healed_is_unknown() -> None:
    assert "was not healed" in judged(Run().fault(10)).summary


def test_a_planned_fault_that_never_fired_is_unknown() -> None:
    run = Run(faults=[{"id": "cut", "kind": "partition", "target": "zone(az-b)"}])
    assert judged(run).summary == "partition of zone(az-b) (cut) was never injected"


def test_a_fault_that_failed_says_why() -> None:
    run = Run(faults=[{"id": "cut", "kind": "partition", "target": "writer"}])
    run.event(5, "fault", id="cut", kind="partition", target="writer", stage="failed", error="no writer was seen")
    assert "failed: no writer was seen" in judged(run).summary


def test_a_run_without_faults_needs_no_witness() -> None:
    assert judged(Run()).verdict is Verdict.PASS
