"""A session that was acknowledged is there until it ends, and never after: every look and the final read are judged so."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from harness.checkers.sessions import Sessions
from harness.recording import Outcome
from harness.verdict import Finding, Verdict
from tests.unit.histories import FAILED, OK, UNKNOWN, Run, found

ONE = 7_001
STORE = {"name": "session_store", "ttl_s": 3600, "brief_ttl_s": 3}


def run(**more: Any) -> Run:
    """Sessions 1 to 5, which are looked at once and there in the end."""
    made = Run(workloads=[STORE], **more).event(31, "authority", nodes=["cache-b"])
    for session in range(1, 6):
        made = look(log_in(made, 1, session), 2, session)
    return made


def log_in(made: Run, at: float, session: int, outcome: Outcome = OK, kind: str = "log_in") -> Run:
    return made.operation(at, outcome, key=session, value=session, kind=kind)


def look(made: Run, at: float, session: int, *, gone: bool = False, kind: str = "read", takes: float = 0.002) -> Run:
    return made.operation(at, key=session, value=0 if gone else session, kind=kind, takes=takes)


def log_out(made: Run, at: float, session: int, outcome: Outcome = OK, takes: float = 0.002) -> Run:
    return made.operation(at, outcome, key=session, kind="log_out", takes=takes)


def judged(made: Run, *left: int) -> Finding:
    return Sessions().check(made.final("cache-b", sessions=[*range(1, 6), *left]).history())


def figures(finding: Finding) -> tuple[float | None, float | None]:
    return found(finding, "lost_sessions").value, found(finding, "resurrected_sessions").value


def test_sessions_that_are_kept_pass() -> None:
    finding = judged(run())
    assert (finding.verdict, figures(finding)) == (Verdict.PASS, (0, 0))
    assert finding.summary.startswith("0 of 5 acknowledged sessions lost, 0 seen after their end")


def test_one_that_was_acknowledged_and_is_gone_is_lost() -> None:
    finding = judged(look(log_in(run(), 3, ONE), 4, ONE, gone=True), ONE)
    assert (finding.verdict, figures(finding)) == (Verdict.FAIL, (1, 0))
    assert finding.evidence == [{"what": "lost", "session": ONE, "by": "read", "zone": "az-a", "at_s": 4.0}]


def test_a_visit_that_found_nothing_says_so_too() -> None:
    assert figures(judged(look(log_in(run(), 3, ONE), 4, ONE, gone=True, kind="touch"), ONE)) == (1, 0)


def test_one_that_the_final_read_lacks_is_lost() -> None:
    assert figures(judged(log_in(run(), 3, ONE))) == (1, 0)


def test_each_is_lost_once_however_often_it_is_looked_for() -> None:
    assert figures(judged(look(look(log_in(run(), 3, ONE), 4, ONE, gone=True), 5, ONE, gone=True))) == (1, 0)


def test_one_that_logged_out_is_gone_rightly() -> None:
    finding = judged(look(log_out(log_in(run(), 3, ONE), 4, ONE), 5, ONE, gone=True))
    assert (finding.verdict, figures(finding)) == (Verdict.PASS, (0, 0))


def test_one_that_logged_out_and_is_seen_again_is_resurrected() -> None:
    finding = judged(look(log_out(log_in(run(), 3, ONE), 4, ONE), 5, ONE))
    assert (finding.verdict, figures(finding)) == (Verdict.FAIL, (0, 1))


def test_one_that_logged_out_and_is_there_in_the_end_is_resurrected() -> None:
    assert figures(judged(log_out(log_in(run(), 3, ONE), 4, ONE), ONE)) == (0, 1)


@pytest.mark.parametrize("outcome", [UNKNOWN, OK])
def test_a_look_beside_a_log_out_proves_nothing(outcome: Outcome) -> None:
    made = log_out(log_in(run(), 3, ONE), 4, ONE, outcome, takes=2)
    assert figures(judged(look(look(made, 4.5, ONE), 5, ONE, gone=True))) == (0, 0)


def test_a_log_out_without_an_answer_leaves_it_open_for_good() -> None:
    made = log_out(log_in(run(), 3, ONE), 4, ONE, UNKNOWN)
    assert figures(judged(look(look(made, 9, ONE, gone=True), 10, ONE), ONE)) == (0, 0)


def test_a_log_out_that_failed_ended_nothing() -> None:
    assert figures(judged(look(log_out(log_in(run(), 3, ONE), 4, ONE, FAILED), 5, ONE, gone=True), ONE)) == (1, 0)


@pytest.mark.parametrize("outcome", [UNKNOWN, FAILED])
def test_a_log_in_that_was_not_acknowledged_may_be_gone_or_there(outcome: Outcome) -> None:
    assert figures(judged(look(log_in(run(), 3, ONE, outcome), 4, ONE, gone=True), ONE)) == (0, 0)


def test_a_brief_one_lives_its_time_and_not_longer() -> None:
    def brief(at: float, *, gone: bool) -> tuple[float | None, float | None]:
        return figures(judged(look(log_in(run(), 3, ONE, kind="log_in_briefly"), at, ONE, gone=gone)))

    assert brief(5, gone=True) == (1, 0), "its 3 s are not over"
    assert brief(5.95, gone=True) == (0, 0), "within what the clocks may be apart"
    assert brief(7, gone=True) == (0, 0)
    assert brief(7, gone=False) == (0, 1)


def test_a_visit_prolongs_it_also_when_nobody_knows_whether_it_did() -> None:
    made = look(look(log_in(run(), 3, ONE, kind="log_in_briefly"), 4, ONE, kind="touch"), 20, ONE)
    assert figures(judged(made, ONE)) == (0, 0)
    made = log_in(run(), 3, ONE, kind="log_in_briefly").operation(4, UNKNOWN, key=ONE, kind="touch")
    assert figures(judged(look(made, 20, ONE), ONE)) == (0, 0)


def test_a_bound_that_the_scenario_sets_is_what_counts() -> None:
    made = look(log_in(run(), 3, ONE), 4, ONE, gone=True).expect("lost_sessions", max=1)
    assert judged(made, ONE).verdict is Verdict.PASS


def test_without_a_session_it_is_unknown() -> None:
    empty = Run(workloads=[STORE]).event(31, "authority", nodes=["cache-b"]).final("cache-b", sessions=[])
    finding = Sessions().check(empty.history())
    assert (finding.verdict, "no log-in was acknowledged" in finding.summary) == (Verdict.UNKNOWN, True)


def test_without_a_final_read_it_is_unknown() -> None:
    finding = Sessions().check(run().history())
    assert (finding.verdict, "no final read of cache-b" in finding.summary) == (Verdict.UNKNOWN, True)


def test_without_such_a_workload_there_is_nothing_to_say() -> None:
    assert Sessions().check(Run().history()).verdict is Verdict.PASS


def test_ten_times_as_many_operations_take_about_ten_times_as_long() -> None:
    assert _judged_s(1_000_000) < 50 * _judged_s(100_000)


def _judged_s(number: int) -> float:
    """CPU seconds that judging so many log-ins and looks takes, of which some are of sessions that are gone."""
    made = Run(workloads=[STORE]).event(31, "authority", nodes=["cache-b"]).final("cache-b", sessions=range(1, number // 3))
    log_in(made, 1, 1)
    look(made, 2, 1)
    history = made.history()
    columns = {name: column.repeat(number // 2) for name, column in history.operations.columns.items()}
    columns["key"] = columns["key"].copy()
    columns["key"][: number // 2] = columns["key"][number // 2 :] = range(1, number // 2 + 1)
    many = type(history.operations)(columns, history.operations.names)
    began = time.process_time()
    finding = Sessions().check(replace(history, operations=many))
    took_s = time.process_time() - began
    assert finding.verdict is Verdict.FAIL
    return took_s
