"""What happened, in order, on one monotonic time line?

A history is a folder: `events.jsonl` (what the harness did and saw, one JSON object a
line), one recording per process while the run lasts, and after it the same operations
as one columnar file. Judging reads nothing else. All times that leave this module are
nanoseconds since the run's origin.

    history/events.jsonl            the first event, `run`, carries scenario, plan and origin
    history/<process>.ops, .names, .payloads   raw recordings (see recording.py)
    history/<process>.events        what a client node's process noted: role readings, lateness
    history/final-<node>.jsonl      the final reads of that node
    history/operations.parquet      all operations, once archived (then without the raw files)
    history/final_reads.parquet     all final reads, once archived
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from heapq import merge
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from harness.errors import UsageError
from harness.recording import HEADER, MAGIC, NOTHING, RECORD_BYTES, Outcome, read_lines, whole_lines

__all__ = ["NOTHING", "Event", "FaultRecord", "FinalReads", "History", "Operations", "Outcome", "Witnessed", "read"]

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Asked = ParamSpec("Asked")
Known = TypeVar("Known")

RAW = np.dtype(
    [
        ("key", "<i8"), ("value", "<i8"), ("intended", "<i8"), ("started", "<i8"), ("client", "<u4"), ("payload", "<u4"),
        ("endpoint", "<u2"), ("lane", "u1"), ("kind", "u1"), ("begun", "u1"),
        ("error", "<u2"), ("outcome", "u1"), ("ended", "<i8"), ("answered", "<i8"),
    ]
)  # fmt: skip
assert RAW.itemsize == RECORD_BYTES

NUMBERS = ("key", "value", "intended", "started", "ended", "answered", "client", "payload", "outcome")
TIMES = ("intended", "started", "ended", "answered")
WORDS = ("process", "zone", "lane", "kind", "endpoint", "error")


class _Chosen(Mapping[str, Array]):
    """Some rows of columns, each column of which is taken when it is first asked for: no judge reads all of them."""

    def __init__(self, whole: Mapping[str, Array], rows: Mask | Array | slice, count: int) -> None:
        self._whole, self._rows, self.count = whole, rows, count
        self._taken: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._taken:
            self._taken[name] = self._whole[name][self._rows]
        return self._taken[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole)

    def __len__(self) -> int:
        return len(self._whole)


@dataclass(frozen=True)
class Operations:
    """Every operation as columns of equal length, ordered by intended start.

    Numbers (int64 unless said): `key`, `value` (unique for writes, -1 for none); `intended`, `started`,
    `ended`, `answered` in ns since the origin (-1: never; `answered` is a late answer, past the deadline that
    ended the record, given only where it proves that nothing answered before); `client`, `payload` (uint32,
    0 for none), `outcome` (uint8, see Outcome). Words, as codes into `names[column]` (-1: not known): `process`,
    `zone` (the client's), `lane` (`workload`, `kept`, `fresh`, `client:<kind>` for one that is never cut short), `kind` (`read`,
    `read …` is a read; all others write), `endpoint` (`writer`, `reader`, `direct` for a driver that knows every
    database's address, `node:<name>` for a node asked directly), `error` (class, `` for none).
    """

    columns: Mapping[str, Array]
    names: Mapping[str, Sequence[str]]

    def __len__(self) -> int:
        return self.columns.count if isinstance(self.columns, _Chosen) else len(self.columns["intended"])

    def __getitem__(self, column: str) -> Array:
        return self.columns[column]

    def words(self, column: str) -> Array:
        """A word column as an array of str."""
        return np.array([*self.names[column], ""], dtype=object)[self.columns[column]]

    def said(self, column: str) -> list[str]:
        """The words that occur in a word column, each once, sorted."""
        codes = self.columns[column]
        found = {word for code, word in enumerate(self.names[column]) if (codes == code).any()}
        return sorted(found | {""} if (codes == -1).any() else found)

    def code(self, column: str, word: str) -> int:
        """The code of `word`; -2, which matches nothing, when it never occurs."""
        return self.names[column].index(word) if word in self.names[column] else -2

    def mask(self, **equal: str | Sequence[str]) -> Mask:
        """Where every named word column has the given word, or one of the given words."""
        chosen = np.ones(len(self), dtype=bool)
        for column, wanted in equal.items():
            words = [wanted] if isinstance(wanted, str) else wanted
            there = np.zeros(len(self), dtype=bool)
            for code in {self.code(column, word) for word in words}:
                there |= self.columns[column] == code
            chosen &= there
        return chosen

    def at(self, rows: Mask | Array | slice) -> Operations:
        """The operations under a mask (or at indices, or of a slice)."""
        if isinstance(rows, slice):
            count = len(range(*rows.indices(len(self))))
        else:
            count = int(np.count_nonzero(rows)) if rows.dtype == bool else len(rows)
            if rows.dtype == bool and count == len(self):
                return self
        return Operations(_Chosen(self.columns, rows, count), self.names)

    def where(self, **equal: str | Sequence[str]) -> Operations:
        """The operations whose word columns have the given words: `where(lane="kept", endpoint="writer")`."""
        return self.at(self.mask(**equal))

    def span(self, start: int, stop: int) -> slice:
        """Where the operations are that were meant to start within a half-open interval (ns)."""
        first, last = np.searchsorted(self.columns["intended"], (start, stop))
        return slice(int(first), max(int(first), int(last)))

    def between(self, start: int, stop: int) -> Operations:
        """The operations that were meant to start within a half-open interval (ns)."""
        return self.at(self.span(start, stop))

    @cached_property
    def reading(self) -> Mask:
        """Which operations are reads."""
        return self.mask(kind=[kind for kind in self.names["kind"] if kind.split(" ")[0] == "read"])

    @property
    def reads(self) -> Operations:
        return self.at(self.reading)

    @property
    def writes(self) -> Operations:
        return self.at(~self.reading)


@dataclass(frozen=True)
class Event:
    """One thing that the harness or a client node saw or did."""

    at: int
    name: str
    data: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.data[key]


@dataclass(frozen=True)
class Witnessed:
    """What one vantage point saw of a fault.

    `stage` is `before`, `begin` (once injected), `end` (just before healing) or `after`; of a change, `before` or `after`.
    """

    at: int
    stage: str
    vantage: str
    expected: str
    seen: str

    @property
    def shown(self) -> bool:
        return self.seen == self.expected


@dataclass(frozen=True)
class FaultRecord:
    """One fault, or one planned `change`, as it was carried out; times in ns since the origin, None for what never happened.

    `injecting`/`injected` stamp the begin and end of the act of injecting, `healing`/`healed` of healing.
    `hit` names the nodes, zones or links that `target` was resolved to when the fault fired.
    `changes_roles` says whether a role change may be this fault's doing (a client's latency never is).
    A change is measured as a fault is: from its begin (`injecting`, `injected`) until it was done and verified (`healing`,
    `healed`). It has no target; `hit` are the nodes that it acted on, and `said` is what was done, in a sentence.
    """

    id: str
    kind: str
    target: str
    hit: Sequence[str] = ()
    injecting: int | None = None
    injected: int | None = None
    healing: int | None = None
    healed: int | None = None
    changes_roles: bool = True
    error: str | None = None
    witnesses: Sequence[Witnessed] = ()
    change: bool = False
    said: str | None = None

    @property
    def what(self) -> str:
        """`crash of pg-az-a`; the kind alone of what hit nothing."""
        return f"{self.kind} of {', '.join(self.hit)}" if self.hit else self.kind

    def shown(self, stage: str) -> bool:
        """Whether every witness of that stage saw what was expected, and there was one."""
        readings = [w for w in self.witnesses if w.stage == stage]
        return bool(readings) and all(w.shown for w in readings)

    def seen(self, stage: str) -> Mapping[str, str]:
        """What each vantage point saw at that stage."""
        return {witness.vantage: witness.seen for witness in self.witnesses if witness.stage == stage}

    @property
    def witnessed(self) -> bool:
        """Seen at its begin and still there just before healing; of a change: done, seen afterwards, and not before."""
        if self.change:
            return self.healed is not None and self.shown("after") and self.seen("before") != self.seen("after")
        return self.injected is not None and self.shown("begin") and self.shown("end")


@dataclass(frozen=True)
class FinalReads:
    """What each node held when it was over.

    `values[node][set]` is a sorted int64 array of the set's values, with repetition; `sets` are the
    workload's (`ledger`) and the probes' (`probe`). `facts[node]` holds the workload's invariants as read
    there (`{"accounts_total": 100000}`). A node whose final read failed is in `missing`, with the error.
    """

    values: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """Everything of one run that judging may read.

    `run` is the data of the first event: `scenario` (name), `title`, `seed`, `runtime`, `versions`, `topology`
    (name, options, `nodes`: [{name, zone, role, address}], `zones`, `expected_roles`), `workloads`, `probes`
    (cadence, deadline and pace of each lane, in ms), `expect`, `faults`, `changes` (as planned).
    """

    run: Mapping[str, Any]
    operations: Operations
    events: Sequence[Event]
    final_reads: FinalReads
    notes: Sequence[str] = ()  # what could not be read, in words
    payloads: Mapping[str, Mapping[int, Any]] = field(default_factory=dict)  # process → reference → value
    known: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)  # what was worked out: see `once`

    @cached_property
    def _places(self) -> Mapping[str, Sequence[int]]:
        """Where the events of each name are: there are many of a long run, and judges ask for a few of them many times."""
        places: dict[str, list[int]] = {}
        for place, event in enumerate(self.events):
            places.setdefault(event.name, []).append(place)
        return places

    def named(self, *names: str) -> list[Event]:
        """The events of these names, in order."""
        return [self.events[place] for place in merge(*(self._places.get(name, ()) for name in set(names)))]

    def phase(self, name: str) -> int | None:
        """When a phase began, for the last time: forming, steady, faults, recovering, final_reads, done."""
        return next((event.at for event in reversed(self.named("phase")) if event["phase"] == name), None)

    @cached_property
    def end(self) -> int:
        """The last instant of measuring: when the load was stopped, or the last thing known."""
        stopped = self.phase("final_reads")
        if stopped is not None:
            return stopped
        last_operation = int(self.operations["ended"].max()) if len(self.operations) else 0
        return max(last_operation, max((event.at for event in self.events), default=0))

    @cached_property
    def faults(self) -> Sequence[FaultRecord]:
        """The faults and changes in the order in which they fired; one that never fired is there, with no times."""
        found: dict[str, dict[str, Any]] = {}
        for name in ("fault", "change"):
            for planned in self.run.get(f"{name}s", ()):
                found[planned["id"]] = _named(planned, name)
        witnesses: dict[str, list[Witnessed]] = {}
        for event in self.events:
            if event.name in ("fault", "change"):
                fault = found.setdefault(event["id"], _named(event.data, event.name))
                if event["stage"] == "failed":
                    fault["error"] = event["error"]
                else:
                    fault |= dict.fromkeys(_OF_CHANGE.get(event["stage"], (event["stage"],)), event.at)
                for known in ("hit", "changes_roles", "said"):
                    if known in event.data:
                        fault[known] = event[known]
            elif event.name == "witness":
                witnesses.setdefault(event["id"], []).append(
                    Witnessed(event.at, event["stage"], event["vantage"], event["expected"], event["seen"])
                )
        records = [FaultRecord(**fault, witnesses=tuple(witnesses.get(id_, ()))) for id_, fault in found.items()]
        return tuple(sorted(records, key=lambda fault: (fault.injecting is None, fault.injecting or 0)))

    @property
    def zones(self) -> Sequence[str]:
        return tuple(self.run["topology"]["zones"])

    @cached_property
    def shards(self) -> Mapping[str, str]:
        """Which part of the data each node keeps, where each keeps a part: node → shard."""
        return {node["name"]: node["shard"] for node in self.run.get("topology", {}).get("nodes", ()) if node.get("shard")}

    def node_zone(self, node: str) -> str | None:
        return next((n["zone"] for n in self.run["topology"]["nodes"] if n["name"] == node), None)


def once(of: Callable[Concatenate[History, Asked], Known]) -> Callable[Concatenate[History, Asked], Known]:
    """Lets something be worked out only once for a history: several judges ask for it, and millions of operations answer."""

    def worked_out(history: History, /, *arguments: Asked.args, **named: Asked.kwargs) -> Known:
        question = (of, arguments, tuple(named.items()))
        if question not in history.known:
            history.known[question] = of(history, *arguments, **named)
        answer: Known = history.known[question]
        return answer

    return wraps(of)(worked_out)


# The stages of a change, as times of the record that faults and changes share.
_OF_CHANGE = {"begun": ("injecting", "injected"), "done": ("healing", "healed")}


def _named(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {"id": said["id"], "kind": said["kind"], "target": said.get("target", ""), "change": name == "change"}


def code_type(words: Sequence[str]) -> type[np.signedinteger[Any]]:
    """What the codes of a column's words are kept in: as small as can be, since there is one for each operation."""
    return np.int8 if len(words) < np.iinfo(np.int8).max else np.int32


