"""Do the charts show what the history says? Small histories, values that can be counted by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness import series
from harness.clock import SECOND_NS
from harness.history import NOTHING, Event, FinalReads, History, Outcome, empty_operations
from harness.series import Span, Windows
from tests.unit.reporters.sample import Builder

OK, FAILED, UNKNOWN, NOT_SENT = Outcome.OK, Outcome.FAILED, Outcome.UNKNOWN, Outcome.NOT_SENT
NODES = [{"name": name, "zone": "az-a", "role": "database", "address": "10.0.0.1"} for name in ("pg-1", "pg-2")]
RUN = {"topology": {"zones": ["az-a"], "nodes": NODES}, "faults": [{"id": "cut", "kind": "partition", "target": "writer"}]}


def history(made: Builder | None = None, *events: tuple[float, str, dict[str, Any]], end_s: float = 10) -> History:
    """A run whose steady state begins at 0 s and whose measuring ends at `end_s`."""
    rows = [(0.0, "phase", {"phase": "steady"}), *events, (end_s, "phase", {"phase": "final_reads"})]
    told = [Event(round(at * SECOND_NS), name, data) for at, name, data in rows]
    return History(RUN, made.operations() if made else empty_operations(), told, FinalReads())


def probes(
    at_s: list[float], outcomes: list[Outcome], endpoint: str = "writer", kind: str = "probe_write", made: Builder | None = None
) -> Builder:
    """Kept probes of one zone, answered after 1 ms."""
    made = made or Builder()
    made.add(
        np.array(at_s), np.full(len(at_s), 0.001), np.array(outcomes), "refused",
        process="p", zone="az-a", lane="kept", kind=kind, endpoint=endpoint,
    )  # fmt: skip
    return made


def load(
    at_s: list[float], latency_s: list[float], outcomes: list[Outcome], errors: list[str] | str = "refused", kind: str = "write"
) -> Builder:
    """What one zone's users asked."""
    made = Builder()
    made.add(
        np.array(at_s), np.array(latency_s), np.array(outcomes), errors,
        process="l", zone="az-a", lane="workload", kind=kind, endpoint="writer",
    )  # fmt: skip
    return made


@pytest.mark.parametrize(("end_s", "width_s"), [(10, 0.1), (300, 0.1), (301, 0.2), (3600, 2), (36_000, 20)])
def test_windows_widen_with_the_run_and_cover_all_of_it(end_s: float, width_s: float) -> None:
    over = series.windows(history(end_s=end_s))
    assert over.width_s == width_s
    assert over.count <= series.WINDOWS_MAX
    assert over.start_s == 0
    assert over.end_s >= end_s


def test_windows_widen_when_few_operations_fall_into_them() -> None:
    made = load([i * 0.1 for i in range(100)], [0.001] * 100, [OK] * 100)
    told = history(made)
    assert series.windows(told, told.operations, per_window=5).width_s == 0.5
    assert series.windows(told, told.operations, per_window=1000).width_s == 0.5, "a run of 10 s keeps at least 20 windows"


def test_windows_begin_with_the_steady_state() -> None:
    told = history(None, end_s=20)
    later = replace(told, events=[Event(7_030_000_000, "phase", {"phase": "steady"}), told.events[-1]])
    assert series.windows(later).start_s == 7.0


def test_a_chart_ends_with_the_last_window_that_was_measured_to_its_end() -> None:
    told = history(load([i * 0.1 for i in range(108)], [0.001] * 108, [OK] * 108), end_s=10.7)
    over = series.windows(told, told.operations, per_window=5)
    assert (over.width_s, over.end_s) == (0.5, 10.5)
    assert series.throughput(series.clients(told), over)["writes"].tolist() == [10.0] * 21


