"""Errors are counted by class and by part of the run."""

from __future__ import annotations

from harness.checkers.errors import Errors
from harness.verdict import Finding, Verdict
from tests.unit.histories import FAILED, NOT_SENT, UNKNOWN, Run, found


def judged(run: Run) -> Finding:
    return Errors().check(run.history())


def mixed() -> Run:
    run = Run().fault(10, 20).operation(1).operation(11, FAILED, error="reset").operation(12, FAILED, error="reset")
    return run.operation(13, UNKNOWN, error="deadline").operation(25, FAILED, error="reset").operation(14, NOT_SENT, error="late")


def test_no_error_passes() -> None:
    assert judged(Run().load().expect("errors", max=0)).verdict is Verdict.PASS


def test_more_errors_than_allowed_fail() -> None:
    finding = judged(mixed().expect("errors", max=3))
    assert finding.verdict is Verdict.FAIL
    assert finding.summary == "errors 4, at most 3; 4 errors of 6 operations: reset 3, deadline 1"


def test_without_operations_it_is_unknown() -> None:
    assert judged(Run().expect("errors", max=0)).verdict is Verdict.UNKNOWN


def test_errors_are_split_by_class_and_part() -> None:
    by = found(judged(mixed()), "errors").by
    assert {name: one.value for name, one in by.items()} == {"before": 0, "fault": 3, "after": 1, "reset": 3, "deadline": 1}
    assert {name: one.value for name, one in by["reset"].by.items()} == {"before": 0, "fault": 2, "after": 1}


def test_what_was_never_sent_is_noted_and_no_error() -> None:
    assert judged(mixed()).notes == ["1 operations were never sent"]


def test_an_operation_that_never_ended_has_no_class() -> None:
    assert found(judged(Run().operation(1, UNKNOWN, takes=None)), "errors", "no answer").value == 1
