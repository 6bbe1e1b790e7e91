"""What was not well before the fault cannot say what the fault did."""

from __future__ import annotations

from harness.checkers.steady_state import SteadyState
from harness.verdict import Finding, Verdict
from tests.unit.histories import NOT_SENT, Run

CLIENTS = {"zones": ["az-a", "az-b"], "nodes": [{"name": f"client-{z}", "zone": z, "role": "client"} for z in ("az-a", "az-b")]}


def judged(run: Run) -> Finding:
    return SteadyState().check(run.history())


def test_a_run_that_was_served_before_its_fault_passes() -> None:
    finding = judged(Run().fault(10, 20).load((10, 20)))
    assert (finding.verdict, finding.summary) == (Verdict.PASS, "95 of 95 operations ok in the 9.5 s judged before any fault")


def test_errors_before_the_fault_make_the_run_unknown() -> None:
    finding = judged(Run().fault(10, 20).load((5, 6)))
    assert (finding.verdict, finding.validity) == (Verdict.UNKNOWN, True)
    assert finding.summary == "before any fault only 89.47% of the writes in az-a were ok, 99.90% are needed"


def test_the_scenarios_own_bounds_count() -> None:
    run = Run(steady_state={"write_success": 0.8, "read_success": 1}).fault(10, 20).load((5, 6)).load(kind="read")
    assert judged(run).verdict is Verdict.PASS


def test_a_run_that_never_became_steady_is_unknown() -> None:
    assert judged(Run(steady=None).load()).summary == "the steady state was never reached"


def test_errors_before_the_steady_state_do_not_count() -> None:
    assert judged(Run(steady=5).fault(10, 20).load((0, 5))).verdict is Verdict.PASS


def test_an_operation_that_the_fault_could_reach_does_not_count() -> None:
    assert judged(Run().fault(10, 20).load((9.6, 20))).verdict is Verdict.PASS


def test_a_zone_in_which_nothing_was_asked_makes_the_run_unknown() -> None:
    assert judged(Run(topology=CLIENTS).fault(10, 20).load()).summary == "before any fault nothing was asked in az-b"


def test_replicas_that_refuse_direct_writes_are_well() -> None:
    assert judged(Run().fault(10, 20).load().probes((0, 30), endpoint="node:pg-b")).verdict is Verdict.PASS


def test_a_probe_that_was_held_back_is_no_evidence_but_a_user_who_was_is() -> None:
    assert judged(Run().fault(10, 20).load().operation(5, NOT_SENT, lane="kept")).verdict is Verdict.PASS
    assert judged(Run().fault(10, 20).load().operation(5, NOT_SENT)).verdict is Verdict.UNKNOWN


def test_a_run_without_any_operation_is_unknown() -> None:
    assert judged(Run().fault(10, 20)).verdict is Verdict.UNKNOWN