def empty_operations() -> Operations:
    """No operations, with every column."""
    return _assemble([], {name: [] for name in WORDS}, 0)


def read(folder: Path) -> History:
    """Reads a run's `history/` folder, archived or raw, whole or cut off.

    Raises UsageError when it has no first event: then nobody knows what was run.
    What cannot be read is left out and said in `History.notes`.
    """
    notes: list[str] = []
    lines = _lines(folder / "events.jsonl", notes)
    if not lines or lines[0].get("event") != "run":
        raise UsageError(f"{folder}: no history here (events.jsonl does not begin with a 'run' event)")
    run = {key: value for key, value in lines[0].items() if key not in ("event", "at")}
    origin = int(lines[0]["at"])
    for path in sorted(folder.glob("*.events")):
        lines.extend(_lines(path, notes))
    events = sorted(
        (
            Event(int(line["at"]) - origin, line["event"], {k: v for k, v in line.items() if k not in ("at", "event")})
            for line in lines[1:]
            if "at" in line and "event" in line
        ),
        key=lambda event: event.at,
    )
    for event in events:
        if event.name in ("laid_out", "about"):  # what is known only later: addresses, versions, what a test asks as it goes
            run.update(event.data)
    archived = folder / "operations.parquet"
    from harness import archive  # noqa: PLC0415 (archive needs this module's types)

    if archived.exists():
        operations, payloads = archive.read_operations(archived, notes)
    else:
        operations, payloads = _read_recordings(folder, origin, notes)
    final = archive.read_final_reads(folder, notes)
    return History(run, operations, events, final, tuple(dict.fromkeys(notes)), payloads)


