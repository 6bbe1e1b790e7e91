"""A read is as stale as its value has been replaced for certain, and what the cache did not have is the origin's to answer."""

from __future__ import annotations

import pytest

from harness.checkers.cache import Cache
from harness.verdict import Finding, Verdict
from tests.unit.histories import FAILED, UNKNOWN, Run, found

WORKLOAD = {"name": "cache_aside", "ttl_s": 5, "ttl_jitter_share": 0.2, "deadline_s": 1}
LIMIT_S = 5 * 1.2 + 1 + 1


def run() -> Run:
    """Key 7 held 0 at first; it was set to 1 from 5.0 to 5.1, and to 2 from 9.0 to 9.1."""
    made = Run(workloads=[WORKLOAD])
    made.operation(5, key=7, value=1, takes=0.1, kind="update")
    return made.operation(9, key=7, value=2, takes=0.1, kind="update")


def read(made: Run, at: float, value: int, error: str = "", takes: float = 0.001) -> Run:
    return made.operation(at, key=7, value=value, takes=takes, kind="read cached", error=error)


def judged(made: Run) -> Finding:
    return Cache().check(made.history())


@pytest.mark.parametrize(
    ("at", "value", "stale_s"),
    [
        (4, 0, 0.0),  # nothing had replaced it
        (5.05, 0, 0.0),  # an update that is under way has replaced nothing for certain
        (6, 0, 0.9),
        (6, 1, 0.0),
        (12, 1, 2.9),
        (12, 0, 6.9),  # since the first update, not the last
        (12, 2, 0.0),
    ],
)
def test_a_read_is_stale_since_its_value_was_replaced(at: float, value: int, stale_s: float) -> None:
    finding = judged(read(run(), at, value))
    assert found(finding, "staleness_max").value == pytest.approx(stale_s)
    assert (finding.verdict, found(finding, "stale_share").value) == (Verdict.PASS, float(stale_s > 0))


def test_what_is_served_for_longer_than_it_may_live_fails() -> None:
    finding = judged(read(run(), 5.1 + LIMIT_S + 0.1, 0))
    assert finding.verdict is Verdict.FAIL
    assert finding.evidence[0]["stale_s"] == pytest.approx(LIMIT_S + 0.1)
    assert finding.evidence[0]["key"] == 7


def test_a_bound_takes_the_place_of_the_ttl() -> None:
    stale = read(run(), 6, 0)
    assert judged(stale.expect("staleness_max", max=0.5)).verdict is Verdict.FAIL
    assert judged(read(run(), 25, 0).expect("staleness_max", max=60)).verdict is Verdict.PASS


def test_an_update_of_unknown_outcome_replaces_nothing_for_certain() -> None:
    made = Run(workloads=[WORKLOAD]).operation(5, UNKNOWN, key=7, value=1, takes=1, kind="update")
    assert found(judged(read(made, 20, 0)), "staleness_max").value == 0


def test_of_two_updates_at_once_neither_replaced_the_other_for_certain() -> None:
    made = Run(workloads=[WORKLOAD])
    made.operation(5, key=7, value=1, takes=0.2, kind="update").operation(5.1, key=7, value=2, takes=0.2, kind="update")
    assert found(judged(read(read(made, 8, 1), 8, 2)), "staleness_max").value == 0


def test_a_read_without_a_value_is_not_stale() -> None:
    assert found(judged(read(read(run(), 6, -1), 12, -1)), "staleness_max").value == 0


def test_of_another_key_nothing_is_replaced() -> None:
    made = run().operation(20, key=8, value=0, kind="read cached", takes=0.001)
    assert found(judged(made), "staleness_max").value == 0


def test_hits_and_what_the_origin_was_asked_for_are_counted_by_phase() -> None:
    made = run().fault(10, 20, hit=("mc-1",))
    for at in range(2, 28):
        read(made, at, 2 if at > 9 else 0, "miss" if 10 <= at < 15 else "miss, shared" if at == 15 else "")
    made.operation(16, FAILED, key=7, kind="read cached", error="origin: connection refused")
    finding = judged(made)
    assert found(finding, "hit_share").value == pytest.approx(20 / 26)
    assert found(finding, "hit_share").by["before"].value == 1
    assert found(finding, "origin_reads").by["fault"].value == pytest.approx(6 / 10)
    assert found(finding, "origin_reads").by["after"].value == 0
    assert found(finding, "origin_reads_peak").value == 1


def test_a_hit_is_compared_with_a_read_of_the_origin() -> None:
    made = read(run(), 12, 2, takes=0.001).operation(13, key=7, kind="read origin", takes=0.004)
    assert found(judged(made), "hit_speedup").value == pytest.approx(4, rel=0.01)


def test_no_answered_read_is_unknown() -> None:
    assert judged(Run(workloads=[WORKLOAD])).verdict is Verdict.UNKNOWN
    assert judged(Run(workloads=[WORKLOAD]).operation(5, FAILED, key=7, kind="read cached")).verdict is Verdict.UNKNOWN
    assert judged(Run().expect("hit_share", min=0.5)).verdict is Verdict.UNKNOWN


def test_where_there_is_no_cache_there_is_nothing_to_judge() -> None:
    assert judged(Run().load()).verdict is Verdict.PASS
