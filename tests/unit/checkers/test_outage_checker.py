"""An outage is framed by what the probes prove, and never claimed more exactly than that."""

from __future__ import annotations

import pytest

from harness.checkers.outage import Outage
from harness.intervals import Gap, Lane
from harness.recording import LATE_OK
from harness.verdict import Finding, Measured, Verdict
from tests.unit.histories import FAILED, NOT_SENT, OK, UNKNOWN, Run, found, ns


def judged(run: Run) -> Finding:
    return Outage().check(run.history())


def bounds(measured: Measured) -> tuple[float, float]:
    assert measured.lower is not None
    assert measured.upper is not None
    return measured.lower, measured.upper


def test_a_pause_of_two_seconds_is_bracketed_within_100_ms() -> None:
    lower, upper = bounds(found(judged(Run().probes((10.005, 12.005))), "write_outage"))
    assert lower <= 2.0 <= upper
    assert upper - lower < 0.1


def test_probes_that_are_refused_at_once_tell_more_than_those_that_wait() -> None:
    """A refusal proves when it came, a deadline only that the usual latency had passed."""
    lowers = []
    for takes in (0.0004, 0.1):
        run = Run()
        for number in range(1500):
            down = 500 <= number < 600
            run.operation(
                0.02 * number, FAILED if down else OK, takes=takes if down else 0.008,
                lane="kept", kind="probe_write", error="refused" if down else "",
            )  # fmt: skip
        lowers.append(bounds(found(judged(run), "write_outage"))[0])
    refused, waited = lowers
    assert refused == pytest.approx(1.98 - 0.0004), "from the first refusal's end to the last one's beginning"
    assert waited == pytest.approx(2.0 + 0.008 - 2 * 0.008), "until the first answer came, less a latency at either end"


def test_an_outage_within_its_bound_passes() -> None:
    finding = judged(Run().probes((10, 12)).expect("write_outage", max=3))
    assert finding.verdict is Verdict.PASS
    assert finding.summary == "write_outage 2.01 s (2.00 … 2.02), at most 3.00 s"


def test_an_outage_beyond_its_bound_fails() -> None:
    assert judged(Run().probes((10, 12)).expect("write_outage", max=1)).verdict is Verdict.FAIL


def test_a_bound_between_what_is_certain_and_what_is_possible_is_unknown() -> None:
    finding = judged(Run().probes((10, 12)).expect("write_outage", max=2.01))
    assert finding.verdict is Verdict.UNKNOWN
    assert finding.summary.endswith("which lies between its bounds")


def test_a_longer_gap_flips_the_verdict() -> None:
    assert judged(Run().probes((10, 12)).expect("write_outage", max=5)).verdict is Verdict.PASS
    assert judged(Run().probes((10, 18)).expect("write_outage", max=5)).verdict is Verdict.FAIL


def test_without_probes_a_bound_is_unknown() -> None:
    finding = judged(Run().expect("write_outage", max=1))
    assert (finding.verdict, finding.summary) == (Verdict.UNKNOWN, "write_outage could not be measured")


def test_without_a_bound_nothing_is_judged_but_all_is_told() -> None:
    finding = judged(Run().probes((10, 12)))
    assert finding.verdict is Verdict.PASS
    assert finding.summary.startswith("write_outage 2.01 s (2.00 … 2.02); read_outage was not measured")


def test_a_run_without_a_fault_shows_no_outage_but_its_longest_gap() -> None:
    finding = judged(Run().probes())
    assert (found(finding, "write_outage").value, finding.evidence) == (0, [])
    assert found(finding, "write_outage").upper == pytest.approx(0.022)
    assert finding.notes == ["write_outage: az-a kept: no outage; the longest gap between acknowledgements was 0.022 s"]


def test_a_pause_shorter_than_the_deadline_shows_only_as_the_longest_gap() -> None:
    finding = judged(Run().probes((10, 10.08)))
    assert found(finding, "write_outage").value == 0
    assert found(finding, "write_outage").upper == pytest.approx(0.102)


def test_the_worst_zone_is_the_headline_and_each_lane_is_told() -> None:
    run = Run().probes((10, 11)).probes((10, 14), zone="az-b").probes((10, 16), zone="az-b", lane="fresh", every=0.2)
    measured = found(judged(run), "write_outage")
    assert sorted(measured.by) == ["az-a kept", "az-b fresh", "az-b kept"]
    assert measured.value == measured.by["az-b kept"].value == pytest.approx(4.01)
    assert measured.by["az-b fresh"].value == pytest.approx(6.1)


