"""Every event that was acknowledged is counted once, and totals are those of what was counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.checkers.dashboard import Dashboard
from harness.checkers.screen_age import ScreenAge
from harness.history import Outcome
from harness.verdict import Finding, Verdict
from harness.workloads.dashboard import AMOUNTS
from tests.unit.histories import FAILED, NOT_SENT, OK, UNKNOWN, Run, found

BOARD = {"name": "dashboard", "rate_per_s": 100, "deadline_s": 1, "claim_after_s": 2, "bucket_s": 1}
SENT = (101, 102, 103, 204)


def run(**more: Outcome) -> Run:
    """Events 101 to 103 in bucket 1, 204 in bucket 2; `_102=UNKNOWN` says what is known of one."""
    made = Run(workloads=[BOARD]).role(1, "cache-a", "primary")
    for number, value in enumerate(SENT):
        made.operation(1 + number, more.get(f"_{value}", OK), key=value // 100, value=value)
    return made


def totals(counted: Sequence[int]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for value in counted:
        total = found.setdefault(str(value // 100), [0, 0])
        total[0] += 1
        total[1] += value % AMOUNTS
    return found


def judged(
    made: Run, *counted: int, stream: Sequence[int] = SENT, shown: Mapping[str, list[int]] | None = None
) -> tuple[Verdict, list[float | None], Finding]:
    """The verdict, and lost events, double counted ones and wrong totals."""
    board = totals(counted) if shown is None else shown
    made.final("cache-a", {"dashboard": board}, events=stream, counted=counted)
    finding = Dashboard().check(made.history())
    names = ("lost_events", "double_counted_events", "wrong_totals")
    return finding.verdict, [found(finding, name).value for name in names], finding


def test_events_that_were_counted_once_pass() -> None:
    verdict, figures, finding = judged(run(), *SENT)
    assert (verdict, figures) == (Verdict.PASS, [0, 0, 0])
    assert finding.summary.startswith("0 of 4 acknowledged events were never counted, 0 more than once")


def test_an_acknowledged_event_that_was_never_counted_was_lost_wherever_it_is() -> None:
    verdict, figures, finding = judged(run(), 101, 102, 204, stream=(101, 102, 103, 204))
    assert (verdict, figures) == (Verdict.FAIL, [1, 0, 0])
    assert finding.evidence[0] == {"what": "lost", "event": 103, "in_stream": True}
    assert judged(run().expect("lost_events", max=1), 101, 102, 204)[0] is Verdict.PASS, "the scenario bounds it"


def test_one_that_was_counted_twice_fails_though_the_totals_say_so_too() -> None:
    verdict, figures, _ = judged(run(), *SENT, 102)
    assert (verdict, figures) == (Verdict.FAIL, [0, 1, 0])


@pytest.mark.parametrize("wrong", [{"1": [4, 6]}, {"1": [3, 7]}, {"2": [0, 0]}, {"3": [1, 1]}])
def test_a_total_that_is_not_that_of_what_was_counted_is_wrong(wrong: dict[str, list[int]]) -> None:
    assert judged(run(), *SENT, shown=totals(SENT) | wrong)[:2] == (Verdict.FAIL, [0, 0, 1])


def test_what_nobody_sent_was_counted_wrongly() -> None:
    verdict, figures, _ = judged(run(), *SENT, 999, shown=totals(SENT))
    assert (verdict, figures) == (Verdict.FAIL, [0, 0, 1])


@pytest.mark.parametrize("counted", [True, False])
def test_an_event_whose_outcome_is_unknown_may_be_counted_or_not(counted: bool) -> None:
    values = SENT if counted else (101, 103, 204)
    verdict, figures, finding = judged(run(_102=UNKNOWN), *values)
    assert (verdict, figures) == (Verdict.PASS, [0, 0, 0])
    assert f"1 events had no known outcome; {int(counted)} of them were counted" in finding.notes


def test_an_event_that_was_acknowledged_just_now_is_not_due_yet() -> None:
    late = run().operation(28, key=3, value=305)
    verdict, figures, finding = judged(late, *SENT)
    assert (verdict, figures) == (Verdict.PASS, [0, 0, 0])
    assert finding.notes == ["1 events were acknowledged too late to be due"]


def test_without_acknowledged_events_or_a_final_read_it_is_unknown() -> None:
    assert judged(run(_101=FAILED, _102=FAILED, _103=FAILED, _204=UNKNOWN), 204)[0] is Verdict.UNKNOWN
    unread = Dashboard().check(run().history())
    assert (unread.verdict, unread.measured["lost_events"].value) == (Verdict.UNKNOWN, None)
    assert Dashboard().check(Run(workloads=[BOARD]).history()).verdict is Verdict.UNKNOWN


def test_without_a_dashboard_there_is_nothing_to_say() -> None:
    assert (Dashboard().check(Run().history()).verdict, ScreenAge().check(Run().history()).verdict) == (Verdict.PASS,) * 2


# --- the age of screens ---


def look(made: Run, at: float, seen: int = -1, outcome: Outcome = OK, takes: float = 0.1) -> Run:
    return made.operation(at, outcome, value=seen, kind="read screen", takes=takes)


def age(made: Run) -> list[float]:
    finding = ScreenAge().check(made.history())
    return [round(found(finding, f"screen_age_{name}").value or 0, 2) for name in ("p50", "p99")]


def test_a_screen_is_as_old_as_its_newest_event() -> None:
    assert age(look(run(), 1.4, 101)) == [0.5, 0.5]


@pytest.mark.parametrize("outcome", [FAILED, NOT_SENT])
def test_a_look_without_an_answer_sees_what_the_screen_showed_last(outcome: Outcome) -> None:
    assert age(look(look(run(), 1.4, 101), 9.9, outcome=outcome))[1] == pytest.approx(9, abs=0.1)


def test_a_screen_that_has_shown_nothing_yet_has_no_age() -> None:
    finding = ScreenAge().check(look(run(), 1.4).history())
    assert (finding.verdict, finding.measured["screen_age_p50"].value) == (Verdict.PASS, None)
    bounded = look(run().expect("screen_age_p99", max=1), 1.4)
    assert ScreenAge().check(bounded.history()).verdict is Verdict.UNKNOWN


def test_the_age_during_the_faults_is_the_headline_and_may_be_bounded() -> None:
    made = look(look(run(), 1.4, 101), 7, 204).fault(5, until=9)
    assert age(made) == [3.1, 3.1]
    assert ScreenAge().check(made.expect("screen_age_p99", max=1).history()).verdict is Verdict.FAIL
