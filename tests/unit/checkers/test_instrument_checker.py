"""A harness that was the bottleneck says so instead of blaming the system."""

from __future__ import annotations

import pytest

from harness.checkers.instrument import Instrument
from harness.verdict import Finding, Verdict
from tests.unit.histories import FAILED, NOT_SENT, Run, found


def judged(run: Run) -> Finding:
    return Instrument().check(run.history())


def late(share: float, seconds: float = 0.05) -> Run:
    run = Run()
    for number in range(1500):
        run.operation(number * 0.02, late=seconds if number % 100 < share * 100 else 0, lane="kept", kind="probe_write")
    return run


def test_probes_on_time_pass() -> None:
    finding = judged(late(0.01))
    assert finding.verdict is Verdict.PASS
    assert found(finding, "probes_on_time").value == pytest.approx(0.99)
    assert found(judged(late(0)), "probe_lateness_p99").value == 0


def test_too_many_late_probes_make_the_run_unknown() -> None:
    finding = judged(late(0.2))
    assert (finding.verdict, finding.validity) == (Verdict.UNKNOWN, True)
    assert found(finding, "probe_lateness_p99").value == pytest.approx(0.05)
    assert "only 80.0% of the scheduled probes of az-a started within 10 ms, 95% are needed" in finding.summary


@pytest.mark.parametrize(("share", "verdict"), [(0.8, Verdict.PASS), (0.97, Verdict.UNKNOWN)])
def test_a_load_that_took_all_of_its_core_was_itself_the_bottleneck(share: float, verdict: Verdict) -> None:
    run = late(0)
    for second in range(1, 10):
        run.event(second, "instrument", process="load-az-a", cpu_share=share)
        run.event(second, "instrument", process="load-az-b", cpu_share=0.2)
    finding = judged(run)
    assert finding.verdict is verdict
    assert ("load-az-a took 97% of its core, over 90%: it was itself the bottleneck" in finding.summary) is (share > 0.9)


@pytest.mark.parametrize(("stolen", "verdict"), [(0.2, Verdict.PASS), (0.6, Verdict.UNKNOWN)])
def test_a_machine_whose_cores_were_elsewhere_cannot_tell(stolen: float, verdict: Verdict) -> None:
    run = late(0)
    for second in range(1, 30):
        run.event(second, "instrument", process="host", busy_share=0.5, steal_share=stolen if second % 2 else 0.0)
    finding = judged(run)
    assert finding.verdict is verdict
    assert ("31.0% of the cores' time was stolen by other machines of the host, over 25%" in finding.summary) is (stolen > 0.5)


def test_one_slow_zone_is_enough() -> None:
    run = late(0.2).probes(zone="az-b")
    assert judged(run).verdict is Verdict.UNKNOWN
    assert found(judged(run), "probes_on_time", "az-b").value == 1


def test_a_figure_that_the_scenario_bounds_is_judged() -> None:
    assert judged(late(0.03).expect("probes_on_time", min=0.99)).verdict is Verdict.FAIL


def test_scheduled_probes_without_a_record_count_as_late() -> None:
    finding = judged(Run().probes(stop=15))
    assert finding.verdict is Verdict.UNKNOWN
    assert found(finding, "probes_on_time").value == pytest.approx(750 / 1450)


@pytest.mark.parametrize(("decided_after_s", "on_time"), [(0, 1), (0.05, 1 / 3)])
def test_a_probe_that_was_held_back_in_time_is_not_late(decided_after_s: float, on_time: float) -> None:
    run = Run().probes(stop=10)
    for number in range(1000):
        run.operation(10 + number * 0.02, NOT_SENT, takes=decided_after_s, lane="kept", kind="probe_write")
    assert found(judged(run), "probes_on_time").value == pytest.approx(on_time)


def test_a_system_that_fails_is_no_fault_of_the_instrument() -> None:
    run = Run()
    for number in range(1500):
        run.operation(number * 0.02, FAILED, takes=0.1, lane="kept", kind="probe_write")
    assert judged(run).verdict is Verdict.PASS


def test_without_write_probes_the_run_is_unknown() -> None:
    assert "no write probe on a kept connection" in judged(Run().load()).summary


def test_an_aborted_run_is_unknown_with_its_reason() -> None:
    finding = judged(late(0).event(12, "aborted", reason="interrupted by the user"))
    assert finding.verdict is Verdict.UNKNOWN
    assert finding.summary.startswith("the run was aborted: interrupted by the user")


def test_a_recording_that_could_not_be_read_makes_the_run_unknown() -> None:
    run = late(0)
    run.notes.append("load-a.ops left out: cut off")
    assert "load-a.ops left out: cut off" in judged(run).summary


def test_a_process_that_recorded_nothing_is_noted() -> None:
    history = late(0).history()
    names = {**history.operations.names, "process": (*history.operations.names["process"], "load-az-c")}
    object.__setattr__(history.operations, "names", names)
    assert Instrument().check(history).notes == ["load-az-c recorded no operation"]


def test_what_processes_say_of_themselves_is_summed_up() -> None:
    run = (
        late(0)
        .event(5, "instrument", process="probe-az-a", cpu_share=0.1)
        .event(6, "instrument", process="probe-az-a", cpu_share=0.3)
    )
    assert judged(run).notes == ["probe-az-a: cpu_share at most 0.3"]
