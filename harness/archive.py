"""How is a history kept once the run is over: small, columnar, and equal to what was recorded?

Both files are Parquet (zstd), for any reader of Parquet to use; times are ns since the run's origin.

operations.parquet, a row an operation, ordered by intended start:
    key, value, intended, started, ended, answered   int64, -1 for none
    client, payload   uint32, 0 for none              outcome   uint8: 0 unknown, 1 ok, 2 failed, 3 not sent
    process, zone, lane, kind, endpoint, error        words, dictionary-encoded, null when not known
    payload_json                                      the payload as JSON text, null without one
final_reads.parquet, a row a value that a node held: node, set (words), value (int64), sorted.

The file's metadata holds under `harness` a JSON object: `format` 1 and, for operations, `names` (every word of
each column, also of processes that recorded nothing) and `notes` (what could not be read); for final reads, `sets`
(what was read of each node, empty sets too), `facts` and `missing`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from harness import history
from harness.errors import HarnessError, UsageError
from harness.history import NUMBERS, WORDS, FinalReads, Operations
from harness.recording import read_lines

FORMAT = 1
OPERATIONS = "operations.parquet"
FINAL_READS = "final_reads.parquet"
_METADATA = b"harness"

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
    _delete(path for recording in raw for path in (recording, recording.with_suffix(".names")))
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


def read_operations(path: Path, notes: list[str]) -> tuple[Operations, dict[str, dict[int, Any]]]:
    """The archived operations, and their payloads (process → reference → value).

    What could not be read when they were archived is added to `notes`, and so is a damaged archive: no operation is known
    then. Raises UsageError for one of another format.
    """
    try:
        return _read_operations_table(path, notes)
    except Damaged as damaged:
        notes.append(str(damaged))
        return history.empty_operations(), {}


def _read_operations_table(path: Path, notes: list[str]) -> tuple[Operations, dict[str, dict[int, Any]]]:
    table, about = _read_table(path)
    notes.extend(about["notes"])
    names = {column: tuple(about["names"][column]) for column in WORDS}
    columns = {name: table[name].to_numpy() for name in NUMBERS}
    for column in WORDS:
        columns[column] = _codes(table[column], names[column])
    return Operations(columns, names), _payloads(table, columns, names["process"])


def _write_operations(path: Path, operations: Operations, payloads: Payloads, notes: Sequence[str]) -> None:
    columns = {name: pa.array(operations[name]) for name in NUMBERS}
    for column in WORDS:
        columns[column] = _words(operations[column], operations.names[column])
    columns["payload_json"] = _payload_texts(operations, payloads)
    about = {"format": FORMAT, "names": operations.names, "notes": list(notes)}
    part = _write_table(path, pa.table(columns), about, WORDS)
    again, payloads_again = _read_operations_table(part, [])
    same = all(np.array_equal(operations[name], again[name]) for name in operations.columns)
    _keep(part, path, same and payloads_again == _referenced(operations, payloads))


def _words(codes: history.Array, names: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(names, pa.string()))


def _codes(column: pa.ChunkedArray, names: tuple[str, ...]) -> history.Array:
    """A word column as codes into `names`; -1 where it is null."""
    words = column.cast(pa.dictionary(pa.int32(), pa.string())).unify_dictionaries().combine_chunks()
    if isinstance(words, pa.ChunkedArray):
        words = words.chunk(0) if words.num_chunks else pa.array([], words.type)
    known = {name: code for code, name in enumerate(names)}
    lookup = np.array([*(known[word] for word in words.dictionary.to_pylist()), -1], dtype=np.int32)
    codes: history.Array = lookup[words.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
    return codes


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


def _payload_texts(operations: Operations, payloads: Payloads) -> pa.Array:
    texts: list[str | None] = [None] * len(operations)
    names = operations.names["process"]
    for row in np.flatnonzero(operations["payload"]).tolist():
        known = payloads.get(names[operations["process"][row]], {})
        reference = int(operations["payload"][row])
        if reference in known:
            texts[row] = json.dumps(known[reference])
    return pa.array(texts, pa.string())


def _payloads(table: pa.Table, columns: Mapping[str, history.Array], processes: tuple[str, ...]) -> dict[str, dict[int, Any]]:
    texts = table["payload_json"]
    rows = np.flatnonzero(texts.is_valid().to_numpy())
    found: dict[str, dict[int, Any]] = {}
    for row, text in zip(rows.tolist(), texts.take(pa.array(rows)).to_pylist(), strict=True):
        process = processes[columns["process"][row]]
        found.setdefault(process, {})[int(columns["payload"][row])] = json.loads(text)
    return found


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
    columns: dict[str, list[Any]] = {"node": [], "set": [], "value": [np.zeros(0, np.int64)]}
    for node, sets in final.values.items():
        for name, values in sets.items():
            columns["node"].append(pa.repeat(pa.scalar(node), len(values)))
            columns["set"].append(pa.repeat(pa.scalar(name), len(values)))
            columns["value"].append(values)
    word = pa.dictionary(pa.int32(), pa.string())
    table = pa.table(
        {
            "node": pa.chunked_array(columns["node"], pa.string()).cast(word),
            "set": pa.chunked_array(columns["set"], pa.string()).cast(word),
            "value": np.concatenate(columns["value"]),
        }
    )
    sets_read = {node: list(sets) for node, sets in final.values.items()}
    about = {"format": FORMAT, "sets": sets_read, "facts": final.facts, "missing": final.missing}
    part = _write_table(path, table, about, ("node", "set"))
    _keep(part, path, _same_reads(final, _read_final_table(part)))


def _read_final_table(path: Path) -> FinalReads:
    table, about = _read_table(path)
    nodes, sets = tuple(about["sets"]), tuple({name: None for names in about["sets"].values() for name in names})
    node_codes, set_codes, values = _codes(table["node"], nodes), _codes(table["set"], sets), table["value"].to_numpy()
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


def _write_table(path: Path, table: pa.Table, about: Mapping[str, Any], words: tuple[str, ...]) -> Path:
    part = path.with_suffix(".part")
    stamped = table.replace_schema_metadata({_METADATA: json.dumps(about)})
    pq.write_table(stamped, part, compression="zstd", use_dictionary=list(words))
    return part


def _keep(part: Path, path: Path, same: bool) -> None:
    if not same:
        raise HarnessError(f"{path}: what was read back differs from what was recorded; the raw files were kept")
    part.replace(path)


def _read_table(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """A table and what its metadata says of it. Raises Damaged, and UsageError for another format."""
    try:
        table = pq.read_table(path)
        about: dict[str, Any] = json.loads((table.schema.metadata or {})[_METADATA])
    except (pa.ArrowException, OSError, KeyError, ValueError) as problem:
        raise Damaged(f"{path.name}: damaged, or not of this harness ({problem})") from problem
    if about.get("format") != FORMAT:
        raise UsageError(f"{path}: format {about.get('format')}; this harness reads format {FORMAT}")
    return table, about
