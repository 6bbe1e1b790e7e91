"""The phases of a failover follow one another without a gap, and add up to the recovery."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone

import pytest

from harness.checkers.phases import Phases
from harness.checkers.recovery import Recovery
from harness.reporters._waterfall import waterfalls
from harness.topologies._patroni_log import recorded
from harness.verdict import Finding, Verdict
from tests.unit.histories import Run, found

PHASES = ("detect", "elect", "promote", "reconnect", "settle")
LOG = """\
2026-11-24 07:54:00.604 UTC [232] LOG:  database system is ready to accept connections
2026-11-24 07:56:13,485 INFO: no action. I am (pg-az-a), a secondary, and following a leader (pg-az-c)
2026-11-24 07:56:14,492 WARNING: Request failed to pg-az-c: GET http://198.18.3.11:8008/patroni (refused)
2026-11-24 07:56:14,509 INFO: promoted self to leader by acquiring session lock
server promoting
2026-11-24 07:56:14.513 UTC [238] LOG:  received promote request
2026-11-24 07:56:14.604 UTC [232] LOG:  database system is ready to accept connections
"""


def judged(run: Run) -> Finding:
    return Phases().check(run.history())


def failover(**moved: float) -> Run:
    """Down from 10 to 12 s; the manager's record of what happened meanwhile."""
    at = {"detected": 11.5, "elected": 11.6, "promoted": 11.8, **moved}
    run = Run().fault(9, 15).probes((10, 12))
    for what, second in at.items():
        run.event(second, "manager", node="pg-b", what=what, said=what, error_s=0.005)
    return run


def test_the_phases_add_up_to_the_recovery() -> None:
    run = failover()
    took = {phase: found(judged(run), phase) for phase in PHASES}
    assert took["detect"].value == pytest.approx(1.5, abs=0.03)
    assert took["elect"].value == pytest.approx(0.1)
    assert took["promote"].value == pytest.approx(0.2)
    recovery = found(Recovery().check(run.history()), "recovery")
    assert sum(one.value or 0 for one in took.values()) == pytest.approx(recovery.value, abs=0.01)
    assert all((one.lower or 0) <= (one.value or 0) <= (one.upper or 0) for one in took.values())


def test_the_offset_of_the_nodes_clock_is_part_of_the_bounds() -> None:
    elect = found(judged(failover()), "elect")
    assert (elect.lower, elect.upper) == pytest.approx((0.09, 0.11))


def test_a_phase_beyond_its_bound_fails_and_a_moved_record_moves_it() -> None:
    assert judged(failover().expect("promote", max=0.3)).verdict is Verdict.PASS
    assert judged(failover(elected=11.52).expect("promote", max=0.25)).verdict is Verdict.FAIL


def test_without_the_managers_records_there_are_no_phases() -> None:
    finding = judged(Run().fault(9, 15).probes((10, 12)).expect("promote", max=1))
    assert finding.verdict is Verdict.UNKNOWN
    assert finding.notes == ["crash: the manager's log was not recorded, so there are no phases"]


def test_an_outage_without_a_promotion_was_no_failover() -> None:
    run = Run().fault(9, 15).probes((10, 12)).event(2, "manager", node="pg-b", what="promoted", said="", error_s=0.005)
    assert "the manager's log tells of no promotion, so there are no phases" in judged(run).notes[0]


def test_clients_that_were_served_before_the_promotion_did_not_wait_for_it() -> None:
    assert judged(failover(elected=11.9, promoted=12.5)).notes[0].endswith("there are no phases")
    one_zone_served = Run().fault(9, 15).probes((10, 10.5)).probes((10, 12), zone="az-b")
    one_zone_served.events += [event for event in failover().events if event.name == "manager"]
    assert judged(one_zone_served).notes[0].startswith("crash: clients were served before")


def test_what_nobody_saw_is_part_of_the_next_phase_and_said() -> None:
    run = failover()
    run.events = [event for event in run.events if event.data.get("what") != "detected"]
    finding = judged(run)
    assert found(finding, "detect").value is None
    assert found(finding, "elect").value == pytest.approx(1.6, abs=0.03)
    assert finding.notes == ["crash: nobody saw the end of detect: it is part of what follows"]


def test_the_waterfall_has_a_bar_for_each_phase_one_after_the_other() -> None:
    (fall,) = waterfalls({"findings": [judged(failover()).as_json()]})
    assert [bar.title for bar in fall.bars] == ["Detect", "Elect", "Promote", "Route and reconnect", "Settle"]
    assert all(after.x >= before.x for before, after in zip(fall.bars, fall.bars[1:], strict=False))
    assert fall.bars[1].took == "100.0 ms"


def test_patronis_log_tells_of_a_failover_and_not_of_a_start() -> None:
    told = list(recorded(LOG, UTC))
    assert [one.what for one in told] == ["detected", "elected", "promoted"]
    assert told[2].at - told[1].at == pytest.approx(0.095)


def test_patronis_own_times_are_those_of_the_nodes_time_zone() -> None:
    elsewhere = LOG.replace("07:56:14,", "09:56:14,")
    told = list(recorded(elsewhere, timezone(timedelta(hours=2))))
    assert [one.at for one in told] == [one.at for one in recorded(LOG, UTC)]
