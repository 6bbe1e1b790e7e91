"""Whatever moment a process dies at, its recording holds whole records only."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import DiskError
from harness.history import names_of, read, read_recording
from harness.recording import (
    BEGIN,
    END,
    GROWTH_BYTES,
    HEADER,
    LATE_OK,
    NOTHING,
    RECORD_BYTES,
    Notes,
    Outcome,
    Recorder,
    read_lines,
)

ROOM = (GROWTH_BYTES - HEADER.size) // RECORD_BYTES  # records in a file before it grows


def record(recorder: Recorder, value: int, outcome: Outcome | None = Outcome.OK) -> int:
    lane, kind, where = [
        recorder.name(column, word) for column, word in (("lane", "kept"), ("kind", "write"), ("endpoint", "writer"))
    ]
    at = recorder.begin(lane, kind, where, client=7, intended=value * 10, started=value * 10 + 1, key=3, value=value)
    if outcome is not None:
        recorder.end(at, outcome, value * 10 + 5)
    return at


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "load-1", "az-a")
    at = record(recorder, 42, Outcome.FAILED)
    recorder.answered(at, 999)
    recorder.close()
    (row,) = read_recording(tmp_path / "load-1.ops")
    assert (row["key"], row["value"], row["client"], row["outcome"]) == (3, 42, 7, Outcome.FAILED)
    assert (row["intended"], row["started"], row["ended"], row["answered"]) == (420, 421, 425, 999)


def test_a_late_answer_that_was_ok_says_so_and_stays_unknown(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "load-1", "az-a")
    at = record(recorder, 42, Outcome.UNKNOWN)
    recorder.answered(at, 999, ok=True)
    recorder.close()
    (row,) = read_recording(tmp_path / "load-1.ops")
    assert row["outcome"] == Outcome.UNKNOWN
    assert names_of(tmp_path / "load-1.names")["error"][int(row["error"])] == LATE_OK


def test_an_operation_under_way_is_unknown_and_has_no_end(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "load-1", "az-a")
    record(recorder, 1, None)
    (row,) = read_recording(tmp_path / "load-1.ops")
    assert (row["outcome"], row["ended"], row["answered"]) == (Outcome.UNKNOWN, NOTHING, NOTHING)
    recorder.close()


def test_an_end_that_was_not_written_whole_is_none(tmp_path: Path) -> None:
    """Its last field, when it ended, is what makes it count: a process that is killed before that has ended nothing."""
    recorder = Recorder(tmp_path, "load-1", "az-a")
    record(recorder, 1)
    recorder.close()
    path = tmp_path / "load-1.ops"
    content = bytearray(path.read_bytes())
    ended = HEADER.size + BEGIN.size + END.size - 8
    content[ended : ended + 8] = bytes(8)
    path.write_bytes(content)
    (row,) = read_recording(path)
    assert (row["outcome"], row["ended"]) == (Outcome.UNKNOWN, NOTHING)


def test_what_was_not_sent_has_no_start(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "load-1", "az-a")
    recorder.not_sent(0, 0, 0, client=1, intended=5, error=recorder.name("error", "cap"), ended=6)
    recorder.close()
    (row,) = read_recording(tmp_path / "load-1.ops")
    assert (row["outcome"], row["started"], row["ended"], row["error"]) == (Outcome.NOT_SENT, NOTHING, 6, 1)


def test_a_recording_grows_beyond_its_first_extent(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "load-1", "az-a")
    for value in range(ROOM + 5):
        record(recorder, value)
    recorder.close()
    rows = read_recording(tmp_path / "load-1.ops")
    assert rows["value"].tolist() == list(range(ROOM + 5))
    assert (tmp_path / "load-1.ops").stat().st_size == HEADER.size + (ROOM + 5) * RECORD_BYTES


def test_a_file_that_was_never_closed_holds_only_what_was_recorded(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "load-1", "az-a")
    record(recorder, 1)
    assert (tmp_path / "load-1.ops").stat().st_size == GROWTH_BYTES
    assert len(read_recording(tmp_path / "load-1.ops")) == 1
    recorder.close()


def test_reading_on_skips_what_was_read_before(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "load-1", "az-a")
    for value in range(5):
        record(recorder, value)
    recorder.close()
    assert read_recording(tmp_path / "load-1.ops", skip=3)["value"].tolist() == [3, 4]


@pytest.mark.parametrize(("content", "reason"), [(b"HARN", "cut off"), (b"x" * 64, "not a recording")])
def test_a_file_that_is_no_recording_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "load-1.ops").write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        read_recording(tmp_path / "load-1.ops")


def test_a_second_recorder_of_the_same_name_cannot_overwrite_the_first(tmp_path: Path) -> None:
    Recorder(tmp_path, "load-1", "az-a").close()
    with pytest.raises(FileExistsError):
        Recorder(tmp_path, "load-1", "az-a")


def test_a_killed_process_loses_nothing_that_it_recorded(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from harness.recording import Outcome, Recorder
recorder = Recorder(Path(sys.argv[1]), "load-1", "az-a")
for value in range(1000):
    reference = recorder.payload({"of": value})
    at = recorder.begin(0, 0, 0, client=0, intended=value, started=value, value=value, payload=reference)
    recorder.end(at, Outcome.OK, value + 1)
recorder.begin(0, 0, 0, client=0, intended=1000, started=1000, value=1000)
print("recorded", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout
        assert process.stdout.readline() == "recorded\n"
        os.kill(process.pid, signal.SIGKILL)
    rows = read_recording(tmp_path / "load-1.ops")
    assert rows["value"].tolist() == list(range(1001))
    assert rows["ended"].tolist() == [*range(1, 1001), NOTHING]
    Notes(tmp_path / "events.jsonl").write("run", 0)
    whole = read(tmp_path)
    assert whole.payloads == {"load-1": {value + 1: {"of": value} for value in range(1000)}}
    assert not whole.notes


def test_payloads_grow_beyond_the_first_extent_and_are_cut_to_what_they_hold(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "load-1", "az-a")
    long = "x" * (GROWTH_BYTES // 2)
    assert [recorder.payload([long, number]) for number in range(5)] == [1, 2, 3, 4, 5]
    recorder.close()
    Notes(tmp_path / "events.jsonl").write("run", 0)
    assert read(tmp_path).payloads == {"load-1": {number + 1: [long, number] for number in range(5)}}
    assert (tmp_path / "load-1.payloads").stat().st_size < 3 * GROWTH_BYTES


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "some.events"
    notes = Notes(path)
    notes.write("role", 5, node="pg-a")
    notes.close()
    with open(path, "a", encoding="utf-8") as file:
        file.write('not json\n[1]\n{"at": 6, "eve')
    assert list(read_lines(path)) == [{"at": 5, "event": "role", "node": "pg-a"}]
    assert list(read_lines(tmp_path / "missing")) == []


def test_names_are_noted_once_and_in_order(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "load-1", "az-a")
    assert [recorder.name("error", word) for word in ("reset", "refused", "reset")] == [1, 2, 1]
    recorder.close()
    lines = [json.loads(line) for line in (tmp_path / "load-1.names").read_text().splitlines()]
    assert lines[0] == {"process": "load-1", "zone": "az-a"}
    assert [line["name"] for line in lines[1:]] == ["", "reset", "refused"]


# --- a disk that takes nothing more; the kernel refuses files beyond a limit just as it refuses a full disk ---

RECORD_UNTIL_REFUSED = """
import resource, sys
from pathlib import Path
from harness.errors import DiskError
from harness.recording import GROWTH_BYTES, Recorder
folder, limit = Path(sys.argv[1]), int(sys.argv[2])
recorder = Recorder(folder, "load-1", "az-a")
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    for value in range(3 * GROWTH_BYTES // 64):
        at = recorder.begin(0, 0, 0, client=1, intended=value, started=value, value=value)
        recorder.end(at, 1, value + 1)
except DiskError as refused:
    print(value, refused)
    try:
        recorder.check()
    except DiskError as again:
        print(again)
"""


def test_room_for_records_is_taken_before_they_are_written(tmp_path: Path) -> None:
    """Else a record would be written into a page that a full disk has no room for, and the process would die of it."""
    recorder = Recorder(tmp_path, "load-1", "az-a")
    for value in range(ROOM + 1):
        record(recorder, value)
        if value in (0, ROOM):
            file = (tmp_path / "load-1.ops").stat()
            assert file.st_blocks * 512 >= file.st_size >= GROWTH_BYTES
    recorder.close()


def test_a_full_disk_ends_the_recording_in_one_line_and_loses_nothing_before(tmp_path: Path) -> None:
    limit = GROWTH_BYTES + 1000
    command = [sys.executable, "-c", RECORD_UNTIL_REFUSED, str(tmp_path), str(limit)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    refused, again = ran.stdout.splitlines()
    said = f"{tmp_path}/load-1.ops cannot be written: File too large; make room there, and run it again"
    assert (refused, again) == (f"{ROOM} {said}", said)
    rows = read_recording(tmp_path / "load-1.ops")
    assert list(rows["value"]) == list(range(ROOM))


def test_a_full_disk_refuses_payloads_in_the_same_words_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(tmp_path, "load-1", "az-a")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    for _ in range(2):
        with pytest.raises(DiskError, match=r"load-1\.payloads cannot be written: No space left on device"):
            recorder.payload({"of": 1})
    with pytest.raises(DiskError):
        recorder.check()


def test_a_lost_note_raises_nothing_where_it_is_written_but_is_not_passed_over(tmp_path: Path) -> None:
    """Threads note while they heal: that must not be what keeps them from healing."""
    path = tmp_path / "events.jsonl"
    path.symlink_to("/dev/full")
    notes = Notes(path)
    notes.check()
    notes.write("phase", 1, phase="steady")
    with pytest.raises(DiskError, match=r"events\.jsonl cannot be written: No space left on device"):
        notes.check()
    notes.close()


def test_a_note_that_was_cut_off_is_passed_over_with_what_follows_it_in_its_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    notes = Notes(path)
    notes.write("first", 1)
    with open(path, "a") as file:
        file.write('{"at": 2, "eve')  # the disk was full here, and had room again
    notes.write("third", 3)
    notes.write("fourth", 4)
    notes.close()
    assert [line["event"] for line in read_lines(path)] == ["first", "fourth"]


def test_what_a_read_saw_becomes_its_value(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "load-1", "az-a")
    at = recorder.begin(0, 0, 0, client=1, intended=1, started=2)
    recorder.end(at, Outcome.OK, 3, seen=77)
    record(recorder, 5)
    recorder.close()
    assert [int(row["value"]) for row in read_recording(tmp_path / "load-1.ops")] == [77, 5]