def test_what_the_end_of_measuring_cut_off_is_in_no_chart_and_what_hung_before_is() -> None:
    asked = history(load([8.0, 9.9, 9.95, 10.01, 10.02], [0.001] * 5, [UNKNOWN, OK, UNKNOWN, OK, UNKNOWN]))
    asked.operations.columns["ended"][[0, 2, 4]] = NOTHING  # with a deadline of 1 s
    assert (series.clients(asked)["intended"] / SECOND_NS).tolist() == [8.0, 9.9]
    probed = history(probes([9.2, 9.4, 9.55, 9.9, 10.01], [UNKNOWN, OK, OK, UNKNOWN, UNKNOWN]))
    probed.operations.columns["ended"][[0, 3, 4]] = NOTHING  # with one of 0.5 s
    (strip,) = series.probe_strips(probed, series.windows(probed))
    assert [span.state for span in strip.spans] == ["unknown", "ok"]


def test_a_strip_follows_the_probes_and_a_window_shows_its_worst_answer() -> None:
    at = [i * 0.05 for i in range(200)]
    outcomes = [OK] * 200
    outcomes[41] = FAILED  # at 2.05 s, beside an ok one at 2.00 s
    outcomes[100:110] = [UNKNOWN] * 10  # 5.0 to 5.5 s
    outcomes[110:120] = [NOT_SENT] * 10  # 5.5 to 6.0 s
    told = history(probes(at, outcomes))
    (strip,) = series.probe_strips(told, series.windows(told))
    assert (strip.label, strip.group, strip.lane) == ("az-a", "writer", "kept")
    assert list(strip.spans) == [
        Span("ok", 0.0, 2.0), Span("failing", 2.0, 2.1), Span("ok", 2.1, 5.0),
        Span("unknown", 5.0, 5.5), Span("not sent", 5.5, 6.0), Span("ok", 6.0, 10.0),
    ]  # fmt: skip


def test_a_strip_bridges_the_pauses_between_probes_but_not_their_absence() -> None:
    told = history(probes([i * 0.5 for i in range(9)], [OK] * 9))  # the last one at 4.0 s, then none
    (strip,) = series.probe_strips(told, series.windows(told))
    assert list(strip.spans) == [Span("ok", 0.0, 5.6)], "three times the cadence after the last probe's window"


def test_operations_of_the_workload_are_not_in_the_strips() -> None:
    told = history(load([1.0], [0.001], [FAILED]))
    assert series.probe_strips(told, series.windows(told)) == []


def test_throughput_counts_when_operations_ended_and_all_that_was_not_ok_as_failed() -> None:
    over = Windows(0, 1, 3)
    made = load([0.1, 0.2, 0.95, 1.1, 1.2, 1.3], [0.01, 0.01, 0.2, 0.01, 0.5, 0.01], [OK, OK, OK, FAILED, UNKNOWN, NOT_SENT])
    found = series.throughput(made.operations(), over)
    assert found["writes"].tolist() == [2, 1, 0]
    assert found["failed"].tolist() == [0, 3, 0]
    assert found["reads"].tolist() == [0, 0, 0]


def test_latency_is_by_intended_start_and_of_what_was_ok() -> None:
    over = Windows(0, 1, 3)
    made = load([0.1, 0.2, 0.3, 0.9, 1.5], [0.010, 0.020, 0.030, 0.500, 0.001], [OK, OK, OK, OK, FAILED])
    found = series.latency(made.operations(), over)
    assert found["write_p50"][0] == pytest.approx(20)
    assert found["write_p99"][0] == pytest.approx(500), "answered in the next window, but meant to start in this one"
    assert np.isnan(found["write_p50"][1:]).all()
    assert np.isnan(found["read_p99"]).all()


def test_percentiles_are_nearest_rank() -> None:
    at = np.array([1] * 100 + [7, -1])
    values = np.concatenate([np.arange(100.0)[::-1], [5.0, 5.0]])
    p50, p99 = series.percentiles(at, values, 2, (0.5, 0.99))
    assert (p50[1], p99[1]) == (49, 98)
    assert np.isnan(p50[0])


def test_errors_are_split_by_class_and_the_rarest_are_other() -> None:
    words = ["a", "a", "a", "b", "b", "c", "d", ""]
    made = load([0.1] * 8, [0.01] * 8, [FAILED] * 7 + [UNKNOWN], words)
    found = series.errors(made.operations(), Windows(0, 1, 1), most=2)
    assert {word: row.tolist() for word, row in found.items()} == {"a": [3], "b": [2], "other": [3]}
    assert "no answer" in series.errors(made.operations(), Windows(0, 1, 1))


