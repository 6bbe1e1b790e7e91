"""Recovery is stable service from the fault's effect, not the first success."""

from __future__ import annotations

import pytest

from harness.checkers.recovery import Recovery
from harness.verdict import Finding, Verdict
from tests.unit.histories import NOT_SENT, OK, Run, found


def judged(run: Run) -> Finding:
    return Recovery().check(run.history())


def test_recovery_runs_from_the_effect_to_stable_service() -> None:
    finding = judged(Run().fault(9, 15).probes((10, 12)).expect("recovery", max=3))
    assert finding.verdict is Verdict.PASS
    measured = found(finding, "recovery")
    assert measured.lower is not None
    assert measured.upper is not None
    assert measured.lower <= 2 <= measured.upper
    assert measured.upper - measured.lower < 0.1


def test_a_recovery_beyond_its_bound_fails() -> None:
    assert judged(Run().fault(9, 15).probes((10, 12)).expect("recovery", max=1)).verdict is Verdict.FAIL


def test_a_recovery_without_a_fault_is_unknown() -> None:
    assert judged(Run().probes().expect("recovery", max=1)).verdict is Verdict.UNKNOWN


def test_a_first_success_that_does_not_hold_is_no_recovery() -> None:
    finding = judged(Run().fault(9, 15).probes((10, 12), (14, 16)))
    assert found(finding, "recovery").value == pytest.approx(6, abs=0.05)
    assert found(finding, "first_success").value == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("healed", [15, 50, None])
def test_an_outage_after_stable_service_is_noted_apart(healed: float | None) -> None:
    finding = judged(Run(end=60).fault(9, healed).probes((10, 12), (40, 45)))
    assert found(finding, "recovery").value == pytest.approx(2, abs=0.05)
    assert "crash: 1 outages began after service had been stable" in finding.notes


def test_an_outage_from_before_the_injection_is_not_the_faults() -> None:
    assert found(judged(Run().fault(9, 15).probes((5, 8), (8.5, 9.5))), "recovery").value == 0


def loaded(run: Run, slow: tuple[float, float] = (0, 0), gone: tuple[float, float] = (0, 0), by: float = 0.2) -> Run:
    """50 operations a second; in a time `slow` they take `by` seconds, in a time `gone` four of five are never sent."""
    for number in range(round(run.end * 50)):
        at = number / 50
        missing = gone[0] <= at < gone[1] and number % 5
        run.operation(at, NOT_SENT if missing else OK, takes=by if slow[0] <= at < slow[1] else 0.002)
    return run


def test_service_is_stable_only_when_the_workload_has_its_throughput_again() -> None:
    run = loaded(Run().fault(9, 15).probes((10, 12)), gone=(10, 16)).expect("recovery", max=3)
    measured = found(judged(run), "recovery")
    assert measured.value == pytest.approx(6, abs=0.2)
    assert (measured.upper or 0) - (measured.lower or 0) < 0.2
    assert judged(run).verdict is Verdict.FAIL
    assert any(note.startswith("crash: as before the faults is at least 45 operations") for note in judged(run).notes)


def test_and_its_p99_again() -> None:
    assert found(judged(loaded(Run().fault(9, 15).probes((10, 12)), slow=(12, 17))), "recovery").value == pytest.approx(
        7, abs=0.2
    )
    a_little_slower = loaded(Run().fault(9, 15).probes((10, 12)), slow=(12, 17), by=0.04)
    assert found(judged(a_little_slower), "recovery").value == pytest.approx(2, abs=0.1)


def test_a_workload_that_was_not_as_before_when_measuring_ended_has_not_recovered() -> None:
    measured = found(judged(loaded(Run().fault(9, 15).probes((10, 12)), slow=(12, 30))), "recovery")
    assert measured.upper is None
    assert measured.lower == pytest.approx(15, abs=0.1)
    finding = judged(loaded(Run().fault(9, 15).probes((10, 12)), slow=(12, 28)).expect("recovery", max=60))
    assert finding.verdict is Verdict.UNKNOWN, "two good seconds are not five"
    assert any("was not seen, since measuring ended" in note for note in finding.notes)


def test_a_workload_of_a_few_operations_a_second_says_nothing() -> None:
    run = Run().fault(9, 15).probes((10, 12)).load((10, 16))
    assert found(judged(run), "recovery").value == pytest.approx(2, abs=0.05)
    assert "crash: the workload asked too little before the faults to be held against it: stable is by writes alone" in (
        judged(run).notes
    )


def test_stable_means_in_every_zone_at_once() -> None:
    run = Run(end=60).fault(9, 30).probes((10, 12), (18, 20)).probes((11, 16), zone="az-b")
    assert found(judged(run), "recovery").value == pytest.approx(10, abs=0.05)


def test_every_zone_must_be_served_again() -> None:
    run = Run().fault(9, 18).probes((10, 12)).probes((10, 19), zone="az-b")
    assert found(judged(run), "recovery").value == pytest.approx(9, abs=0.05)


