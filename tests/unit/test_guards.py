"""Is a run ended when it has lasted too long or become worse than its scenario bears, and only then?

What clients see is written as probes write it, with the times of a run that began two minutes ago.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.clock import MILLISECOND_NS, SECOND_NS, now_ns
from harness.errors import Aborted
from harness.guards import Guards
from harness.readings import Readings
from harness.recording import Notes, Outcome, Recorder
from harness.scenario import AbortIf, Scenario, SteadyState, Use

ZONES = ("az-a", "az-b")
BEGAN_S = 120


def scenario(abort_if: AbortIf, max_runtime_s: float = 600) -> Scenario:
    return Scenario(
        "a/test", Path("test.yaml"), "", "A test", Use("none", None), (), SteadyState(),
        max_runtime_s=max_runtime_s, abort_if=abort_if,
    )  # fmt: skip


class Seen:
    """What the probes of two zones saw; times are seconds before now."""

    def __init__(self, folder: Path) -> None:
        self.now = now_ns()
        self.folder = folder
        self._recorders = {zone: Recorder(folder, f"probe-{zone}", zone) for zone in ZONES}
        self._notes = Notes(folder / "probe-az-a.events")

    def probes(
        self, zone: str, since_s: float, until_s: float, outcome: Outcome = Outcome.OK, *, endpoint: str = "writer"
    ) -> Seen:
        """Kept probes ten times a second."""
        recorder = self._recorders[zone]
        codes = (
            recorder.name("lane", "kept"),
            recorder.name("kind", "probe_write" if endpoint == "writer" else "read"),
            recorder.name("endpoint", endpoint),
        )
        for at in range(self.now - round(since_s * SECOND_NS), self.now - round(until_s * SECOND_NS), 100 * MILLISECOND_NS):
            record = recorder.begin(*codes, client=0, intended=at, started=at)
            recorder.end(record, outcome, at + 2 * MILLISECOND_NS)
        return self

    def roles(self, **said: str) -> Seen:
        for node, role in said.items():
            self._notes.write("role", now_ns(), node=node.replace("_", "-"), role=role)
        return self

    def guards(self, abort_if: AbortIf) -> Guards:
        return Guards(scenario(abort_if), ZONES, Readings(self.folder), self.now - BEGAN_S * SECOND_NS)


def ended(guards: Guards) -> str:
    """Why a run is ended now; empty when it is not."""
    guards._looked = 0
    try:
        guards.check()
    except Aborted as reason:
        return str(reason)
    return ""


@pytest.mark.parametrize(("max_runtime_s", "because"), [(600, ""), (119, "max_runtime of 119 s is over")])
def test_a_run_is_ended_when_its_time_is_over(tmp_path: Path, max_runtime_s: float, because: str) -> None:
    guards = Guards(scenario(AbortIf(), max_runtime_s), ZONES, Readings(tmp_path), _began=now_ns() - BEGAN_S * SECOND_NS)
    assert ended(guards) == because


def test_nothing_is_asked_before_the_first_probe_is_due(tmp_path: Path) -> None:
    guards = Guards(scenario(AbortIf(write_outage_s=1, no_primary_s=0.001)), ZONES, Readings(tmp_path))
    assert ended(guards) == ""
    guards.first_at = now_ns() + 60 * SECOND_NS
    assert ended(guards) == ""


def test_an_outage_is_one_zones_and_counts_from_its_last_acknowledged_write(tmp_path: Path) -> None:
    seen = Seen(tmp_path).probes("az-a", 120, 0).probes("az-b", 120, 40).probes("az-b", 40, 0, Outcome.UNKNOWN)
    assert ended(seen.guards(AbortIf(write_outage_s=41))) == ""
    assert ended(seen.guards(AbortIf(write_outage_s=39))) == "abort_if: the write outage of clients in az-b is longer than 39 s"


def test_a_zone_that_never_had_an_answer_has_been_out_since_the_beginning(tmp_path: Path) -> None:
    seen = Seen(tmp_path).probes("az-a", 120, 0)
    assert ended(seen.guards(AbortIf(write_outage_s=121))) == ""
    assert "az-b is longer than 119 s" in ended(seen.guards(AbortIf(write_outage_s=119)))


def test_reads_have_an_outage_of_their_own(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    for zone in ZONES:
        seen.probes(zone, 120, 0).probes(zone, 120, 30, endpoint="reader")
    assert ended(seen.guards(AbortIf(write_outage_s=5, read_outage_s=31))) == ""
    assert "the read outage of clients in az-a is longer than 29 s" in ended(seen.guards(AbortIf(read_outage_s=29)))


def test_success_is_that_of_all_zones_over_the_last_ten_seconds(tmp_path: Path) -> None:
    seen = Seen(tmp_path).probes("az-a", 120, 0).probes("az-b", 120, 20).probes("az-b", 20, 0, Outcome.FAILED)
    assert ended(seen.guards(AbortIf(write_success=0.49))) == ""
    assert "write success is below 0.51: 100 of 200 probes in 10 s were ok" in ended(seen.guards(AbortIf(write_success=0.51)))


def test_where_no_probe_could_even_be_sent_nobody_was_served(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    for zone in ZONES:
        seen.probes(zone, 120, 30).probes(zone, 30, 0, Outcome.NOT_SENT)
    assert "0 of 0 probes" in ended(seen.guards(AbortIf(write_success=0.01)))


@pytest.mark.parametrize(
    ("said", "because"),
    [
        ({"pg_a": "replica", "pg_b": "replica"}, "abort_if: no node has called itself primary for 5 s"),
        ({"pg_a": "primary", "pg_b": "primary"}, "abort_if: pg-a and pg-b have both called themselves primary for 7 s"),
        ({"pg_a": "primary", "pg_b": "replica"}, ""),
    ],
    ids=["none", "two", "one"],
)
def test_primaries_are_counted_once_they_are_wrong_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Mapping[str, str], because: str
) -> None:
    seen = Seen(tmp_path)
    guards = seen.guards(AbortIf(no_primary_s=5, two_primaries_s=7))
    seen.roles(**said)
    assert ended(guards) == "", "what has just been seen has not lasted yet"
    later = now_ns() + 4 * SECOND_NS
    monkeypatch.setattr("harness.guards.now_ns", lambda: later)
    assert ended(guards) == ""
    last = now_ns() + 8 * SECOND_NS
    monkeypatch.setattr("harness.guards.now_ns", lambda: last)
    assert ended(guards) == because


def test_a_primary_that_came_back_starts_the_count_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen(tmp_path)
    guards = seen.guards(AbortIf(no_primary_s=5))
    began = now_ns()
    for after_s, role in ((0, "replica"), (4, "primary"), (8, "replica"), (12, "replica")):
        seen.roles(pg_a=role)
        monkeypatch.setattr("harness.guards.now_ns", lambda after_s=after_s: began + after_s * SECOND_NS)
        assert ended(guards) == ""


def test_a_run_without_guards_goes_on_whatever_it_sees(tmp_path: Path) -> None:
    assert ended(Seen(tmp_path).guards(AbortIf())) == ""


def test_each_shard_has_to_have_a_primary_and_only_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen(tmp_path)
    guards = seen.guards(AbortIf(no_primary_s=5, two_primaries_s=5))
    guards.shards = {"pg-a": "1", "pg-b": "2", "pg-c": "2"}
    began = now_ns()
    for after_s, said in ((0, {"pg_a": "primary", "pg_b": "primary", "pg_c": "replica"}), (8, {"pg_a": "replica"}), (14, {})):
        monkeypatch.setattr("harness.guards.now_ns", lambda after_s=after_s: began + after_s * SECOND_NS)
        seen.roles(**said)
        assert ended(guards) == ("abort_if: no node of 1 has called itself primary for 5 s" if after_s == 14 else "")
