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


def test_a_fault_that_lasted_longer_than_planned_is_noted() -> None:
    run = witnessed()  # from 10 to 12 s
    run.run["faults"] = [{"id": "crash", "kind": "crash", "target": "writer", "for_s": 2.0}]
    assert judged(run).notes == []
    run = witnessed()
    run.event(47, "fault", id="crash", kind="crash", target="writer", stage="healed")
    run.run["faults"] = [{"id": "crash", "kind": "crash", "target": "writer", "for_s": 2.0}]
    assert judged(run).notes == ["crash lasted 37.0 s; 2 s were planned"]


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


def test_a_change_that_every_member_confirmed_passes_and_says_what_was_done() -> None:
    finding = judged(Run().change(10, 13))
    assert finding.verdict is Verdict.PASS
    assert finding.summary == "switchover of pg-a was verified (pg-a, pg-b): pg-b took over from pg-a"


def test_sabotage_a_change_that_changed_nothing_is_unknown() -> None:
    roles = {"pg-a": "primary", "pg-b": "replica"}
    finding = judged(Run().change(10, 13, before=roles, after=roles))
    assert (finding.verdict, finding.validity) == (Verdict.UNKNOWN, True)
    assert finding.summary == "switchover of pg-a (switchover) changed nothing that anybody could see"


def test_a_change_after_which_a_member_says_something_else_is_unknown() -> None:
    run = Run().change(10, 13).witness(13.2, "after", "replica", "primary", id_="switchover", vantage="pg-c")
    assert judged(run).summary == "switchover of pg-a (switchover): pg-c said 'primary' after it, expected 'replica'"


def test_a_change_that_nobody_looked_at_is_unknown() -> None:
    before, after = judged(Run().change(10, 13, before={})), judged(Run().change(10, 13, after={}))
    assert (before.verdict, before.summary) == (Verdict.UNKNOWN, "switchover (switchover): nobody looked before it")
    assert (after.verdict, after.summary) == (Verdict.UNKNOWN, "switchover of pg-a (switchover): nobody looked after it")


def test_a_change_that_stopped_half_way_says_where() -> None:
    run = Run().change(10).event(12, "change", id="switchover", kind="switchover", stage="failed", hit=["pg-a"], error="refused")
    assert judged(run).summary == "switchover of pg-a (switchover) failed: refused"


def test_a_change_that_was_never_begun_or_ended_is_unknown() -> None:
    assert judged(Run(changes=[{"id": "move", "kind": "switchover"}])).summary == "switchover (move) was never begun"
    assert judged(Run().change(10)).summary == "switchover (switchover) was not brought to its end"


def test_a_run_without_faults_needs_no_witness() -> None:
    assert judged(Run()).verdict is Verdict.PASS
