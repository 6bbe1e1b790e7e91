"""A write is lost, doubled or resurrected by its identity: what clients were told against what is there."""

from __future__ import annotations

import pytest

from harness.checkers.durability import Durability
from harness.verdict import Finding, Verdict
from tests.unit.histories import FAILED, NOT_SENT, OK, UNKNOWN, Run, found


def run(*ledger: int) -> Run:
    """Writes 1 to 3 were acknowledged, 4 is unknown, 5 failed, 6 was never sent; the final read holds `ledger`."""
    made = Run().event(31, "authority", node="pg-b").final("pg-b", ledger=ledger)
    for value, outcome in enumerate((OK, OK, OK, UNKNOWN, FAILED, NOT_SENT), 1):
        made.operation(value, outcome, value=value, zone="az-b" if value == 2 else "az-a")
    return made


def judged(made: Run) -> Finding:
    return Durability().check(made.history())


def counts(finding: Finding) -> tuple[float | None, ...]:
    return tuple(finding.measured[f"{what}_writes"].value for what in ("lost", "duplicated", "resurrected"))


def test_every_acknowledged_write_there_once_passes() -> None:
    finding = judged(run(1, 2, 3))
    assert (finding.verdict, counts(finding)) == (Verdict.PASS, (0, 0, 0))
    assert finding.summary.startswith("0 of 3 acknowledged writes lost")


def test_one_write_missing_from_the_final_read_fails_with_its_evidence() -> None:
    finding = judged(run(1, 3))
    assert (finding.verdict, counts(finding)) == (Verdict.FAIL, (1, 0, 0))
    assert finding.evidence == [
        {
            "what": "lost",
            "set": "ledger",
            "value": 2,
            "zone": "az-b",
            "endpoint": "writer",
            "outcome": "ok",
            "ended_s": pytest.approx(2.002),
        }
    ]
    by = found(finding, "lost_writes").by
    assert (by["az-b"].value, by["az-a"].value, by["ledger"].value) == (1, 0, 1)


def test_a_write_that_is_there_twice_fails() -> None:
    finding = judged(run(1, 2, 2, 3))
    assert (finding.verdict, counts(finding)) == (Verdict.FAIL, (0, 1, 0))


def test_an_unknown_write_that_is_there_twice_is_a_double_too() -> None:
    assert counts(judged(run(1, 2, 3, 4, 4))) == (0, 1, 0)


def test_a_write_that_failed_and_is_there_is_resurrected_and_judged_when_bounded() -> None:
    assert (judged(run(1, 2, 3, 5)).verdict, counts(judged(run(1, 2, 3, 5)))) == (Verdict.PASS, (0, 0, 1))
    assert judged(run(1, 2, 3, 5).expect("resurrected_writes", max=0)).verdict is Verdict.FAIL


def test_an_unknown_write_may_be_there_or_not() -> None:
    for ledger, there in (((1, 2, 3), 0), ((1, 2, 3, 4), 1)):
        finding = judged(run(*ledger))
        assert (finding.verdict, counts(finding)) == (Verdict.PASS, (0, 0, 0))
        assert finding.notes == [f"ledger: 1 writes had no known outcome; {there} of them are there"]


def test_expected_losses_pass_only_when_they_happen() -> None:
    assert judged(run(1, 2).expect("lost_writes", min=1)).verdict is Verdict.PASS
    assert judged(run(1, 2, 3).expect("lost_writes", min=1)).verdict is Verdict.FAIL


def test_expecting_losses_does_not_excuse_doubles() -> None:
    assert judged(run(1, 1).expect("lost_writes", min=1)).verdict is Verdict.FAIL


def test_without_the_final_read_of_the_primary_nothing_is_claimed() -> None:
    made = run(1, 2, 3)
    made.reads, made.missing = {}, {"pg-b": "cut off"}
    finding = judged(made)
    assert (finding.verdict, counts(finding)) == (Verdict.UNKNOWN, (None, None, None))
    assert finding.summary == "lost writes cannot be told: no final read of pg-b (cut off)"


def test_a_set_that_was_not_read_is_unknown_and_not_lost() -> None:
    made = run(1, 2, 3).operation(9, value=100, lane="kept", kind="probe_write")
    assert judged(made).summary == "lost writes cannot be told: the final read of pg-b has no set 'probe'"


def test_a_run_without_acknowledged_writes_proves_nothing() -> None:
    finding = judged(Run().event(31, "authority", node="pg-b").final("pg-b", ledger=[]).operation(1, FAILED, value=1))
    assert (finding.verdict, finding.summary) == (Verdict.UNKNOWN, "no write was acknowledged, so none could be lost")


def test_probes_own_writes_are_compared_with_their_own_set() -> None:
    made = run(1, 2, 3).operation(9, value=100, lane="kept", kind="probe_write", endpoint="node:pg-a")
    made.reads["pg-b"]["probe"] = []
    finding = judged(made)
    assert (finding.verdict, found(finding, "lost_writes", "probe").value) == (Verdict.FAIL, 1)


def test_the_run_may_say_which_kind_goes_into_which_set() -> None:
    made = Run(sets={"append": "journal"}).event(31, "authority", node="pg-b").final("pg-b", journal=[7])
    assert judged(made.operation(1, value=7, kind="append").operation(2, value=8, kind="write")).verdict is Verdict.PASS


