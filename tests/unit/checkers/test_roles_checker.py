"""A role change that no fault explains spoils the run."""

from __future__ import annotations

from harness.checkers.roles import Roles
from harness.verdict import Finding, Verdict
from tests.unit.histories import Run, found


def roles(run: Run, *changes: tuple[float, str, str]) -> Run:
    run.role(0, "pg-a", "primary").role(0, "pg-b", "replica")
    for at, node, role in changes:
        run.role(at, node, role)
    return run


def judged(run: Run) -> Finding:
    return Roles().check(run.history())


def test_a_failover_after_a_fault_passes_and_is_told() -> None:
    finding = judged(roles(Run().fault(9, 15), (12, "pg-b", "primary"), (16, "pg-a", "replica")))
    assert (finding.verdict, finding.notes) == (Verdict.PASS, ["pg-b became primary at 12.0 s"])
    assert found(finding, "unplanned_role_changes").value == 0


def test_a_role_change_without_a_fault_makes_the_run_unknown() -> None:
    finding = judged(roles(Run(), (12, "pg-b", "primary")))
    assert (finding.verdict, finding.validity) == (Verdict.UNKNOWN, True)
    assert finding.summary == "pg-b became primary at 12.0 s"


def test_a_role_change_before_the_fault_makes_the_run_unknown() -> None:
    assert judged(roles(Run().fault(20, 25), (12, "pg-b", "primary"))).verdict is Verdict.UNKNOWN


def test_a_bounded_number_of_unplanned_changes_is_judged() -> None:
    finding = judged(roles(Run(), (12, "pg-b", "primary")).expect("unplanned_role_changes", max=0))
    assert (finding.verdict, finding.validity) == (Verdict.FAIL, False)
    assert judged(roles(Run(), (12, "pg-b", "primary")).expect("unplanned_role_changes", max=1)).verdict is Verdict.PASS


def test_every_change_counts_whether_a_fault_explains_it_or_not() -> None:
    run = roles(Run(end=90).fault(9, 15), (12, "pg-b", "primary"), (16, "pg-a", "replica"), (40, "pg-a", "primary"))
    assert found(judged(run), "role_changes").value == 2
    assert judged(run.expect("role_changes", max=1)).verdict is Verdict.FAIL


def test_a_bound_on_all_changes_does_not_excuse_an_unplanned_one() -> None:
    finding = judged(roles(Run(), (12, "pg-b", "primary")).expect("role_changes", max=3))
    assert (finding.verdict, finding.validity) == (Verdict.UNKNOWN, True)


def test_a_fault_that_cannot_change_roles_explains_nothing() -> None:
    run = Run().fault(9, 15, kind="latency", changes_roles=False)
    assert judged(roles(run, (12, "pg-b", "primary"))).verdict is Verdict.UNKNOWN


def test_a_fault_explains_no_change_long_after_it_was_healed() -> None:
    assert judged(roles(Run(end=200).fault(9, 15), (150, "pg-b", "primary"))).verdict is Verdict.UNKNOWN


def test_a_planned_change_explains_its_new_primary_and_no_other_change_does() -> None:
    moved = (12, "pg-b", "primary")
    assert judged(roles(Run().change(10, 14), moved)).verdict is Verdict.PASS
    assert judged(roles(Run().change(10, 14, kind="scale_node", changes_roles=False), moved)).verdict is Verdict.UNKNOWN


def test_readings_that_repeat_are_no_changes() -> None:
    finding = judged(roles(Run(), (5, "pg-a", "primary"), (6, "pg-b", "replica"), (7, "pg-a", "primary")))
    assert finding.verdict is Verdict.PASS


def test_a_primary_that_could_not_be_asked_for_a_while_did_not_become_it() -> None:
    assert judged(roles(Run(), (5, "pg-a", "unreachable"), (9, "pg-a", "primary"))).verdict is Verdict.PASS


def test_becoming_primary_while_the_cluster_forms_is_no_change() -> None:
    run = Run(steady=10).role(1, "pg-a", "replica").role(2, "pg-a", "primary").role(3, "pg-b", "replica")
    assert judged(run).verdict is Verdict.PASS


def test_a_node_first_seen_as_a_second_primary_became_it() -> None:
    assert judged(Run().role(0, "pg-a", "primary").role(9, "pg-b", "primary")).verdict is Verdict.UNKNOWN


def test_a_database_whose_roles_were_never_read_is_unknown() -> None:
    topology = {"zones": ["az-a"], "nodes": [{"name": "pg-a", "zone": "az-a", "role": "database"}]}
    assert judged(Run(topology=topology)).verdict is Verdict.UNKNOWN
    assert judged(Run(topology={**topology, "expected_roles": {}})).verdict is Verdict.PASS
    assert judged(Run().expect("unplanned_role_changes", max=0)).verdict is Verdict.UNKNOWN


def test_each_shard_has_a_first_primary_of_its_own() -> None:
    nodes = [{"name": "pg-a", "role": "database", "shard": "1"}, {"name": "pg-b", "role": "database", "shard": "2"}]
    run = Run(topology={"zones": [], "nodes": nodes}).role(1, "pg-a", "primary").role(2, "pg-b", "primary")
    assert found(judged(run), "role_changes").value == 0
