"""Two nodes that acknowledge writes at once are found by asking each of them directly."""

from __future__ import annotations

import pytest

from harness.checkers.split_brain import SplitBrain
from harness.verdict import Finding, Verdict
from tests.unit.histories import FAILED, OK, Run, found


def node(run: Run, name: str, *reigns: tuple[float, float]) -> Run:
    """Asks a node every 0.1 s; it acknowledges during its reigns, and refuses otherwise."""
    for tenth in range(300):
        at = tenth / 10
        reigning = any(start <= at < stop for start, stop in reigns)
        run.operation(at, OK if reigning else FAILED, lane="kept", kind="probe_write", endpoint=f"node:{name}")
    return run


def judged(run: Run) -> Finding:
    return SplitBrain().check(run.history())


def failover(*second: tuple[float, float]) -> Run:
    return node(node(Run(), "pg-a", (0, 10)), "pg-b", *second)


def test_a_failover_without_an_overlap_passes() -> None:
    finding = judged(failover((15, 30)).expect("split_brain", max=0))
    assert (finding.verdict, found(finding, "split_brain").upper) == (Verdict.PASS, 0)


def test_a_second_primary_fails_even_without_a_bound() -> None:
    finding = judged(failover((8, 30)))
    assert finding.verdict is Verdict.FAIL
    assert finding.summary.startswith("pg-a and pg-b acknowledged writes at once")
    measured = found(finding, "split_brain")
    assert measured.lower == pytest.approx(1.898)
    assert measured.upper == pytest.approx(2.1, abs=0.01)


def test_the_writes_of_each_node_in_the_overlap_are_counted() -> None:
    (row, *_) = judged(failover((8, 30))).evidence
    assert (row["from_s"], row["to_s"]) == (pytest.approx(8.0), pytest.approx(9.802))
    assert row["writes"] == {"pg-a": 19, "pg-b": 19}


def test_a_bound_that_the_scenario_sets_is_what_counts() -> None:
    assert judged(failover((8, 30)).expect("split_brain", max=5)).verdict is Verdict.PASS
    assert judged(failover((8, 30)).expect("split_brain", max=1)).verdict is Verdict.FAIL


def test_a_switch_quicker_than_the_probes_can_tell_is_unknown_when_bounded() -> None:
    finding = judged(failover((10, 30)).expect("split_brain", max=0))
    assert finding.verdict is Verdict.UNKNOWN
    assert "cannot be excluded" in finding.summary


def test_a_switch_quicker_than_the_probes_can_tell_passes_unbounded() -> None:
    assert judged(failover((10, 30))).verdict is Verdict.PASS


def test_a_frozen_primary_that_acknowledges_one_buffered_write_is_found() -> None:
    finding = judged(node(node(Run(), "pg-a", (0, 10), (20, 20.05)), "pg-b", (12, 30)))
    assert finding.verdict is Verdict.FAIL
    assert finding.evidence[0]["writes"]["pg-a"] == 1


def test_the_same_node_again_is_no_split_brain() -> None:
    assert judged(node(Run(), "pg-a", (0, 10), (15, 30)).expect("split_brain", max=0)).verdict is Verdict.PASS


def test_without_direct_probes_a_bound_is_unknown() -> None:
    assert judged(Run().probes().expect("split_brain", max=0)).verdict is Verdict.UNKNOWN
    assert judged(Run().probes()).summary == "no node was asked directly to write"
