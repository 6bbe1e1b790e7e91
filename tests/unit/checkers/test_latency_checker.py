"""Latency is read per part of the run, by intended start."""

from __future__ import annotations

import pytest

from harness.checkers.latency import Latency
from harness.verdict import Finding, Verdict
from tests.unit.histories import FAILED, Run, found


def judged(run: Run) -> Finding:
    return Latency().check(run.history())


def slow_fault(seconds: float = 0.1) -> Run:
    """Writes every 0.1 s, which take 2 ms, and longer from second 10 to 20, the time of a fault."""
    run = Run().fault(10, 20, kind="latency", changes_roles=False).probes()
    for tenth in range(300):
        run.operation(tenth / 10, takes=seconds if 100 <= tenth < 200 else 0.002)
    return run


def test_the_headline_is_the_time_of_the_fault() -> None:
    finding = judged(slow_fault().expect("write_p50", min=0.09, max=0.15, during="fault").expect("write_p99", max=0.15))
    assert finding.verdict is Verdict.PASS
    assert found(finding, "write_p50").value == pytest.approx(0.1)
    assert [found(finding, "write_p50", part).value for part in ("before", "fault", "after")] == pytest.approx(
        [0.002, 0.1, 0.002]
    )


def test_a_percentile_beyond_its_bound_fails() -> None:
    assert judged(slow_fault(0.3).expect("write_p50", max=0.15, during="fault")).verdict is Verdict.FAIL


def test_a_percentile_of_nothing_is_unknown() -> None:
    assert judged(slow_fault().expect("read_p50", max=1)).verdict is Verdict.UNKNOWN


def test_an_operation_sent_late_is_measured_from_when_it_was_wanted() -> None:
    run = Run()
    for second in range(20):
        run.operation(second, late=0.4, takes=0.1)
    assert found(judged(run), "write_p50").value == pytest.approx(0.5)


def test_a_short_outage_is_not_hidden_in_the_percentile_of_the_whole_run() -> None:
    run = Run(end=600).fault(300, 301)
    for tenth in range(5990):
        run.operation(tenth / 10, takes=0.4 if 3000 <= tenth < 3010 else 0.002)
    assert found(judged(run), "write_p99").value == pytest.approx(0.4)


def test_what_was_not_acknowledged_is_left_out_and_said() -> None:
    finding = judged(Run().operation(1).operation(2, FAILED, takes=9))
    assert found(finding, "write_p99").value == pytest.approx(0.002)
    assert finding.notes == ["before: 1 operations measured, 1 left out because they were not acknowledged"]


def test_the_time_of_the_fault_lasts_until_writes_are_back() -> None:
    run = Run().fault(10, 11).probes((10, 15))
    run.operation(14, takes=0.3).operation(16, takes=0.002)
    finding = judged(run)
    assert found(finding, "write_p50", "fault").value == pytest.approx(0.3)
    assert found(finding, "write_p50", "after").value == pytest.approx(0.002)
