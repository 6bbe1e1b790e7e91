"""A client that nobody cuts short shows how long its own settings make it wait."""

from __future__ import annotations

import pytest

from harness.checkers.waits import Waits
from harness.verdict import Finding, Verdict
from tests.unit.histories import FAILED, NOT_SENT, UNKNOWN, Run, found

DEADLINES = {"client:watchdog": 5}


def judged(run: Run) -> Finding:
    return Waits().check(run.history())


def clients() -> Run:
    """Two kinds of clients, each of which waits once: one is answered after 20 s, one gives up after 5.01 s."""
    run = Run(end=60, deadlines=DEADLINES)
    for at in (1, 2, 3):
        run.operation(at, lane="client:default", endpoint="direct", kind="insert")
    run.operation(10, FAILED, takes=20, lane="client:default", endpoint="direct", kind="insert", error="reset")
    return run.operation(10, UNKNOWN, takes=5.01, lane="client:watchdog", kind="insert", error="deadline")


def test_the_longest_wait_is_told_for_each_kind_of_client() -> None:
    measured = found(judged(clients()), "longest_wait")
    assert (measured.value, measured.upper) == (20, 20)
    assert {name: one.value for name, one in measured.by.items()} == {
        "default direct": 20,
        "watchdog writer": pytest.approx(5.01),
    }


def test_an_error_ends_a_wait_and_so_does_giving_up_to_connect() -> None:
    run = clients().operation(30, FAILED, takes=25, lane="client:default", endpoint="direct", kind="connect", error="deadline")
    default = found(judged(run), "longest_wait").by["default direct"]
    assert {name: one.value for name, one in default.by.items()} == {"connect": 25, "insert": 20}


def test_a_wait_that_was_not_over_when_measuring_ended_has_no_upper_bound() -> None:
    run = clients().operation(20, UNKNOWN, takes=None, lane="client:default", endpoint="direct", kind="insert")
    measured = found(judged(run), "longest_wait")
    assert (measured.lower, measured.upper) == (40, None)
    assert judged(run.expect("longest_wait", max=100)).verdict is Verdict.FAIL


def test_one_that_still_waits_leaves_the_longest_open_though_another_one_waited_longer_by_then() -> None:
    run = clients().operation(48, UNKNOWN, takes=None, lane="client:default", endpoint="direct", kind="insert")
    measured = found(judged(run), "longest_wait")
    assert (measured.lower, measured.upper) == (20, None)


def test_what_was_just_asked_when_measuring_ended_does_not_wait() -> None:
    run = clients().operation(59.99, UNKNOWN, takes=None, lane="client:default", endpoint="direct", kind="insert")
    assert found(judged(run), "longest_wait").upper == 20


def test_a_bound_on_the_longest_wait_is_judged() -> None:
    assert judged(clients().expect("longest_wait", max=21)).verdict is Verdict.PASS
    assert judged(clients().expect("longest_wait", max=19)).verdict is Verdict.FAIL
    assert judged(Run(end=60).expect("longest_wait", max=19)).verdict is Verdict.UNKNOWN


def test_only_a_client_that_keeps_a_deadline_can_overrun_it() -> None:
    measured = found(judged(clients()), "past_deadline")
    assert measured.value == pytest.approx(0.01)
    assert list(measured.by) == ["watchdog"]
    assert judged(clients().expect("past_deadline", max=0.005)).verdict is Verdict.FAIL


def test_a_deadline_that_is_kept_is_overrun_by_nothing() -> None:
    assert found(judged(Run(deadlines=DEADLINES).operation(1, lane="client:watchdog")), "past_deadline").value == 0


def test_a_deadline_that_was_ignored_until_the_end_fails() -> None:
    run = clients().operation(20, UNKNOWN, takes=None, lane="client:watchdog", kind="insert").expect("past_deadline", max=1)
    assert judged(run).verdict is Verdict.FAIL


def test_a_scheduled_workload_counts_from_when_it_was_meant_to_ask() -> None:
    run = Run(deadlines={"workload": 0.5}).operation(10, UNKNOWN, late=0.3, takes=0.4).operation(12, NOT_SENT, takes=9)
    assert found(judged(run), "longest_wait").by["workload writer"].value == pytest.approx(0.4)
    assert found(judged(run), "past_deadline").value == pytest.approx(0.2)


def test_a_workload_without_a_deadline_overruns_none() -> None:
    run = Run().operation(10, FAILED, takes=9).expect("past_deadline", max=1)
    assert judged(run).verdict is Verdict.UNKNOWN
