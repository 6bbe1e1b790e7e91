"""Locust's own figures stand beside those by intended start, and what it never got to ask counts against it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from harness.checkers.lie_factor import ABSENT, LieFactor
from harness.verdict import Finding, Verdict
from tests.unit.histories import FAILED, NOT_SENT, OK, Run, found

PROCESS = "load-az-a"


def judged(run: Run) -> Finding:
    return LieFactor().check(run.history())


def told(run: Run, times: Mapping[int, int], failures: int = 0, kind: str = "write", process: str = PROCESS) -> Run:
    """What Locust says at the end: how often each response time, in ms, occurred."""
    said = {
        "kind": kind, "name": "writer", "requests": sum(times.values()), "failures": failures,
        "response_times_ms": {str(ms): number for ms, number in times.items()},
    }  # fmt: skip
    return run.event(run.end + 1, "locust", process=process, zone="az-a", statistics=[said])


def black_hole() -> Run:
    """1,000 operations meant for 100 s, of which those meant for 40 s to 50 s waited until 50 s; all but one were asked late."""
    run = Run(end=101)
    for number in range(1000):
        at = number / 10
        takes = 50 - at if 40 <= at < 50 else 0.002
        late = 0 if at == 40 or not 40 <= at < 50 else takes
        run.operation(at, takes=takes if at == 40 else 0.002, late=late, process=PROCESS)
    return told(run, {2: 999, 10_000: 1})


def test_a_black_hole_that_locust_asked_nothing_in_is_a_lie_of_thousands() -> None:
    finding = judged(black_hole().expect("lie_factor", min=1000))
    assert finding.verdict is Verdict.PASS
    assert found(finding, "locust_p99").value == 0.002
    assert found(finding, "corrected_p99").value == pytest.approx(9.1, abs=0.1)  # the slowest tenth of the slowest tenth
    factor = found(finding, "lie_factor")
    assert factor.value == pytest.approx(4550, abs=50)
    assert (factor.lower or 0) == pytest.approx((factor.value or 0) * 2 / 2.5)
    assert judged(black_hole().expect("lie_factor", max=2)).verdict is Verdict.FAIL


def test_where_locust_tells_what_clients_got_the_factor_is_one() -> None:
    run = Run(end=11)
    for number in range(100):
        run.operation(number / 10, takes=0.02, process=PROCESS)
    finding = judged(told(run, {20: 100}).expect("lie_factor", max=1.1))
    assert finding.verdict is Verdict.PASS
    assert found(finding, "lie_factor").value == pytest.approx(1)


def test_what_was_not_sent_counts_as_its_deadline_at_least_and_until_the_next_answer_at_most() -> None:
    run = Run(end=30)
    for number in range(20):
        run.operation(number, NOT_SENT if number in (10, 11) else FAILED if number == 9 else OK, process=PROCESS)
    finding = judged(told(run, {2: 18}, failures=1))
    p99 = found(finding, "corrected_p99")
    assert (p99.value, p99.lower, p99.upper) == pytest.approx((0.5, 0.5, 2.002))
    assert finding.notes == ["2 operations were not sent, or had not ended: each counts as 0.5 s, its deadline, or more"]
    [row] = finding.evidence
    assert (row["locust_operations"], row["locust_failures"]) == (18, 1)
    assert (row["corrected_operations"], row["corrected_failures"]) == (20, 3)


def test_without_an_answer_after_it_nothing_is_known_of_the_upper_bound() -> None:
    run = Run(end=30).operation(1, process=PROCESS).operation(2, NOT_SENT, process=PROCESS)
    finding = judged(told(run, {2: 1}).expect("lie_factor", min=100))
    assert (finding.verdict, found(finding, "lie_factor").upper) == (Verdict.PASS, None)
    assert "lie_factor 250 ×" not in finding.summary
    assert "lie_factor at least 250 ×, at least 100 ×" in finding.summary


def test_what_had_not_had_its_deadline_when_measuring_ended_says_nothing() -> None:
    run = Run(end=30).operation(1, process=PROCESS).operation(29.9, FAILED, takes=None, process=PROCESS)
    [row] = judged(told(run, {2: 1})).evidence
    assert row["corrected_operations"] == 1


def test_processes_are_added_up_as_locusts_master_does_and_kinds_stand_apart() -> None:
    run = Run(end=30)
    for number in range(100):
        run.operation(number / 10, process="load-az-a", takes=0.002)
        run.operation(number / 10, process="load-az-b", takes=0.2 if number < 2 else 0.002)
    run.operation(12, kind="read", process="load-az-b", takes=0.004)
    told(run, {2: 100})
    run.event(
        31, "locust", process="load-az-b", zone="az-b",
        statistics=[
            {"kind": "write", "name": "writer", "requests": 100, "failures": 0, "response_times_ms": {"2": 98, "200": 2}},
            {"kind": "read", "name": "writer", "requests": 1, "failures": 0, "response_times_ms": {"4": 1}},
        ],
    )  # fmt: skip
    finding = judged(run)
    assert found(finding, "locust_p99", "write").value == 0.2
    assert found(finding, "lie_factor", "write").value == pytest.approx(1)
    assert found(finding, "lie_factor", "read").value == pytest.approx(1)
    assert [row["kind"] for row in finding.evidence] == ["read", "write", "all"]


def test_without_locusts_figures_nothing_is_said_unless_something_is_expected() -> None:
    finding = judged(Run().operation(1, process=PROCESS))
    assert (finding.verdict, finding.summary, finding.evidence) == (Verdict.PASS, ABSENT, [])
    finding = judged(Run().operation(1, process=PROCESS).expect("lie_factor", min=2))
    assert finding.verdict is Verdict.UNKNOWN
    assert finding.summary == f"lie_factor could not be measured; {ABSENT}"


def test_statistics_that_were_reset_are_not_those_of_what_was_sent() -> None:
    run = Run(end=30)
    for number in range(100):
        run.operation(number / 10, process=PROCESS)
    finding = judged(told(run, {2: 40}).expect("lie_factor", max=2))
    assert finding.verdict is Verdict.UNKNOWN
    assert "Locust did not count what was sent (write): its statistics were reset" in finding.summary


def test_users_without_a_schedule_have_locusts_figures_alone() -> None:
    run = Run(end=30).event(-1, "ready", process=PROCESS, zone="az-a", file="mine.py")
    for number in range(10):
        run.operation(number, kind="write POST /order", process=PROCESS)
    finding = judged(told(run, {2: 10}, kind="POST"))
    assert (found(finding, "locust_p99", "POST").value, found(finding, "lie_factor").value) == (0.002, None)
    assert finding.notes == ["POST: users without a schedule, so that what they meant to ask is not known"]
    assert judged(told(run, {2: 10}, kind="POST").expect("lie_factor", max=2)).verdict is Verdict.UNKNOWN


def test_a_file_that_gives_locust_finer_steps_is_read_all_the_same() -> None:
    run = Run(end=30).operation(1, process=PROCESS)
    said = {"kind": "write", "name": "w", "requests": 1, "failures": 0, "response_times_ms": {"2.25": 1}}
    run.event(31, "locust", process=PROCESS, zone="az-a", statistics=[said])
    assert found(judged(run), "locust_p99").value == 0.002


def test_a_p99_that_locust_rounds_to_nothing_gives_a_least_factor() -> None:
    run = Run(end=30).operation(1, takes=0.0004, process=PROCESS)
    factor = found(judged(told(run, {0: 1})), "lie_factor")
    assert factor.value == pytest.approx(0.8)
    assert factor.upper is None
