"""An archived history equals the raw one, takes less room, and never costs what could not be archived."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from harness import archive
from harness.errors import HarnessError, UsageError
from harness.history import History, read
from harness.recording import Recorder
from tests.unit.test_history import ORIGIN, record, write_events

RECORDED = Path(__file__).parents[1] / "recorded" / "writer_crash" / "history"


def write_final(folder: Path, node: str, *lines: Any, end: str = "\n") -> None:
    (folder / f"final-{node}.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + end)


COMPLETE = {"complete": True}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A raw history with two processes, payloads, an idle process, events in two files and final reads."""
    write_events(tmp_path, {"at": ORIGIN + 50, "event": "phase", "phase": "steady"})
    record(tmp_path, "load-a", "az-a", 10, 30, 50, payload={"from": 1, "to": 2})
    record(tmp_path, "load-b", "az-b", 20, 40, endpoint="node:pg-a")
    Recorder(tmp_path, "probe-c", "az-c").close()
    (tmp_path / "probe-c.events").write_text(json.dumps({"at": ORIGIN + 7, "event": "role", "node": "pg-a"}) + "\n")
    write_final(
        tmp_path,
        "pg-a",
        {"set": "ledger", "values": [3, 1]},
        {"set": "ledger", "values": [2, 1]},
        {"set": "probe", "values": []},
        {"facts": {"accounts_total": 100}},
        COMPLETE,
    )
    write_final(tmp_path, "pg-b", {"set": "ledger", "values": [1]})
    write_final(tmp_path, "pg-c", {"error": "connection refused"})
    return tmp_path


def plain(history: History) -> dict[str, Any]:
    """A history as values that can be compared."""
    operations = history.operations
    final = history.final_reads
    return {
        "run": history.run,
        "operations": {name: column.tolist() for name, column in operations.columns.items()},
        "names": dict(operations.names),
        "events": list(history.events),
        "values": {node: {name: v.tolist() for name, v in sets.items()} for node, sets in final.values.items()},
        "facts": final.facts,
        "missing": final.missing,
        "notes": history.notes,
        "payloads": history.payloads,
    }


def test_the_archive_reads_as_the_raw_recordings_did(folder: Path) -> None:
    raw = plain(read(folder))
    archive.write(folder)
    assert plain(read(folder)) == raw
    assert sorted(path.name for path in folder.iterdir()) == ["events.jsonl", "final_reads.parquet", "operations.parquet"]


def test_the_first_event_stays_first(folder: Path) -> None:
    archive.write(folder)
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["run", "role", "phase"]


def test_archiving_again_changes_nothing(folder: Path) -> None:
    archive.write(folder)
    once = {path.name: path.read_bytes() for path in folder.iterdir()}
    archive.write(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == once


def test_an_archiving_that_was_interrupted_is_finished_without_doubles(folder: Path) -> None:
    raw = plain(read(folder))
    kept = {path: path.read_bytes() for path in folder.iterdir() if path.name != "events.jsonl"}
    archive.write(folder)
    for path, content in kept.items():
        path.write_bytes(content)
    archive.write(folder)
    assert plain(read(folder)) == raw


def test_final_reads_are_sorted_and_keep_repetitions_and_empty_sets(folder: Path) -> None:
    final = read(folder).final_reads
    assert {name: values.tolist() for name, values in final.values["pg-a"].items()} == {"ledger": [1, 1, 2, 3], "probe": []}
    assert final.facts["pg-a"] == {"accounts_total": 100}


def test_a_final_read_without_its_last_line_or_with_an_error_is_missing(folder: Path) -> None:
    assert read(folder).final_reads.missing == {"pg-b": "cut off", "pg-c": "connection refused"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "cut off"),
        ('{"set": "ledger", "values": [1]}\n{"complete": tr', "cut off"),
        ('{"set": "ledger", "val\n{"complete": true}\n', "damaged in line 1"),
        ('{"complete": true}\n{"set": "ledger", "values": [1]}\n', "cut off"),
    ],
)
def test_a_damaged_final_read_is_never_taken_for_a_small_one(tmp_path: Path, content: str, reason: str) -> None:
    write_events(tmp_path)
    (tmp_path / "final-pg-a.jsonl").write_text(content)
    final = read(tmp_path).final_reads
    assert (dict(final.values), dict(final.missing)) == ({}, {"pg-a": reason})


