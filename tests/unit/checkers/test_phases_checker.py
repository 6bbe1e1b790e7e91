"""The phases of a failover follow one another without a gap, and add up to the recovery."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone

import pytest

from harness.checkers.outage import Outage
from harness.checkers.phases import Phases
from harness.checkers.recovery import Recovery
from harness.reporters._waterfall import waterfalls
from harness.topologies._haproxy_log import routed
from harness.topologies._patroni_log import recorded
from harness.verdict import Finding, Verdict
from tests.unit.histories import Run, found

PHASES = ("detect", "elect", "promote", "route", "reconnect", "settle")
NODES = [{"name": f"{kind}-{zone}", "zone": f"az-{zone}", "role": role} for zone in "ab" for kind, role in
         (("pg", "database"), ("haproxy", "router"))]  # fmt: skip
LOG = """\
2026-11-24 07:54:00.604 UTC [232] LOG:  database system is ready to accept connections
2026-11-24 07:56:13,485 INFO: no action. I am (pg-az-a), a secondary, and following a leader (pg-az-c)
2026-11-24 07:56:14,492 WARNING: Request failed to pg-az-c: GET http://198.18.3.11:8008/patroni (refused)
2026-11-24 07:56:14,509 INFO: promoted self to leader by acquiring session lock
server promoting
2026-11-24 07:56:14.513 UTC [238] LOG:  received promote request
2026-11-24 07:56:14.581 UTC [238] LOG:  archive recovery complete
2026-11-24 07:56:14.604 UTC [232] LOG:  database system is ready to accept connections
"""


def judged(run: Run) -> Finding:
    return Phases().check(run.history())


def failover(down_in_b: tuple[float, float] | None = None, healed: float = 15, **moved: float) -> Run:
    """Down from 10 to 12 s; the manager's record of what happened meanwhile, and that of the routers."""
    at = {"detected": 11.5, "elected": 11.6, "promoted": 11.8, **moved}
    run = Run(topology={"zones": ["az-a", "az-b"], "nodes": NODES}).fault(9, healed).probes((10, 12))
    if down_in_b:
        run.probes(down_in_b, zone="az-b")
    for what, second in at.items():
        if what != "routed":
            run.event(second, "manager", node="pg-b", what=what, about="pg-b", said=what, error_s=0.005)
    for zone, later in (("a", 0.0), ("b", 0.1)):
        routed = at.get("routed", at["promoted"] + 0.1) + later
        run.event(routed, "manager", node=f"haproxy-{zone}", what="routed", about="pg-b", said="UP", error_s=0.001)
    return run


def total(run: Run, *phases: str) -> float:
    return sum(found(judged(run), phase).value or 0 for phase in phases)


def test_the_phases_add_up_to_the_recovery() -> None:
    run = failover()
    took = {phase: found(judged(run), phase) for phase in PHASES}
    assert took["detect"].value == pytest.approx(1.5, abs=0.03)
    assert took["elect"].value == pytest.approx(0.1)
    assert took["promote"].value == pytest.approx(0.2)
    recovery = found(Recovery().check(run.history()), "recovery")
    assert sum(one.value or 0 for one in took.values()) == pytest.approx(recovery.value, abs=0.01)
    assert all((one.lower or 0) <= (one.value or 0) <= (one.upper or 0) for one in took.values())


def test_all_but_the_last_add_up_to_the_outage() -> None:
    outage = found(Outage().check(failover().history()), "write_outage")
    assert total(failover(), *PHASES[:-1]) == pytest.approx(outage.value, abs=0.01)


@pytest.mark.parametrize("until", [11.95, 12.0, 12.36])
def test_the_zone_that_was_served_last_is_the_one_that_was_waited_for(until: float) -> None:
    run = failover((10, until))
    outage = found(Outage().check(run.history()), "write_outage")
    assert total(run, *PHASES[:-1]) == pytest.approx(outage.value, abs=0.03)
    route = total(run, "detect", "elect", "promote", "route")
    assert route == pytest.approx(2.0 if until > 12 else 1.9, abs=0.03), "by that zone's own router"


def test_a_zone_that_waits_for_the_healing_is_waited_for_by_settling_alone() -> None:
    run = failover((10, 15.5), healed=15)
    assert total(run, *PHASES[:-1]) == pytest.approx(2, abs=0.03)
    assert total(run, "settle") == pytest.approx(3.5, abs=0.03)
    assert total(run, *PHASES) == pytest.approx(found(Recovery().check(run.history()), "recovery").value, abs=0.01)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_logs_say_no_phase_is_negative_and_their_sum_is_within_what_the_probes_say(seed: int) -> None:
    draw = random.Random(seed)
    late, length = draw.uniform(-0.3, 0.3), draw.uniform(0.5, 3)
    moved = [draw.uniform(0, 2 if seed % 2 else 3.2) for _ in range(4)]
    at = dict(zip(("detected", "elected", "promoted", "routed"), (10 + second for second in sorted(moved)), strict=True))
    run = failover((10.3 + late, 10.3 + late + length), healed=20, **at)
    finding, recovery = judged(run), found(Recovery().check(run.history()), "recovery")
    took = [found(finding, phase) for phase in PHASES]
    known = [one for one in took if one.value is not None]
    if not known:
        return  # clients were served before the promotion, which is said
    assert all((one.value or 0) >= 0 for one in known)
    assert all((one.lower or 0) - 1e-9 <= (one.value or 0) <= (one.upper or 0) + 1e-9 for one in known)
    assert (recovery.lower or 0) - 1e-9 <= sum(one.value or 0 for one in known) <= (recovery.upper or 0) + 1e-9


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
    one_zone_served = failover((10, 10.5))
    assert judged(one_zone_served).notes[0].startswith("crash: clients were served before")


