"""Uptime tells one long outage from many short ones, which a share of operations does not."""

from __future__ import annotations

import numpy as np
import pytest

from harness.checkers.uptime import AT_ONCE, STEP_NS, Stretches, Uptime
from harness.clock import SECOND_NS
from harness.verdict import Finding, Verdict
from tests.unit.histories import NOT_SENT, Run, found


def judged(run: Run) -> Finding:
    return Uptime().check(run.history())


def worst(run: Run, length: str) -> float | None:
    return found(judged(run), "user_uptime").by[f"worst {length}"].value


def test_a_system_that_always_answered_was_always_up() -> None:
    finding = judged(Run().load().expect("user_uptime", min=1).expect("window_availability", min=1))
    assert finding.verdict is Verdict.PASS
    assert {one.value for one in found(finding, "user_uptime").by.values()} == {1}


def test_a_third_of_the_run_without_answers_is_a_third_down() -> None:
    finding = judged(Run().load((10, 20)).expect("user_uptime", min=0.9))
    assert finding.verdict is Verdict.FAIL
    assert found(finding, "user_uptime").value == pytest.approx(2 / 3, abs=0.01)
    assert found(finding, "window_availability").value == pytest.approx(2 / 3, abs=0.01)


def test_one_long_outage_and_many_short_ones_differ_in_their_worst_stretch() -> None:
    long = Run().load((10, 13))
    short = Run().load(*((at, at + 0.5) for at in (3, 8, 13, 18, 23, 28)))
    assert worst(long, "1s") == worst(long, "2s") == 0
    assert worst(short, "1s") == pytest.approx(0.5, abs=0.11)
    assert worst(long, "20s") == pytest.approx(worst(short, "20s") or 0, abs=0.06)


def test_the_worst_stretch_never_gets_better_by_being_shorter() -> None:
    by = found(judged(Run().load((5, 6), (10, 14))), "user_uptime").by
    shares = [by[f"worst {length}s"].value or 0 for length in (1, 2, 5, 10, 20)]
    assert shares == sorted(shares)


def test_what_was_never_sent_is_down() -> None:
    run = Run().operation(1).operation(2, NOT_SENT, takes=0.5).operation(3)
    assert found(judged(run), "user_uptime").value == pytest.approx(2 / 3, abs=0.01)


def test_a_workload_that_asked_nothing_is_unknown() -> None:
    assert judged(Run().probes().expect("user_uptime", min=0.9)).verdict is Verdict.UNKNOWN


def test_it_is_split_by_part_of_the_run() -> None:
    by = found(judged(Run().fault(10, 20).load((10, 20))), "window_availability").by
    assert {name: round(one.value or 0, 1) for name, one in by.items()} == {"before": 1, "fault": 0, "after": 1}


def test_users_time_is_exact_however_much_of_it_there_is() -> None:
    """A stretch in which hardly anybody was up is a small difference between two large sums."""
    drawn = np.random.default_rng(1)
    begins = np.sort(drawn.integers(0, 3600 * SECOND_NS, AT_ONCE + 5))
    users = Stretches(begins, begins + drawn.integers(0, 60 * SECOND_NS, len(begins)), drawn.random(len(begins)) < 0.001)
    up, whole = users.within(0, 36_000)
    for step in (1, 17, 35_999):
        passed = np.clip(step * STEP_NS - begins, 0, users.ends - begins)
        assert (int(up[step]), int(whole[step])) == (int(passed[users.up].sum()), int(passed.sum()))
