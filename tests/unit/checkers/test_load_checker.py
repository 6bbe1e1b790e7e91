"""A load of the user's own is looked at: whether it was there, what went wrong in it, and what it cannot show."""

from __future__ import annotations

from harness.checkers.load import CLOSED_LOOP, Load
from harness.verdict import Verdict
from tests.unit.histories import Run


def own(run: Run, *zones: str) -> Run:
    for zone in zones:
        run.event(-1, "ready", process=f"load-{zone}", zone=zone, file="mine.py")
    return run


def test_a_locust_file_that_asked_passes_and_its_closed_loop_is_noted() -> None:
    finding = Load().check(own(Run(), "az-a").operation(1, process="load-az-a").history())
    assert (finding.verdict, finding.summary) == (Verdict.PASS, "1 operations asked by 1 processes")
    assert finding.notes == [CLOSED_LOOP]


def test_a_workload_on_a_schedule_has_no_such_note() -> None:
    finding = Load().check(Run().event(-1, "ready", process="load-az-a", zone="az-a").operation(1, process="load-az-a").history())
    assert (finding.verdict, finding.notes) == (Verdict.PASS, [])


def test_a_locust_file_that_asked_nothing_in_a_zone_makes_the_run_unknown() -> None:
    asked_too_early = own(Run(steady=5), "az-a", "az-b").operation(1, process="load-az-b").operation(6, process="load-az-a")
    finding = Load().check(asked_too_early.history())
    assert (finding.verdict, finding.summary) == (Verdict.UNKNOWN, "mine.py asked nothing in load-az-b")
    assert finding.validity


def test_what_went_wrong_in_the_file_is_noted_once_with_its_line() -> None:
    run = own(Run(), "az-a").operation(1, process="load-az-a")
    for process, times in (("load-az-a", 2), ("load-az-b", 3)):
        run.event(
            29, "locustfile", process=process, file="mine.py", errors=[{"said": "mine.py:7: KeyError: 'price'", "times": times}]
        )
    assert "mine.py:7: KeyError: 'price' (5 times)" in Load().check(run.history()).notes


def test_time_without_users_is_noted() -> None:
    run = Run().operation(1, process="load-az-a")
    for at, users in ((1, 3), (2, 0), (3, 0), (4, 3)):
        run.event(at, "instrument", process="load-az-a", cpu_share=0.1, users=users)
    [note] = Load().check(run.history()).notes
    assert note == "load-az-a had no users in 2 of its readings, between 2.0 s and 3.0 s"
