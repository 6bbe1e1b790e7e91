"""How is a history kept once the run is over: small, columnar, and equal to what was recorded?

Both files are Parquet (zstd), for any reader of Parquet to use; times are ns since the run's origin.

operations.parquet, a row an operation, ordered by intended start:
    key, value, intended, started, ended, answered   int64, -1 for none
    client, payload   uint32, 0 for none              outcome   uint8: 0 unknown, 1 ok, 2 failed, 3 not sent
    process, zone, lane, kind, endpoint, error        words, null when not known
    payload_json                                      the payload as JSON text, null without one
final_reads.parquet, a row a value that a node held: node, set (words), value (int64), sorted.

The file's metadata holds under `harness` a JSON object: `format` 1 and, for operations, `names` (every word of
each column, also of processes that recorded nothing) and `notes` (what could not be read); for final reads, `sets`
(what was read of each node, empty sets too), `facts` and `missing`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from harness import history
from harness.errors import HarnessError, UsageError
from harness.history import NUMBERS, WORDS, FinalReads, Operations, code_type
from harness.recording import read_lines

FORMAT = 1
OPERATIONS = "operations.parquet"
FINAL_READS = "final_reads.parquet"
_METADATA = "harness"
# Nothing is fetched.
_ALONE: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}

Payloads = Mapping[str, Mapping[int, Any]]


class Damaged(UsageError):
    """A file that is no whole archive, such as one that was cut off."""


def write(folder: Path) -> None:
    """Turns the raw recordings of a `history/` folder into its archived form.

    The raw files go once the new ones were read back equal; a recording that cannot be read stays. May be
    called again after it was interrupted. Raises HarnessError, with the raw files in place, when what was
    read back differs, and UsageError when there is no history.
    """
    raw = [path for path in sorted(folder.glob("*.ops")) if _readable(path)]
    if raw and not (folder / OPERATIONS).exists():
        whole = history.read(folder)
        _write_operations(folder / OPERATIONS, whole.operations, whole.payloads, whole.notes)
    _delete(
        path for recording in raw for path in (recording, recording.with_suffix(".names"), recording.with_suffix(".payloads"))
    )
    finals = sorted(folder.glob("final-*.jsonl"))
    if finals and not (folder / FINAL_READS).exists():
        _write_final_reads(folder / FINAL_READS, _read_final_lines(folder))
    _delete(finals)
    _merge_events(folder)


def _readable(path: Path) -> bool:
    try:
        history.read_recording(path)
    except ValueError:
        return False
    return True


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


# --- operations ----------------------------------------------------------------------------------------------


class _Payloads(Mapping[str, Mapping[int, Any]]):
    """The payloads of an archive, which are read when somebody asks for them: no judge does."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _known(self) -> dict[str, dict[int, Any]]:
        with _opened(self._path) as (file, _):
            rows = file.filter("payload_json IS NOT NULL").project("process, payload, payload_json").fetchall()
        found: dict[str, dict[int, Any]] = {}
        for process, payload, text in rows:
            found.setdefault(process, {})[payload] = json.loads(text)
        return found

    def __getitem__(self, process: str) -> Mapping[int, Any]:
        return self._known[process]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def read_operations(path: Path, notes: list[str]) -> tuple[Operations, Payloads]:
    """The archived operations, and their payloads (process → reference → value).

    What could not be read when they were archived is added to `notes`, and so is a damaged archive: no operation is known
    then. Raises UsageError for one of another format.
    """
    try:
        return _read_operations_table(path, notes)
    except Damaged as damaged:
        notes.append(str(damaged))
        return history.empty_operations(), {}


def _read_operations_table(path: Path, notes: list[str]) -> tuple[Operations, Payloads]:
    with _opened(path) as (file, about):
        notes.extend(about["notes"])
        names = {column: tuple(about["names"][column]) for column in WORDS}
        columns = dict(_columns(file, names))
    return Operations(columns, names), _Payloads(path)


def _columns(file: duckdb.DuckDBPyRelation, names: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, history.Array]]:
    """One after the other: what the engine holds of a column while it hands it over is as large as the column."""
    for name in NUMBERS:
        yield name, file.project(name).fetchnumpy()[name]
    for name in WORDS:
        yield name, file.project(f"{_code(name, names[name])} AS {name}").fetchnumpy()[name]