def test_the_longest_single_outage_counts_and_their_sum_is_told() -> None:
    measured = found(judged(Run().probes((5, 6), (10, 13))), "write_outage")
    assert measured.value == pytest.approx(3.01)
    assert measured.by["az-a kept total"].value == pytest.approx(4.02)


def test_reads_and_writes_are_measured_apart() -> None:
    finding = judged(Run().probes((10, 12)).probes((10, 11), kind="read", endpoint="reader"))
    assert found(finding, "write_outage").value == pytest.approx(2.01)
    assert found(finding, "read_outage").value == pytest.approx(1.01)


def test_probes_of_a_node_are_no_probes_of_the_endpoint() -> None:
    finding = judged(Run().probes().probes((10, 20), endpoint="node:pg-a"))
    assert found(finding, "write_outage").value == 0


def test_an_outage_that_was_not_over_fails_any_bound() -> None:
    finding = judged(Run(end=30).probes((20, 99)).expect("write_outage", max=3600))
    assert finding.verdict is Verdict.FAIL
    assert found(finding, "write_outage").upper is None
    assert "not over when measuring ended" in finding.summary
    assert "write_outage: az-a kept: not recovered; the last acknowledged probe started at 19.98 s" in finding.notes


def test_an_outage_that_was_capped_to_a_few_probes_is_still_open() -> None:
    run = Run(end=30).probes(stop=20).expect("write_outage", max=3600)
    for number in range(500):
        at = 20 + number * 0.02
        run.operation(at, UNKNOWN, takes=0.1, lane="kept") if number < 3 else run.operation(at, NOT_SENT, takes=0, lane="kept")
    assert judged(run).verdict is Verdict.FAIL


def test_a_probe_without_its_whole_deadline_before_the_end_is_no_evidence() -> None:
    run = Run(end=30).probes(stop=29.95).operation(29.96, UNKNOWN, takes=0.03, lane="kept")
    assert found(judged(run), "write_outage").value == 0


def test_probes_that_fell_silent_make_it_unknown() -> None:
    finding = judged(Run(end=30).probes(stop=20))
    assert finding.verdict is Verdict.UNKNOWN
    assert "az-a kept: neither an answer nor a failure in the last 10.02 s" in finding.summary


def test_probes_that_were_never_sent_make_it_unknown() -> None:
    run = Run()
    for second in range(30):
        run.operation(second, NOT_SENT, takes=0, lane="kept")
    assert judged(run).verdict is Verdict.UNKNOWN


def test_records_that_contradict_each_other_make_it_unknown() -> None:
    finding = judged(Run().probes().operation(12, OK, takes=-3, lane="kept"))
    assert finding.verdict is Verdict.UNKNOWN
    assert "az-a kept: 1 probes ended before they started" in finding.summary


def test_a_lower_bound_above_the_upper_one_makes_the_lane_unusable() -> None:
    contradictory = Gap(ns(10), ns(11), ns(10), ns(15), allowance=0, surely_from=ns(10), surely_until=ns(15))
    lane = Lane("az-a", "kept", [contradictory], longest_s=1, silent_s=0, ok=9, failing=1, not_sent=0)
    assert lane.unusable == "az-a kept: an outage of at least 5.000 s and at most 1.000 s cannot be"


def test_a_probe_that_was_not_sent_is_no_evidence_of_failing() -> None:
    run = Run().probes(stop=10).probes(start=12)
    for number in range(100):
        run.operation(10 + number * 0.02, NOT_SENT, takes=0, lane="kept", error="no connection free")
    lower, upper = bounds(found(judged(run), "write_outage"))
    assert lower == 0
    assert upper == pytest.approx(2.022)


def test_an_answer_that_came_late_proves_the_outage_until_then() -> None:
    def run(answered: float | None) -> Run:
        return Run().probes(stop=10).operation(10, UNKNOWN, takes=0.1, answered=answered, lane="kept").probes(start=12)

    assert found(judged(run(None)), "write_outage").lower == pytest.approx(0.096)
    assert found(judged(run(11.9)), "write_outage").lower == pytest.approx(1.896)


