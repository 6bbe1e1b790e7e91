"""A bound is judged against the whole interval of what may be true."""

from __future__ import annotations

from typing import Any

import pytest

from harness.bounds import Expectation, expectations, judge, show
from harness.verdict import Measured, Verdict, count
from tests.unit.histories import Run

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("lower", "upper", "bounds", "verdict"),
    [
        (2, 3, {"max": 3}, PASS),
        (2, 3, {"max": 1.9}, FAIL),
        (2, 3, {"max": 2.5}, UNKNOWN),
        (2, 3, {"max": 2}, UNKNOWN),
        (2, 3, {"min": 2}, PASS),
        (2, 3, {"min": 3.1}, FAIL),
        (2, 3, {"min": 2.5}, UNKNOWN),
        (2, 3, {"min": 1, "max": 4}, PASS),
        (2, 3, {"min": 2.5, "max": 1}, FAIL),
        (2, None, {"max": 100}, FAIL),
        (2, None, {"min": 1}, PASS),
        (2, None, {"min": 3}, UNKNOWN),
    ],
)
def test_a_bound_holds_is_broken_or_cannot_be_told(
    lower: float, upper: float | None, bounds: dict[str, Any], verdict: Verdict
) -> None:
    measured = {"recovery": Measured(lower, "s", lower, upper)}
    assert judge(measured, [Expectation("recovery", **bounds)])[0] is verdict


def test_what_was_not_measured_is_unknown() -> None:
    for measured in ({}, {"recovery": Measured(None, "s")}):
        assert judge(measured, [Expectation("recovery", max=1)]) == (UNKNOWN, ["recovery could not be measured"])


def test_without_an_expectation_nothing_is_judged() -> None:
    assert judge({"recovery": Measured(None, "s")}, []) == (PASS, [])


def test_a_part_of_the_run_is_judged_by_its_own_figure() -> None:
    measured = {"errors": Measured(9, "count", 9, 9, {"before": count(0), "fault": count(9)})}
    assert judge(measured, [Expectation("errors", max=0, during="before")])[0] is PASS
    verdict, (sentence,) = judge(measured, [Expectation("errors", max=0, during="fault")])
    assert (verdict, sentence) == (FAIL, "errors during fault 9, at most 0")
    assert judge(measured, [Expectation("errors", max=0, during="after")])[0] is UNKNOWN


def test_one_broken_bound_outweighs_one_that_cannot_be_told() -> None:
    measured = {"errors": count(3)}
    expected = [Expectation("errors", max=5), Expectation("recovery", max=1), Expectation("errors", max=1)]
    assert judge(measured, expected)[0] is FAIL
    assert judge(measured, expected[:2])[0] is UNKNOWN


def test_a_default_bounds_only_what_the_scenario_leaves_open() -> None:
    history = Run().expect("lost_writes", min=1, because="asynchronous").expect("recovery", max=2).history()
    found = expectations(history, ["lost_writes", "errors"], lost_writes=0, errors=7)
    assert found == [Expectation("lost_writes", min=1, because="asynchronous"), Expectation("errors", max=7)]


@pytest.mark.parametrize(
    ("measured", "text"),
    [
        (Measured(22.41, "s", 22.38, 22.44), "22.41 s (22.38 … 22.44)"),
        (Measured(0.02, "s", 0.012, 0.028), "20.0 ms (12.0 … 28.0)"),
        (Measured(0, "s", 0, 0.022), "0.0 ms (0.0 … 22.0)"),
        (Measured(4.1, "s", 4.1, None), "at least 4.10 s, not over when measuring ended"),
        (Measured(0.99992, "share", 0.99992, 0.99992), "99.992 %"),
        (Measured(0.9999996, "share", 0.9999996, 0.9999996), "99.999 %"),
        (Measured(1, "share", 1, 1), "100 %"),
        (count(3), "3"),
        (count(1_234_567), "1234567"),
        (Measured(None, "s"), "not measured"),
    ],
)
def test_a_figure_is_shown_with_its_bounds(measured: Measured, text: str) -> None:
    assert show(measured) == text