def _lines(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    """The whole JSON lines of a file that may be missing, or that goes on in zeros since nobody closed it."""
    lines = path.read_bytes().rstrip(b"\0").splitlines(keepends=True) if path.exists() else []
    found = list(whole_lines(lines))
    left_out = len(lines) - len(found)
    if left_out:
        notes.append(f"{path.name}: cut off or damaged; lines left out: {left_out}")
    return found


def _read_recordings(folder: Path, origin: int, notes: list[str]) -> tuple[Operations, dict[str, dict[int, Any]]]:
    tables: list[dict[str, Array]] = []
    words: dict[str, list[str]] = {name: [] for name in WORDS}
    payloads: dict[str, dict[int, Any]] = {}
    for path in sorted(folder.glob("*.ops")):
        try:
            raw = read_recording(path)
        except ValueError as problem:
            notes.append(f"{path.name} left out: {problem}")
            continue
        if (path.stat().st_size - HEADER.size) % RECORD_BYTES:
            notes.append(f"{path.name}: cut off within a record; {len(raw)} whole ones were read")
        local, process, zone = _read_names(path, _lines(path.with_suffix(".names"), notes))
        if values := {line["payload"]: line["value"] for line in _lines(path.with_suffix(".payloads"), notes)}:
            payloads[process] = values
        tables.append(_translate(raw, local, process, zone, words))
    return _assemble(tables, words, origin), payloads


def read_recording(path: Path, skip: int = 0) -> Array:
    """The records of one recording from the `skip`-th on, as a structured array in the raw layout.

    Raises ValueError for a file that is no recording. A record whose end was being written when
    its process died is unknown, as it should be.
    """
    with open(path, "rb") as file:
        head = file.read(HEADER.size)
        if len(head) < HEADER.size:
            raise ValueError("cut off before its header ended")
        magic, size, _ = HEADER.unpack(head)
        if magic != MAGIC or size != RECORD_BYTES:
            raise ValueError("not a recording of this version")
        file.seek(HEADER.size + skip * RECORD_BYTES)
        body = bytearray(file.read())
    records = np.frombuffer(body, dtype=RAW, count=len(body) // RECORD_BYTES)
    records = records[: int(np.argmin(records["begun"]))] if not records["begun"].all() else records
    for time in ("ended", "answered"):
        records[time][records[time] == 0] = NOTHING
    records["outcome"][records["ended"] == NOTHING] = Outcome.UNKNOWN
    return records


def names_of(path: Path) -> dict[str, dict[int, str]]:
    """What the numbers in a recording's word columns stand for: column → number → word."""
    return _read_names(path, read_lines(path))[0]


def _read_names(path: Path, lines: Iterable[Mapping[str, Any]]) -> tuple[dict[str, dict[int, str]], str, str]:
    local: dict[str, dict[int, str]] = {}
    process, zone = path.stem, ""
    for line in lines:
        if "process" in line:
            process, zone = line["process"], line["zone"]
        elif "column" in line:
            local.setdefault(line["column"], {})[int(line["id"])] = line["name"]
    return local, process, zone


def _translate(
    raw: Array, local: Mapping[str, Mapping[int, str]], process: str, zone: str, words: dict[str, list[str]]
) -> dict[str, Array]:
    """One recording's columns, with its own codes replaced by the run's."""

    def code(column: str, word: str) -> int:
        if word not in words[column]:
            words[column].append(word)
        return words[column].index(word)

    table: dict[str, Array] = {name: raw[name].copy() for name in NUMBERS}
    table["process"] = np.full(len(raw), code("process", process), dtype=np.int32)
    table["zone"] = np.full(len(raw), code("zone", zone), dtype=np.int32)
    for column in ("lane", "kind", "endpoint", "error"):
        known = local.get(column, {})
        lookup = np.full(max(int(raw[column].max(initial=0)), *known, 0) + 1, -1, dtype=np.int32)
        for number, word in known.items():
            lookup[number] = code(column, word)
        table[column] = lookup[raw[column]]
    return table


def _assemble(tables: Sequence[dict[str, Array]], words: Mapping[str, list[str]], origin: int) -> Operations:
    """The tables in one, by intended start. Takes their columns away one by one: there are millions of operations in each."""
    order: Array | None = None
    columns: dict[str, Array] = {}
    for name in ("intended", *(one for one in (*NUMBERS, *WORDS) if one != "intended")):
        dtype = code_type(words[name]) if name in WORDS else RAW[name]
        column = np.concatenate([np.zeros(0, dtype), *(table.pop(name) for table in tables)]).astype(dtype, copy=False)
        if name in TIMES:
            column[column != NOTHING] -= origin
        order = np.argsort(column, kind="stable") if order is None else order
        columns[name] = column[order]
    return Operations(columns, {name: tuple(all_) for name, all_ in words.items()})


def each_node(history: History, role: str) -> Iterator[str]:
    """The names of the topology's nodes of one role (`database`, `client`, …)."""
    for node in history.run["topology"]["nodes"]:
        if node["role"] == role:
            yield node["name"]
