"""A history folder is read whole or cut off, and says what could not be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.history import NOTHING, Outcome, empty_operations, read
from harness.recording import Recorder
from tests.unit.histories import FAILED, Run, ns

ORIGIN = 1_000_000


def write_events(folder: Path, *events: dict[str, Any], **run: Any) -> None:
    first = {"at": ORIGIN, "event": "run", "topology": {"zones": ["az-a"], "nodes": []}, **run}
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (first, *events)))


def record(folder: Path, process: str, zone: str, *values: int, endpoint: str = "writer", payload: object = None) -> None:
    """One acknowledged write a value, at `value` ns after the origin."""
    recorder = Recorder(folder, process, zone)
    lane, kind, where = [
        recorder.name(column, word) for column, word in (("lane", "workload"), ("kind", "write"), ("endpoint", endpoint))
    ]
    for value in values:
        reference = recorder.payload(payload) if payload is not None else 0
        at = recorder.begin(
            lane, kind, where, client=0, intended=ORIGIN + value, started=ORIGIN + value, value=value, payload=reference
        )
        recorder.end(at, Outcome.OK, ORIGIN + value + 1)
    recorder.close()


def test_recordings_of_several_processes_become_one_time_line(tmp_path: Path) -> None:
    write_events(tmp_path)
    record(tmp_path, "load-a", "az-a", 10, 30)
    record(tmp_path, "load-b", "az-b", 20, endpoint="reader")
    operations = read(tmp_path).operations
    assert operations["intended"].tolist() == [10, 20, 30]
    assert operations.words("zone").tolist() == ["az-a", "az-b", "az-a"]
    assert operations.words("endpoint").tolist() == ["writer", "reader", "writer"]
    assert operations["answered"].tolist() == [NOTHING] * 3


def test_payloads_are_kept_by_process_and_reference(tmp_path: Path) -> None:
    write_events(tmp_path)
    record(tmp_path, "load-a", "az-a", 10, 20, payload={"from": 1, "to": 2})
    assert read(tmp_path).payloads == {"load-a": {1: {"from": 1, "to": 2}, 2: {"from": 1, "to": 2}}}


def test_events_of_client_nodes_are_merged_by_time(tmp_path: Path) -> None:
    write_events(tmp_path, {"at": ORIGIN + 5, "event": "phase", "phase": "steady"})
    (tmp_path / "probe-a.events").write_text(json.dumps({"at": ORIGIN + 2, "event": "role", "node": "pg-a"}) + "\n")
    assert [(event.at, event.name) for event in read(tmp_path).events] == [(2, "role"), (5, "phase")]


def test_a_folder_without_a_first_event_is_no_history(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no history here"):
        read(tmp_path)


def test_a_recording_that_cannot_be_read_is_left_out_and_said(tmp_path: Path) -> None:
    write_events(tmp_path)
    record(tmp_path, "load-a", "az-a", 10)
    (tmp_path / "load-b.ops").write_bytes(b"damaged" * 20)
    history = read(tmp_path)
    assert len(history.operations) == 1
    assert history.notes == ("load-b.ops left out: not a recording of this version",)


@pytest.mark.parametrize("file", ["events.jsonl", "load-a.events", "load-a.names"])
@pytest.mark.parametrize("rest", ['{"at": 17, "event": "ro', '{"at": 17, "ev\n', "[]\n"])
def test_a_line_that_is_cut_off_or_damaged_is_left_out_and_said(tmp_path: Path, file: str, rest: str) -> None:
    write_events(tmp_path)
    record(tmp_path, "load-a", "az-a", 10)
    with open(tmp_path / file, "a", encoding="utf-8") as lines:
        lines.write(rest)
    history = read(tmp_path)
    assert history.notes == (f"{file}: cut off or damaged; lines left out: 1",)
    assert (len(history.operations), history.events) == (1, [])


def test_a_history_without_operations_can_be_read(tmp_path: Path) -> None:
    write_events(tmp_path)
    history = read(tmp_path)
    assert len(history.operations) == len(empty_operations()) == 0
    assert history.end == 0


def test_a_fault_is_put_together_from_its_events() -> None:
    history = Run().fault(10, 12, id_="cut", kind="partition", target="zone of writer", hit=["az-a"]).history()
    (fault,) = history.faults
    assert (fault.injecting, fault.injected, fault.healing, fault.healed) == (ns(10), ns(10), ns(12), ns(12))
    assert (fault.kind, fault.hit, fault.witnessed) == ("partition", ["az-a"], True)


def test_a_planned_fault_that_never_fired_is_there_without_times() -> None:
    planned = {"id": "cut", "kind": "partition", "target": "zone of writer"}
    (fault,) = Run(faults=[planned]).history().faults
    assert fault.injected is None
    assert not fault.witnessed


def test_a_fault_that_failed_keeps_its_error() -> None:
    planned = {"id": "cut", "kind": "partition", "target": "writer"}
    (fault,) = Run().event(5, "fault", **planned, stage="failed", error="no such zone").history().faults
    assert fault.error == "no such zone"


def test_words_select_operations_and_unknown_words_select_none() -> None:
    operations = Run().operation(1).operation(2, FAILED, lane="kept").history().operations
    assert operations.where(lane="kept")["intended"].tolist() == [ns(2)]
    assert operations.where(lane=["kept", "workload"])["intended"].tolist() == [ns(1), ns(2)]
    assert len(operations.where(lane="no such lane")) == 0


def test_measuring_ends_with_the_final_reads_or_else_with_the_last_thing_known() -> None:
    assert Run(end=30).operation(29, takes=5).history().end == ns(30)
    run = Run(end=30).operation(29, takes=5)
    run.events = [event for event in run.events if event.data["phase"] != "final_reads"]
    assert run.history().end == ns(34)