def test_a_recording_that_cannot_be_read_is_kept_and_still_noted(folder: Path) -> None:
    (folder / "load-d.ops").write_bytes(b"damaged" * 20)
    archive.write(folder)
    assert (folder / "load-d.ops").exists()
    assert read(folder).notes == ("load-d.ops left out: not a recording of this version",)


def test_raw_files_stay_when_what_was_read_back_differs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lossy(*given: Any) -> Path:
        part = honest(*given)
        table = pq.read_table(part)
        pq.write_table(table.slice(0, table.num_rows - 1), part)
        return part

    honest = archive._write_table
    monkeypatch.setattr(archive, "_write_table", lossy)
    before = sorted(folder.iterdir())
    with pytest.raises(HarnessError, match="raw files were kept"):
        archive.write(folder)
    assert set(before) <= set(folder.iterdir())
    assert not (folder / "operations.parquet").exists()


@pytest.mark.parametrize(("file", "operations", "nodes"), [("operations", 0, 1), ("final_reads", 5, 0)])
def test_a_damaged_archive_leaves_the_rest_readable_and_is_said(folder: Path, file: str, operations: int, nodes: int) -> None:
    archive.write(folder)
    (folder / f"{file}.parquet").write_bytes(b"PAR1 but not really")
    history = read(folder)
    assert (len(history.operations), len(history.final_reads.values), len(history.events)) == (operations, nodes, 2)
    assert history.notes[0].startswith(f"{file}.parquet: damaged")


@pytest.mark.parametrize("file", ["operations", "final_reads"])
def test_an_archive_of_another_version_is_refused(folder: Path, file: str) -> None:
    archive.write(folder)
    path = folder / f"{file}.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({b"harness": json.dumps({"format": 99, "notes": []})}), path)
    with pytest.raises(UsageError, match="format 99"):
        read(folder)


def test_a_history_without_final_reads_or_operations_can_be_archived(tmp_path: Path) -> None:
    write_events(tmp_path)
    archive.write(tmp_path)
    assert len(read(tmp_path).operations) == 0


def test_a_word_that_was_never_noted_stays_unknown(tmp_path: Path) -> None:
    write_events(tmp_path)
    record(tmp_path, "load-a", "az-a", 10)
    names = tmp_path / "load-a.names"
    names.write_text("".join(line for line in names.read_text().splitlines(keepends=True) if '"endpoint"' not in line))
    raw = plain(read(tmp_path))
    archive.write(tmp_path)
    assert plain(read(tmp_path)) == raw
    assert read(tmp_path).operations.words("endpoint").tolist() == [""]


def test_any_reader_of_parquet_sees_words_and_payloads(folder: Path) -> None:
    archive.write(folder)
    table = pq.read_table(folder / "operations.parquet")
    rows = table.select(["intended", "zone", "endpoint", "payload_json"]).to_pylist()
    assert rows[0] == {"intended": 10, "zone": "az-a", "endpoint": "writer", "payload_json": '{"from": 1, "to": 2}'}
    assert rows[1]["payload_json"] is None
    assert table["value"].to_numpy().dtype == np.int64


@pytest.mark.parametrize("name", ["operations", "final_reads"])
def test_pandas_polars_and_duckdb_read_the_same_without_our_code(name: str) -> None:
    file = RECORDED / f"{name}.parquet"
    rows = duckdb.connect().execute(f"SELECT * FROM '{file}'").fetchall()
    by_pandas = pd.read_parquet(file)
    assert pl.read_parquet(file).rows() == rows
    assert by_pandas.astype(object).where(by_pandas.notna(), None).to_numpy().tolist() == [list(row) for row in rows]
