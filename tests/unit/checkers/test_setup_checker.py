"""How long a cluster took to be there is known of a run that began without one."""

from __future__ import annotations

from harness.checkers.setup import Setup
from harness.verdict import Verdict
from tests.unit.histories import Run


def formed(at: float | None, begun: float | None = -20) -> Run:
    run = Run().expect("setup", max=10)
    if begun is not None:
        run.event(begun, "phase", phase="forming")
    return run if at is None else run.event(at, "laid_out", topology={}, versions={})


def test_a_cluster_that_was_there_in_time_passes() -> None:
    finding = Setup().check(formed(-12).history())
    assert (finding.verdict, finding.summary) == (Verdict.PASS, "setup 8.00 s, at most 10.00 s")


def test_one_that_took_longer_fails() -> None:
    assert Setup().check(formed(-9).history()).verdict is Verdict.FAIL


def test_one_that_never_formed_or_was_there_before_is_unknown() -> None:
    never = Setup().check(formed(None).history())
    assert (never.verdict, never.summary) == (Verdict.UNKNOWN, "the cluster never formed; setup could not be measured")
    before = Setup().check(formed(-12, begun=None).history())
    assert (before.verdict, before.measured["setup"].value) == (Verdict.UNKNOWN, None)


def test_without_a_bound_it_is_told() -> None:
    run = formed(-12)
    run.run["expect"] = []
    assert Setup().check(run.history()).summary == "the cluster was whole after 8.00 s"
