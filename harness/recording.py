"""How is an operation kept, so that a SIGKILL of its process loses nothing?

One memory-mapped file per process, one fixed-size record per operation. A record
is reserved when the operation starts, as unknown, and its end is written last:
whatever moment the process dies at, the file holds whole records only. The kernel
owns the pages, so only the machine's own loss can take them.

Beginning and ending are one write each, whose last field is the one that makes it count: `begun`, and when it `ended`.

What one number does not say of an operation is mapped memory, too: a line of JSON, whole before the record that refers to it.

A record is lost when the disk is full. The room for records is taken before they are, since a page that the disk has no
room for would end the process by SIGBUS; and what could not be written is not passed over: `check` raises.

This module needs nothing but the standard library, since it runs in client nodes.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any

from harness.errors import DiskError

MAGIC = b"HARNESS3"
HEADER = struct.Struct("<8sII48x")
# A record is these three parts, one after the other; what was not written is 0, which is no time on the run's clock.
BEGIN = struct.Struct("<qqqqIIHBBB")  # key, value, intended, started | client, payload | endpoint, lane, kind, begun
END = struct.Struct("<HBq")  # error, outcome, ended
ANSWERED = struct.Struct("<q")
RECORD_BYTES = BEGIN.size + END.size + ANSWERED.size
GROWTH_BYTES = 1 << 20  # added to a file at a time: 16,384 records
OLDEST = 0  # the value of a read that found what was there before anything was written, or nothing at all
NOTHING = -1  # a key, value, time or answer that there is not
VALUES_PER_PROCESS = 1 << 40  # each process numbers its writes from a base of its own, so that no two are equal
OBSERVE = "observe.jsonl"  # in a history's folder: nodes that come and go while it is recorded
LATE_OK = "deadline, then ok"  # the class of an operation whose answer came late, and was ok
# Of a probe whose packets may not have arrived: it proves that the path was dead when they were sent, and nothing for later,
# when only TCP's own back-off may have been waited for.
NOT_ARRIVED = ("deadline, not acknowledged", "connect deadline")
_ERROR, _VALUE = struct.Struct("<H"), struct.Struct("<q")
_VALUE_AT = 8
_END_AT, _ANSWERED_AT = BEGIN.size, BEGIN.size + END.size
# Looked up once: recording shall cost the load next to nothing.
_begin, _end = BEGIN.pack_into, END.pack_into
_encoded = json.JSONEncoder(check_circular=False).encode

assert HEADER.size == RECORD_BYTES == 64, "records must stay aligned to the header"


class Outcome(IntEnum):
    """What is known of an operation. A commit that timed out may or may not be there."""

    UNKNOWN = 0
    OK = 1
    FAILED = 2
    NOT_SENT = 3


class _Room:
    """A mapped file that grows by GROWTH_BYTES; `map` is always the same object, and ends at `size`.

    Its room is taken by writing zeros: pages that are there already cost the load less than those that the file system must
    find at their first use, one by one. Raises OSError when there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            self._take()
        except OSError:
            os.close(self._file)
            path.unlink()
            raise
        self.map = mmap.mmap(self._file, 0)

    def _take(self) -> None:
        zeros = memoryview(bytes(GROWTH_BYTES))
        while zeros:
            zeros = zeros[os.pwrite(self._file, zeros, self.size + GROWTH_BYTES - len(zeros)) :]
        self.size += GROWTH_BYTES

    def grow(self) -> None:
        self._take()
        self.map.resize(self.size)

    def close(self, used: int) -> None:
        """Cuts the file to what of it is used."""
        self.map.close()
        os.ftruncate(self._file, used)
        os.close(self._file)