def test_without_a_named_authority_the_only_primary_left_decides() -> None:
    made = run(1, 2, 3)
    made.events = [event for event in made.events if event.name != "authority"]
    assert judged(made).verdict is Verdict.UNKNOWN
    assert judged(made.role(0, "pg-a", "primary").role(9, "pg-a", "replica").role(9, "pg-b", "primary")).verdict is Verdict.PASS
    assert judged(made.role(20, "pg-a", "primary")).verdict is Verdict.UNKNOWN


def test_a_write_acknowledged_after_the_final_reads_began_cannot_be_missed_there() -> None:
    assert counts(judged(run(1, 2, 3).operation(32, value=50))) == (0, 0, 0)


def test_a_replica_that_differs_after_everything_is_noted() -> None:
    finding = judged(run(1, 2, 3).final("pg-a", ledger=[1, 9]).final("pg-c", ledger=[1, 2, 3]))
    assert finding.verdict is Verdict.PASS
    assert "ledger: pg-a differs from pg-b: 2 values missing, 1 more" in finding.notes
    assert not any("pg-c" in note for note in finding.notes)


def test_values_that_nobody_sent_are_noted() -> None:
    assert "ledger: 1 values are there that no recorded write sent" in judged(run(1, 2, 3, 77)).notes


def test_a_write_that_was_tried_again_is_lost_only_when_it_is_nowhere() -> None:
    assert counts(judged(run(1, 2, 3, 5).operation(8, OK, value=5))) == (0, 0, 0)


def test_a_write_without_an_answer_that_was_tried_again_with_success_is_acknowledged() -> None:
    assert counts(judged(run(1, 2, 3).operation(8, OK, value=4))) == (1, 0, 0)
    assert judged(run(1, 2, 3, 4).operation(8, OK, value=4)).notes == []


SHARDED = {
    "zones": ["az-a", "az-b"],
    "nodes": [
        {"name": name, "zone": "az-a", "role": "database", "shard": shard}
        for name, shard in (("r-1a", "1"), ("r-1b", "1"), ("r-2a", "2"), ("r-2b", "2"))
    ],
}


def sharded() -> Run:
    made = Run(topology=SHARDED).event(31, "authority", nodes=["r-1a", "r-2b"])
    return made.final("r-1a", ledger=[1, 3]).final("r-1b", ledger=[1, 3]).final("r-2a", ledger=[]).final("r-2b", ledger=[2])


def test_what_the_primaries_of_all_shards_hold_together_is_the_truth() -> None:
    finding = judged(sharded().operation(1, OK, value=1).operation(2, OK, value=2).operation(3, OK, value=3))
    assert (finding.verdict, found(finding, "lost_writes").value) == (Verdict.PASS, 0)
    assert finding.summary.endswith("by the final read of r-1a, r-2b")
    assert finding.notes == ["ledger: r-2a differs from r-2b: 1 values missing, 0 more"]


def test_a_write_that_no_shard_holds_is_lost() -> None:
    finding = judged(sharded().operation(1, OK, value=4))
    assert (finding.verdict, found(finding, "lost_writes").value) == (Verdict.FAIL, 1)


def test_a_shard_that_was_not_read_leaves_losses_untold() -> None:
    made = sharded().operation(1, OK, value=1)
    del made.reads["r-2b"]
    finding = judged(made)
    assert (finding.verdict, "no final read of r-2b" in finding.summary) == (Verdict.UNKNOWN, True)


def test_without_named_authorities_each_shard_must_be_left_with_one_primary() -> None:
    made = sharded().operation(1, OK, value=1)
    made.events = [event for event in made.events if event.name != "authority"]
    made.role(29, "r-1a", "primary").role(29, "r-1b", "replica").role(29, "r-2b", "replica")
    assert "of each shard" in judged(made).summary
    assert judged(made.role(30, "r-2b", "primary")).verdict is Verdict.PASS


@pytest.mark.parametrize(("kept", "elsewhere"), [([1, 2], 0), ([1], 1)])
def test_what_is_lost_of_a_shard_that_was_not_hit_is_told_apart(kept: list[int], elsewhere: int) -> None:
    nodes = [{"name": f"mc-{n}", "zone": "az-a", "role": "database", "shard": f"mc-{n}"} for n in (1, 2)]
    made = Run(topology={"name": "t", "zones": ["az-a"], "nodes": nodes}, sets={"probe_write": "probe"})
    made.fault(10, 12, hit=("mc-1",)).event(31, "authority", nodes=["mc-1", "mc-2"])
    for value, endpoint in enumerate(("writer:mc-2", "node:mc-2", "writer:mc-1"), 1):
        made.operation(value, value=value, kind="probe_write", endpoint=endpoint)
    finding = judged(made.final("mc-1", probe=()).final("mc-2", probe=kept).expect("lost_writes", max=9))
    assert found(finding, "lost_writes").value == 1 + elsewhere
    by = found(finding, "lost_writes").by
    assert (by["shard(mc-1)"].value, by["shard(mc-2)"].value) == (1, elsewhere)
    assert found(finding, "lost_writes_elsewhere").value == elsewhere
    assert found(finding, "lost_writes_elsewhere").by["mc-2"].value == elsewhere