def test_what_nobody_saw_is_part_of_the_next_phase_and_said() -> None:
    run = failover()
    run.events = [event for event in run.events if event.data.get("what") != "detected"]
    finding = judged(run)
    assert found(finding, "detect").value is None
    assert found(finding, "elect").value == pytest.approx(1.6, abs=0.03)
    assert finding.notes == ["crash: nobody saw the end of detect: it is part of what follows"]


def test_a_write_that_was_taken_before_the_server_said_that_it_was_ready_was_taken_after_its_recovery() -> None:
    assert judged(failover((10, 11.77))).notes[0].startswith("crash: clients were served before")
    told = judged(failover((10, 11.77), recovered=11.76))
    assert not told.notes
    assert (found(told, "promote").lower, found(told, "promote").upper) == pytest.approx((0.15, 0.21))


def test_what_stalls_again_after_the_promotion_is_part_of_settling() -> None:
    run = failover(healed=20).probes((15, 15.6), zone="az-b")
    assert total(run, *PHASES[:-1]) == pytest.approx(2, abs=0.03)
    assert total(run, "settle") == pytest.approx(3.6, abs=0.03)


def test_whoever_may_have_been_served_last_is_part_of_the_bounds() -> None:
    """One zone's end is known exactly, another's hardly: either may be the last, and the outage's own bounds say so."""
    run = failover().probes((10, 11.9), zone="az-b", every=0.4, deadline=0.1)
    outage = found(Outage().check(run.history()), "write_outage")
    finding = judged(run)
    lower, upper = (sum(getattr(found(finding, phase), side) for phase in PHASES[:-1]) for side in ("lower", "upper"))
    assert lower <= (outage.lower or 0) <= (outage.upper or 0) <= upper + 0.03
    assert total(run, *PHASES[:-1]) == pytest.approx(outage.value, abs=0.05)


def test_without_the_routers_records_the_route_is_part_of_reconnecting_and_said() -> None:
    run = failover()
    run.events = [event for event in run.events if event.data.get("what") != "routed"]
    finding = judged(run.expect("route", max=1))
    assert finding.verdict is Verdict.UNKNOWN
    assert found(finding, "reconnect").value == pytest.approx(0.2, abs=0.05)
    assert finding.notes == ["crash: nobody saw the end of route: it is part of what follows"]


def test_a_router_that_led_there_before_the_promotion_was_over_took_no_time() -> None:
    assert found(judged(failover(routed=11.5)), "route").value == pytest.approx(0, abs=0.01)


def test_service_that_was_not_seen_to_be_stable_has_no_end_of_settling() -> None:
    run = failover()
    run.event(14, "phase", phase="final_reads")
    run.events = [event for event in run.events if event.data.get("phase") != "final_reads" or event.at < 20e9]
    finding = judged(run)
    assert found(finding, "settle").value is None
    assert found(finding, "reconnect").value is not None
    assert "crash: service was not seen to be stable when measuring ended, so settle has no end" in finding.notes


def test_the_waterfall_has_a_bar_for_each_phase_one_after_the_other() -> None:
    (fall,) = waterfalls({"findings": [judged(failover()).as_json()]})
    assert [bar.title for bar in fall.bars] == ["Detect", "Elect", "Promote", "Route", "Reconnect", "Settle"]
    assert all(after.x >= before.x for before, after in zip(fall.bars, fall.bars[1:], strict=False))
    assert fall.bars[1].took == "100.0 ms"


def test_patronis_log_tells_of_a_failover_and_not_of_a_start() -> None:
    told = list(recorded(LOG, UTC))
    assert [one.what for one in told] == ["detected", "elected", "recovered", "promoted"]
    assert told[3].at - told[1].at == pytest.approx(0.095)


def test_patronis_own_times_are_those_of_the_nodes_time_zone() -> None:
    elsewhere = LOG.replace("07:56:14,", "09:56:14,")
    told = list(recorded(elsewhere, timezone(timedelta(hours=2))))
    assert [one.at for one in told] == [one.at for one in recorded(LOG, UTC)]


def test_haproxys_log_tells_since_when_the_writer_endpoint_leads_to_whom() -> None:
    log = """\
[WARNING]  (3314) : Server writer/pg-az-b is UP, reason: Layer7 check passed, code: 200, check duration: 2ms.
<5>2026-11-27T23:26:16.209482+02:00 Server writer/pg-az-b is UP, reason: Layer7 check passed, code: 200, check duration: 2ms.
<1>2026-11-27T23:26:16.309482+02:00 Server writer/pg-az-a is DOWN, reason: Layer7 wrong status, code: 503.
<5>2026-11-27T23:26:17.000001+02:00 Server reader/pg-az-a is UP, reason: Layer7 check passed, code: 200, check duration: 2ms.
"""
    [told] = routed(log, "writer")
    assert (told.what, told.about) == ("routed", "pg-az-b")
    assert told.at == datetime(2026, 11, 27, 21, 26, 16, 209482, UTC).timestamp()
