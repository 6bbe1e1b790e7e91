"""Availability counts what was intended, by when it was intended."""

from __future__ import annotations

import pytest

from harness.checkers.availability import Availability
from harness.verdict import Finding, Verdict
from tests.unit.histories import NOT_SENT, OK, Run, found


def judged(run: Run) -> Finding:
    return Availability().check(run.history())


def test_all_answered_in_time_passes() -> None:
    finding = judged(Run().load().expect("availability", min=0.999))
    assert (finding.verdict, found(finding, "availability").value) == (Verdict.PASS, 1)


def test_a_third_failed_fails() -> None:
    finding = judged(Run().load((10, 20)).expect("availability", min=0.9))
    assert finding.verdict is Verdict.FAIL
    assert found(finding, "availability").value == pytest.approx(196 / 296)


def test_a_workload_that_asked_nothing_is_unknown() -> None:
    assert judged(Run().probes().expect("availability", min=0.9)).verdict is Verdict.UNKNOWN


def test_what_was_never_sent_counts_against_it() -> None:
    finding = judged(Run().operation(1).operation(2, NOT_SENT, takes=0.5))
    assert found(finding, "availability").value == 0.5
    assert finding.summary.endswith("1 of 2 operations answered within 0.5 s, 1 were never sent")


def test_an_answer_past_its_deadline_by_intended_start_is_none() -> None:
    """Coordinated omission: sent late and answered at once is late for the user who wanted it."""
    assert found(judged(Run().operation(1).operation(2, OK, late=0.6)), "availability").value == 0.5


def test_an_operation_without_its_whole_deadline_before_the_end_is_left_out() -> None:
    assert found(judged(Run(end=30).operation(1).operation(29.8, takes=None)), "availability").value == 1


def test_it_is_split_by_kind_zone_and_part_of_the_run() -> None:
    run = Run().fault(10, 20).load((10, 20), zone="az-b").load(kind="read")
    by = found(judged(run), "availability").by
    assert {name: round(one.value or 0, 2) for name, one in by.items()} == {
        "reads": 1, "writes": 0.66, "az-a": 1, "az-b": 0.66, "before": 1, "fault": 0.5, "after": 1,
    }  # fmt: skip


def test_a_bound_may_hold_for_one_part_of_the_run() -> None:
    run = Run().fault(10, 20).load((10, 20)).expect("availability", min=1, during="before")
    assert judged(run).verdict is Verdict.PASS
    assert judged(run.expect("availability", min=1, during="fault")).verdict is Verdict.FAIL


def test_the_strictest_deadline_of_several_workloads_counts() -> None:
    workloads = [{"use": "a", "deadline_s": 5}, {"use": "b", "options": {"deadline_s": 1}}]
    assert found(judged(Run(workloads=workloads).operation(1).operation(2, late=2)), "availability").value == 0.5
