"""Two nodes that acknowledge writes at once are found by asking each of them directly."""

from __future__ import annotations

import pytest

from harness.checkers.split_brain import SplitBrain
from harness.recording import LATE_OK
from harness.verdict import Finding, Verdict
from tests.unit.histories import FAILED, OK, UNKNOWN, Run, found


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


def zombie(woken: tuple[float, float], *, late: bool = False) -> Run:
    """pg-a is frozen at 10 s, pg-b is promoted at 12 s, pg-a wakes later: it may answer what it was asked before, too."""
    run = node(node(Run(), "pg-a", (0, 10), woken), "pg-b", (12, 30))
    if late:
        run.operation(9.99, UNKNOWN, takes=0.5, answered=woken[0], lane="kept", kind="probe_write",
                      endpoint="node:pg-a", error=LATE_OK)  # fmt: skip
    return run.role(0, "pg-a", "primary").role(0, "pg-b", "replica").role(12, "pg-b", "primary")


def test_what_a_woken_zombie_acknowledged_is_counted_with_its_late_answers() -> None:
    finding = judged(zombie((20, 20.35), late=True))
    assert found(finding, "zombie_writes").value == 5
    assert finding.summary.endswith(
        "pg-a acknowledged 5 of its prober's writes (1 of them late answers) within 302 ms from 20.00 s on, "
        "though pg-b had been primary since 12.00 s"
    )
    assert judged(zombie((20, 20.35)).expect("zombie_writes", max=0)).verdict is Verdict.FAIL


def test_a_late_answer_alone_proves_no_two_primaries_at_once() -> None:
    finding = judged(zombie((20, 20), late=True))
    assert (finding.verdict, found(finding, "zombie_writes").value) == (Verdict.PASS, 1)
    assert judged(zombie((20, 20), late=True).expect("zombie_writes", max=0)).verdict is Verdict.FAIL


def test_a_frozen_node_acknowledged_nothing_until_its_late_answers() -> None:
    run = zombie((20, 20.35))  # probes that it left unanswered would else be the last word on when it began again
    run.rows = [row for row in run.rows if row["endpoint"] != "node:pg-a" or not 10.5 < row["intended"] / 1e9 < 20]
    assert found(judged(run), "split_brain").upper == pytest.approx(8.5, abs=0.05)
    run.operation(10.5, UNKNOWN, takes=0.5, answered=19.99, lane="kept", kind="probe_write", endpoint="node:pg-a", error=LATE_OK)
    assert found(judged(run), "split_brain").upper == pytest.approx(0.4, abs=0.05)


def test_an_overlap_is_told_once_for_each_reign() -> None:
    run = node(node(Run(), "pg-a", (0, 10), (20, 23)), "pg-b", (12, 30))
    assert len(judged(run).evidence) == 2  # what pg-a acknowledged in pg-b's time, and the other way round


def test_a_primary_that_was_promoted_again_is_no_zombie() -> None:
    run = node(node(Run(), "pg-a", (0, 10), (20, 30)), "pg-b", (12, 19))
    run.role(0, "pg-a", "primary").role(12, "pg-b", "primary").role(19.5, "pg-a", "replica").role(19.9, "pg-a", "primary")
    assert found(judged(run.expect("zombie_writes", max=0)), "zombie_writes").value == 0


def test_what_a_new_primary_acknowledges_before_its_role_was_read_is_its_own() -> None:
    run = node(node(node(Run(), "pg-a", (0, 10)), "pg-b", (12, 18)), "pg-c", (20, 30))
    run.role(0, "pg-a", "primary").role(12, "pg-b", "primary").role(19.9, "pg-c", "replica").role(20.4, "pg-c", "primary")
    assert found(judged(run), "zombie_writes").value == 0


def test_zombies_cannot_be_told_without_roles() -> None:
    assert judged(failover((15, 30)).expect("zombie_writes", max=0)).verdict is Verdict.UNKNOWN


def test_the_same_node_again_is_no_split_brain() -> None:
    assert judged(node(Run(), "pg-a", (0, 10), (15, 30)).expect("split_brain", max=0)).verdict is Verdict.PASS


def test_without_direct_probes_a_bound_is_unknown() -> None:
    assert judged(Run().probes().expect("split_brain", max=0)).verdict is Verdict.UNKNOWN
    assert judged(Run().probes()).summary == "no node was asked directly to write"


def sharded() -> Run:
    nodes = [{"name": name, "shard": shard} for name, shard in (("pg-a", "1"), ("pg-b", "2"), ("pg-c", "2"))]
    return Run(topology={"zones": [], "nodes": nodes})


def test_primaries_of_two_shards_are_no_split_brain() -> None:
    finding = judged(node(node(sharded(), "pg-a", (0, 30)), "pg-b", (0, 30)).expect("split_brain", max=0))
    assert (finding.verdict, found(finding, "split_brain").upper) == (Verdict.PASS, 0)


def test_two_primaries_of_one_shard_are_one_whatever_the_others_do() -> None:
    run = node(node(node(sharded(), "pg-a", (0, 30)), "pg-b", (0, 10)), "pg-c", (8, 30))
    assert judged(run).summary.startswith("pg-b and pg-c acknowledged writes at once")


def test_a_node_is_deposed_only_by_one_of_its_shard() -> None:
    run = node(node(node(sharded(), "pg-a", (0, 30)), "pg-b", (0, 10)), "pg-c", (12, 30))
    run.role(1, "pg-a", "primary").role(1, "pg-b", "primary").role(1, "pg-c", "replica").role(12, "pg-c", "primary")
    assert found(judged(run), "zombie_writes").value == 0