def test_a_parked_connection_that_answers_after_service_is_back_does_not_lengthen_it() -> None:
    run = Run().probes(stop=10).operation(10, UNKNOWN, takes=0.1, answered=20, lane="kept").probes(start=12)
    lower, upper = bounds(found(judged(run), "write_outage"))
    assert lower <= 2.0 <= upper
    assert upper == pytest.approx(2.022)


def test_parked_connections_answered_one_by_one_do_not_overstate_the_lower_bound() -> None:
    run = Run().probes(stop=10)
    for number, answered in enumerate((12.001, 12.03, 12.06)):
        run.operation(10 + number * 0.02, UNKNOWN, takes=0.1, answered=answered, lane="kept")
    lower, upper = bounds(found(judged(run.probes(start=12.08)), "write_outage"))
    assert lower <= 2.0 <= upper


def test_a_probe_without_an_end_says_nothing() -> None:
    run = Run().probes(stop=10).operation(10, UNKNOWN, takes=None, lane="kept").probes(start=10.02)
    assert found(judged(run), "write_outage").value == 0


def test_probes_from_before_the_steady_state_do_not_count() -> None:
    assert found(judged(Run(steady=10).probes((2, 8))), "write_outage").value == 0


def test_an_outage_from_the_first_probe_on_counts() -> None:
    assert found(judged(Run().probes((0, 3))), "write_outage").value == pytest.approx(3, abs=0.02)


def test_a_slow_lane_is_not_down_between_two_probes() -> None:
    assert found(judged(Run().probes(every=1.0, lane="kept")), "write_outage").value == 0


def test_the_longest_outage_comes_first_in_the_evidence() -> None:
    evidence = judged(Run().probes((5, 6), (10, 13))).evidence
    assert [round(row["upper_s"], 3) for row in evidence] == [3.022, 1.022]
    assert evidence[0]["lane"] == "az-a kept"


def test_an_answer_that_overtook_a_slow_one_keeps_the_bounds_narrow() -> None:
    run = Run().probes((10.1, 12.1)).operation(10, OK, takes=0.085, lane="kept")
    assert found(judged(run), "write_outage").upper == pytest.approx(12.102 - 10.08)


def test_a_late_answer_that_was_ok_is_an_acknowledgement() -> None:
    run = Run().probes(stop=10).operation(10, UNKNOWN, takes=0.1, answered=12, lane="kept", error=LATE_OK).probes(start=12.2)
    lower, upper = bounds(found(judged(run), "write_outage"))
    assert lower == pytest.approx(1.996)
    assert upper == pytest.approx(2.02)


def test_a_late_answer_that_was_ok_ends_nothing_when_a_later_probe_failed() -> None:
    run = Run().probes(stop=10).operation(10, UNKNOWN, takes=0.1, answered=12, lane="kept", error=LATE_OK)
    _, upper = bounds(found(judged(run.operation(12.1, FAILED, lane="kept").probes(start=12.2)), "write_outage"))
    assert upper == pytest.approx(2.222)


def sharded() -> Run:
    """Two shards, each with a writer of its own; the first one's node was hit."""
    nodes = [{"name": f"mc-{n}", "zone": "az-a", "role": "database", "shard": f"mc-{n}"} for n in (1, 2)]
    made = Run(topology={"name": "t", "zones": ["az-a"], "nodes": nodes}).fault(10, 12, hit=("mc-1",))
    return made.probes((10, 12), endpoint="writer:mc-1")


def test_the_worst_shard_is_the_headline_and_what_was_not_hit_is_told_apart() -> None:
    finding = judged(sharded().probes(endpoint="writer:mc-2").expect("write_outage_elsewhere", max=0.5))
    assert bounds(found(finding, "write_outage"))[0] > 1.8
    assert set(found(finding, "write_outage").by) == {"az-a kept of mc-1", "az-a kept of mc-2"}
    assert found(finding, "write_outage_elsewhere").value == 0
    assert finding.verdict is Verdict.PASS


def test_an_outage_of_a_shard_that_was_not_hit_fails_a_bound_on_it() -> None:
    finding = judged(sharded().probes((10, 11.5), endpoint="writer:mc-2").expect("write_outage_elsewhere", max=0.5))
    assert finding.verdict is Verdict.FAIL


def test_without_shards_there_is_no_elsewhere_and_a_bound_on_it_is_unknown() -> None:
    assert judged(Run().probes().expect("write_outage_elsewhere", max=1)).verdict is Verdict.UNKNOWN