def _write_operations(path: Path, operations: Operations, payloads: Payloads, notes: Sequence[str]) -> None:
    known = _referenced(operations, payloads)
    texts = np.full(len(operations), None, dtype=object)
    for row in np.flatnonzero(operations["payload"]).tolist():
        values = known.get(operations.names["process"][operations["process"][row]], {})
        reference = int(operations["payload"][row])
        if reference in values:
            texts[row] = json.dumps(values[reference])
    columns = {**{name: operations[name] for name in (*NUMBERS, *WORDS)}, "payload_json": texts}
    words = (f"{_word(column, operations.names[column])} AS {column}" for column in WORDS)
    about = {"format": FORMAT, "names": operations.names, "notes": list(notes)}
    part = _write_table(path, columns, [*NUMBERS, *words, "payload_json::VARCHAR AS payload_json"], about)
    with _opened(part) as (file, _):
        same = all(np.array_equal(operations[name], again) for name, again in _columns(file, operations.names))
    _keep(part, path, same and _Payloads(part) == known)


def _referenced(operations: Operations, payloads: Payloads) -> dict[str, dict[int, Any]]:
    """The payloads that an operation refers to; another was noted just before its process died."""
    kept: dict[str, dict[int, Any]] = {}
    process, payload = operations["process"], operations["payload"]
    for code, name in enumerate(operations.names["process"]):
        known = payloads.get(name, {})
        used = np.unique(payload[(process == code) & (payload > 0)]).tolist() if known else []
        found = {reference: known[reference] for reference in used if reference in known}
        if found:
            kept[name] = found
    return kept


# --- final reads ---------------------------------------------------------------------------------------------


def read_final_reads(folder: Path, notes: list[str]) -> FinalReads:
    """What each node held, archived or raw; a node whose read was cut off or failed is `missing`.

    A damaged archive is added to `notes`, and nothing is known then. Raises UsageError for one of another format.
    """
    archived = folder / FINAL_READS
    if not archived.exists():
        return _read_final_lines(folder)
    try:
        return _read_final_table(archived)
    except Damaged as damaged:
        notes.append(str(damaged))
        return FinalReads()


def _read_final_lines(folder: Path) -> FinalReads:
    values: dict[str, dict[str, history.Array]] = {}
    facts: dict[str, dict[str, Any]] = {}
    missing: dict[str, str] = {}
    for path in sorted(folder.glob("final-*.jsonl")):
        node = path.stem.removeprefix("final-")
        try:
            values[node], facts[node] = _read_final_file(path)
        except (ValueError, KeyError, TypeError) as problem:
            missing[node] = str(problem)
    return FinalReads(values, facts, missing)