def test_service_that_was_not_seen_to_hold_for_five_seconds_is_unknown() -> None:
    finding = judged(Run(end=14).fault(9, 13).probes((10, 12)).expect("recovery", max=60))
    assert finding.verdict is Verdict.UNKNOWN
    assert "crash: writes were back for 2.00 s when measuring ended; stable is 5 s" in finding.notes


def test_service_that_never_came_back_fails() -> None:
    finding = judged(Run().fault(9, 20).probes((10, 99)).expect("recovery", max=60))
    assert finding.verdict is Verdict.FAIL
    assert "crash: writes were not back in every client zone when measuring ended" in finding.notes


def test_a_fault_without_effect_on_writes_needs_no_recovery() -> None:
    finding = judged(Run().fault(9, 15).probes().expect("recovery", max=1))
    assert (finding.verdict, found(finding, "recovery").value) == (Verdict.PASS, 0)
    assert finding.notes == ["crash: no write probe failed; it had no effect on writes"]


def test_a_change_is_recovered_from_as_a_fault_is() -> None:
    run = Run().change(10, 14).probes((11, 13)).event(15, "cluster", healthy=True).expect("recovery", max=3)
    finding = judged(run)
    assert finding.verdict is Verdict.PASS
    assert found(finding, "recovery").value == pytest.approx(2, abs=0.05)
    assert found(finding, "first_success").value == pytest.approx(2, abs=0.05)
    assert found(finding, "recovery_after_healing").value == 0


def test_recovery_after_healing_runs_from_the_healing_to_stable_service() -> None:
    finding = judged(Run().fault(9, 15).probes((10, 18)).expect("recovery_after_healing", max=4))
    measured = found(finding, "recovery_after_healing")
    assert finding.verdict is Verdict.PASS
    assert measured.lower is not None
    assert measured.upper is not None
    assert measured.lower <= 3 <= measured.upper
    assert measured.upper - measured.lower < 0.1


def test_service_that_was_stable_before_the_healing_needed_none() -> None:
    finding = judged(Run().fault(9, 15).probes((10, 12)).expect("recovery_after_healing", max=0))
    assert (finding.verdict, found(finding, "recovery_after_healing").upper) == (Verdict.PASS, 0)


def test_healing_that_does_not_bring_service_back_fails() -> None:
    finding = judged(Run(end=90).fault(9, 20).probes((10, 99)).expect("recovery_after_healing", max=60))
    measured = found(finding, "recovery_after_healing")
    assert (finding.verdict, measured.upper) == (Verdict.FAIL, None)
    assert measured.lower is not None
    assert measured.lower >= 69


def test_an_outage_that_the_healing_brought_about_counts() -> None:
    finding = judged(Run().fault(9, 15).probes((15.5, 17)))
    assert found(finding, "recovery_after_healing").value == pytest.approx(2, abs=0.05)


def test_so_does_one_after_service_had_been_stable_while_the_fault_was_still_there() -> None:
    finding = judged(Run(end=90).fault(9, 40).probes((10, 20), (41, 43), (46, 50)))
    assert found(finding, "recovery").value == pytest.approx(10, abs=0.05)
    assert found(finding, "recovery_after_healing").value == pytest.approx(10, abs=0.05)


def test_recovery_after_healing_of_a_fault_that_was_never_healed_is_unknown() -> None:
    finding = judged(Run().fault(9, None).probes((10, 12)).expect("recovery_after_healing", max=60))
    assert finding.verdict is Verdict.UNKNOWN


def test_redundancy_is_back_with_the_first_healthy_word_after_healing() -> None:
    run = Run().fault(10, 15).probes((10, 12)).event(11, "cluster", healthy=True)
    run.event(16, "cluster", healthy=False).event(18, "cluster", healthy=True)
    measured = found(judged(run.expect("redundancy_recovery", max=9)), "redundancy_recovery")
    assert measured.lower == pytest.approx(6, abs=0.01)
    assert measured.upper == pytest.approx(8)


def test_redundancy_that_never_came_back_fails() -> None:
    run = Run().fault(10, 15).probes((10, 12)).event(16, "cluster", healthy=False).expect("redundancy_recovery", max=60)
    assert judged(run).verdict is Verdict.FAIL


def test_each_of_several_faults_is_told_and_the_worst_is_the_headline() -> None:
    run = Run(end=60).fault(10, 12, id_="one").fault(30, 32, id_="two").probes((10, 11), (30, 34))
    measured = found(judged(run), "recovery")
    assert measured.value == measured.by["two"].value == pytest.approx(4, abs=0.05)
    assert measured.by["one"].value == pytest.approx(1, abs=0.05)


def test_the_way_in_which_the_old_primary_rejoined_is_told() -> None:
    finding = judged(Run().fault(10, 15).probes((10, 12)).event(21, "rejoin", node="pg-a", way="rewind"))
    assert "pg-a rejoined by rewind" in finding.summary