def role(at_s: float, node: str, is_now: str) -> tuple[float, str, dict[str, Any]]:
    return (at_s, "role", {"node": node, "role": is_now})


def test_roles_hold_until_they_change_and_two_primaries_are_seen() -> None:
    told = history(
        None, role(0, "pg-1", "primary"), role(1, "pg-1", "primary"), role(0, "pg-2", "replica"),
        role(4, "pg-2", "primary"), role(6, "pg-1", "unknown"), role(8, "pg-1", "replica"),
    )  # fmt: skip
    strips = series.role_strips(told, series.windows(told))
    assert list(strips[0].spans) == [Span("primary", 0, 6), Span("unknown", 6, 8), Span("replica", 8, 10)]
    assert list(strips[1].spans) == [Span("replica", 0, 4), Span("primary", 4, 10)]
    assert series.overlaps(strips, "primary") == [Span("two primary", 4, 6)]


@pytest.mark.parametrize(("shards", "at_once"), [(("1", "2"), []), (("1", "1"), [Span("two primary", 2, 10)])])
def test_two_primaries_are_two_only_within_a_shard(shards: tuple[str, str], at_once: list[Span]) -> None:
    nodes = [node | {"shard": shard} for node, shard in zip(NODES, shards, strict=True)]
    plain = history(None, role(0, "pg-1", "primary"), role(2, "pg-2", "primary"))
    told = replace(plain, run={"topology": {"zones": ["az-a"], "nodes": nodes}})
    assert series.overlaps_in_shards(told, series.role_strips(told, series.windows(told)), "primary") == at_once


def test_slots_are_shown_with_whoever_owns_them() -> None:
    def owns(at_s: float, node: str, slots: str, **moving: int) -> tuple[float, str, dict[str, Any]]:
        return (at_s, "role", {"node": node, "role": "primary", "slots": slots, **moving})

    told = history(
        None, owns(0, "pg-1", "0-99 200"), role(0, "pg-2", "replica"), owns(2, "pg-1", "0-99", moving=3),
        owns(3, "pg-1", "0-99", moving=3), owns(4, "pg-2", "200"), owns(5, "pg-1", ""),
    )  # fmt: skip
    strips = series.slot_strips(told, series.windows(told))
    assert list(strips["pg-1"].spans) == [Span("101 slots", 0, 2), Span("100 slots, 3 on their way", 2, 5)]
    assert list(strips["pg-2"].spans) == [Span("1 slot", 4, 10)]
    plain = history(None, role(0, "pg-1", "primary"))
    assert series.slot_strips(plain, series.windows(plain)) == {}


def test_a_primary_that_follows_another_at_once_is_no_overlap() -> None:
    told = history(None, role(0, "pg-1", "primary"), role(4, "pg-1", "replica"), role(4, "pg-2", "primary"))
    assert series.overlaps(series.role_strips(told, series.windows(told)), "primary") == []


def test_a_node_that_acknowledges_writes_itself_is_shown() -> None:
    at = [i * 0.1 for i in range(100)]
    told = history(probes(at, [OK] * 30 + [FAILED] * 70, endpoint="node:pg-1"))
    strips = series.write_strips(told, series.windows(told))
    assert list(strips) == ["pg-1"]
    assert list(strips["pg-1"].spans) == [Span("ok", 0.0, 3.0)]


def test_phases_and_faults_reach_to_the_end_when_nothing_ends_them() -> None:
    fired = {"id": "cut", "kind": "partition", "target": "writer", "stage": "injecting", "hit": ["pg-1"]}
    told = history(None, (3, "phase", {"phase": "faults"}), (3, "fault", fired))
    over = series.windows(told)
    assert series.phases(told, over) == [Span("steady", 0, 3), Span("faults", 3, 10)]
    assert series.fault_windows(told, over) == {"cut": Span("partition", 3, 10)}


def test_a_history_without_operations_gives_empty_series() -> None:
    told = history()
    over = series.windows(told)
    assert series.probe_strips(told, over) == []
    assert series.errors(told.operations, over) == {}
    assert np.isnan(series.latency(told.operations, over)["read_p50"]).all()
    assert not series.throughput(told.operations, over)["failed"].any()