def _read_final_file(path: Path) -> tuple[dict[str, history.Array], dict[str, Any]]:
    """One node's sets and facts. Raises ValueError with the reason when they are not whole."""
    parts: dict[str, list[history.Array]] = {}
    facts: dict[str, Any] = {}
    complete = False
    with open(path, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith("\n"):
                raise ValueError("cut off")
            said = _object(line, number)
            if "error" in said:
                raise ValueError(said["error"])
            if "set" in said:
                parts.setdefault(said["set"], []).append(np.array(said["values"], dtype=np.int64))
            facts.update(said.get("facts", {}))
            complete = said.get("complete") is True
    if not complete:
        raise ValueError("cut off")
    return {name: np.sort(np.concatenate(chunks)) for name, chunks in parts.items()}, facts


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except json.JSONDecodeError:
        said = None
    if not isinstance(said, dict):
        raise ValueError(f"damaged in line {number}")
    return said


def _write_final_reads(path: Path, final: FinalReads) -> None:
    nodes = tuple(final.values)
    sets = tuple(dict.fromkeys(name for held in final.values.values() for name in held))
    held = [(nodes.index(node), sets.index(name), values) for node, all_ in final.values.items() for name, values in all_.items()]
    columns = {
        "node": np.concatenate([np.zeros(0, np.int32), *(np.full(len(values), node, np.int32) for node, _, values in held)]),
        "set": np.concatenate([np.zeros(0, np.int32), *(np.full(len(values), name, np.int32) for _, name, values in held)]),
        "value": np.concatenate([np.zeros(0, np.int64), *(values for _, _, values in held)]),
    }
    sets_read = {node: list(sets) for node, sets in final.values.items()}
    about = {"format": FORMAT, "sets": sets_read, "facts": final.facts, "missing": final.missing}
    part = _write_table(path, columns, [f"{_word('node', nodes)} AS node", f'{_word("set", sets)} AS "set"', "value"], about)
    _keep(part, path, _same_reads(final, _read_final_table(part)))


def _read_final_table(path: Path) -> FinalReads:
    with _opened(path) as (file, about):
        nodes, sets = tuple(about["sets"]), tuple({name: None for names in about["sets"].values() for name in names})
        codes = f"{_code('node', nodes)} AS node_code, {_code('set', sets)} AS set_code, value"
        columns = file.project(codes).fetchnumpy()
    node_codes, set_codes, values = (columns[name] for name in ("node_code", "set_code", "value"))
    found: dict[str, dict[str, history.Array]] = {}
    for node, names in about["sets"].items():
        of_node = node_codes == nodes.index(node)
        found[node] = {name: values[of_node & (set_codes == sets.index(name))] for name in names}
    return FinalReads(found, about["facts"], about["missing"])


def _same_reads(one: FinalReads, other: FinalReads) -> bool:
    return (
        one.facts == other.facts
        and one.missing == other.missing
        and {node: list(sets) for node, sets in one.values.items()} == {n: list(s) for n, s in other.values.items()}
        and all(np.array_equal(v, other.values[node][name]) for node, sets in one.values.items() for name, v in sets.items())
    )


# --- events, and what both tables share -------------------------------------------------------------------------


def _merge_events(folder: Path) -> None:
    """Puts what the client nodes' processes noted into events.jsonl, by time; its first line stays first."""
    parts = sorted(folder.glob("*.events"))
    if not parts:
        return
    events = folder / "events.jsonl"
    first, *lines = read_lines(events)
    for path in parts:
        lines.extend(read_lines(path))
    # An interrupted merge left lines in both places; two different events never agree in every nanosecond.
    rest = sorted({json.dumps(line): line for line in lines}.values(), key=lambda line: int(line.get("at", 0)))
    merged = [first, *rest]
    part = events.with_suffix(".part")
    part.write_text("".join(json.dumps(line) + "\n" for line in merged), encoding="utf-8")
    _keep(part, events, list(read_lines(part)) == merged)
    _delete(parts)


def _write_table(path: Path, columns: Mapping[str, history.Array], selected: Sequence[str], about: Mapping[str, Any]) -> Path:
    """Writes what is `selected` of `columns`, in their order, to a file beside `path`."""
    part = path.with_suffix(".part")
    with duckdb.connect(config=_ALONE) as engine:
        engine.register("columns", dict(columns))
        metadata = f"KV_METADATA {{{_METADATA}: {_quoted(json.dumps(about))}}}"
        chosen, options = ", ".join(selected), f"(FORMAT parquet, COMPRESSION zstd, {metadata})"
        engine.execute(f"COPY (SELECT {chosen} FROM columns) TO {_quoted(str(part))} {options}")  # noqa: S608 (all of it quoted)
    return part


def _word(column: str, names: Sequence[str]) -> str:
    """SQL for the word that a column's code stands for; NULL for -1."""
    return f'list_extract({_listed(names)}, "{column}" + 1)'


def _code(column: str, names: Sequence[str]) -> str:
    """SQL for the code that a column's word has in `names`; -1 for NULL."""
    fits = "TINYINT" if code_type(names) == np.int8 else "INTEGER"
    return f'(coalesce(list_position({_listed(names)}, "{column}"), 0) - 1)::{fits}'


def _listed(names: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, names))}]::VARCHAR[]"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _keep(part: Path, path: Path, same: bool) -> None:
    if not same:
        raise HarnessError(f"{path}: what was read back differs from what was recorded; the raw files were kept")
    part.replace(path)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[duckdb.DuckDBPyRelation, dict[str, Any]]]:
    """A table and what its metadata says of it. Raises Damaged, and UsageError for another format."""
    try:
        with duckdb.connect(config=_ALONE) as engine:
            said = dict(engine.execute("SELECT key, value FROM parquet_kv_metadata(?)", [str(path)]).fetchall())
            about: dict[str, Any] = json.loads(said[_METADATA.encode()])
            if about.get("format") == FORMAT:
                yield engine.read_parquet(str(path)), about
                return
    except (duckdb.Error, OSError, KeyError, ValueError) as problem:
        raise Damaged(f"{path.name}: damaged, or not of this harness ({str(problem).splitlines()[0]})") from problem
    raise UsageError(f"{path}: format {about.get('format')}; this harness reads format {FORMAT}")