class Recorder:
    """Writes one process's operations to `<folder>/<process>.ops`, its names and its payloads beside it.

    `process` names the file; `zone` is the client's. Times are nanoseconds of CLOCK_MONOTONIC.
    Not thread-safe: one event loop (or gevent hub) owns a recorder. Raises DiskError for what cannot be recorded; the
    process has to end then, and `check` raises the same to whoever did not see it.
    """

    def __init__(self, folder: Path, process: str, zone: str) -> None:
        self._path = folder / f"{process}.ops"
        self._lost: DiskError | None = None
        self._room = self._taken(self._path)
        self._map, self._size = self._room.map, self._room.size
        self._next = HEADER.size  # where the next record goes
        self._names: dict[tuple[str, str], int] = {}
        self._counts: dict[str, int] = {}
        self._names_file = open(self._path.with_suffix(".names"), "ab", buffering=0)  # noqa: SIM115 (closed in close)
        self._payload_room: _Room | None = None  # few workloads need one
        self._payloads = self._payloads_end = 0
        self._note(_encoded({"process": process, "zone": zone}))
        self.name("error", "")  # 0 stands for none
        HEADER.pack_into(self._map, 0, MAGIC, RECORD_BYTES, os.getpid())

    def _taken(self, path: Path) -> _Room:
        try:
            return _Room(path)
        except FileExistsError:
            raise
        except OSError as problem:
            raise self._refused(path, problem) from None

    def _grow(self, room: _Room) -> int:
        try:
            room.grow()
        except OSError as problem:
            raise self._refused(room.path, problem) from None
        return room.size

    def _refused(self, path: Path, problem: OSError) -> DiskError:
        self._lost = DiskError(path, problem)
        return self._lost

    def check(self) -> None:
        """Raises DiskError when something could not be recorded."""
        if self._lost:
            raise self._lost

    def _note(self, line: str) -> None:
        rest = line.encode() + b"\n"
        try:
            while rest:
                rest = rest[self._names_file.write(rest) :]
        except OSError as problem:
            raise self._refused(self._path.with_suffix(".names"), problem) from None

    def name(self, column: str, text: str) -> int:
        """The number that stands for `text` in `column`: lane, kind, endpoint or error."""
        number = self._names.get((column, text))
        if number is None:
            number = self._counts.get(column, 0)
            self._counts[column] = number + 1
            self._names[column, text] = number
            self._note(_encoded({"column": column, "id": number, "name": text}))
        return number

    def payload(self, value: object) -> int:
        """Keeps what one number does not say; returns its reference, from 1."""
        if self._payload_room is None:
            self._payload_room = self._taken(self._path.with_suffix(".payloads"))
        room, begins = self._payload_room, self._payloads_end
        line = f'{{"payload": {self._payloads + 1}, "value": {_encoded(value)}}}\n'.encode()
        ends = begins + len(line)
        while ends > room.size:
            self._grow(room)
        room.map[begins:ends] = line
        self._payloads_end = ends
        self._payloads += 1
        return self._payloads

    def begin(  # noqa: PLR0917 (by position they cost a tenth less, of a load that has thousands of them a second)
        self,
        lane: int,
        kind: int,
        endpoint: int,
        client: int,
        intended: int,
        started: int,
        key: int = NOTHING,
        value: int = NOTHING,
        payload: int = 0,
    ) -> int:
        """Reserves a record, as unknown, before the operation is sent; returns its place."""
        at = self._next
        if at == self._size:
            self._size = self._grow(self._room)
        self._next = at + RECORD_BYTES
        _begin(self._map, at, key, value, intended, started, client, payload, endpoint, lane, kind, True)
        return at

    def end(self, at: int, outcome: int, ended: int, error: int = 0, seen: int = NOTHING) -> None:
        """Writes how the operation at `at` ended; `error` is a name, 0 is none. What a read has `seen` becomes its value."""
        if seen != NOTHING:
            _VALUE.pack_into(self._map, at + _VALUE_AT, seen)
        _end(self._map, at + _END_AT, error, outcome, ended)

    def answered(self, at: int, when: int, *, ok: bool = False) -> None:
        """Writes when the answer came after all, past the operation's deadline; the outcome stays what it was.

        One that was `ok` changes the error's class to LATE_OK: the server did serve at that moment.
        """
        ANSWERED.pack_into(self._map, at + _ANSWERED_AT, when)
        if ok:
            _ERROR.pack_into(self._map, at + _END_AT, self.name("error", LATE_OK))

    def not_sent(self, lane: int, kind: int, endpoint: int, *, client: int, intended: int, error: int, ended: int) -> None:
        """Records an intended operation that never left the client."""
        at = self.begin(lane, kind, endpoint, client=client, intended=intended, started=NOTHING)
        self.end(at, Outcome.NOT_SENT, ended, error)

    def close(self) -> None:
        """Cuts the files to what they hold. Not needed for readable files."""
        self._room.close(self._next)
        self._names_file.close()
        if self._payload_room:
            self._payload_room.close(self._payloads_end)


class Notes:
    """Appends whole JSON lines to a file: what happened, when.

    Several threads may write, also while they heal, so `write` raises nothing: `check` does, when a line was lost.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 (lives as long as the process)
        self._lost: DiskError | None = None

    def write(self, event: str, at: int, **data: Any) -> None:
        """One event; `at` in nanoseconds of CLOCK_MONOTONIC."""
        line = json.dumps({"at": at, "event": event, **data}).encode() + b"\n"
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as problem:
            self._lost = DiskError(self._path, problem)

    def check(self) -> None:
        """Raises DiskError when a line was lost."""
        if self._lost:
            raise self._lost

    def close(self) -> None:
        self._file.close()


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole JSON lines of a file that may be missing; a last line that was cut off is passed over."""
    if path.exists():
        with open(path, "rb") as lines:
            yield from whole_lines(lines)


def whole_lines(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """What lines of JSON hold, up to the first that has no end; those that are no JSON are passed over."""
    for line in lines:
        if not line.endswith(b"\n"):
            return
        try:
            value = json.loads(line)
        except ValueError:  # no JSON, or no UTF-8
            continue
        if b"\\ud" in line.lower():  # half a pair of surrogates can be written in JSON, and nowhere else
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
        if isinstance(value, dict):
            yield value
