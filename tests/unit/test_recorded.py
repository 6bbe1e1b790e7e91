"""Real runs, recorded on containers and namespaces: each is judged as it was, and one planted change flips its judge and the run.

Changes are planted in copies of the files, so that reading is tested along with judging. The recordings are made anew
when the harness changes; hence the tests read from them what they plant.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from harness import judging
from harness.clock import SECOND_NS
from harness.history import NOTHING, Array, History, Mask, Outcome, read, read_recording
from harness.intervals import authorities
from harness.recording import HEADER, RECORD_BYTES, Recorder

RECORDED = Path(__file__).parents[1] / "recorded"
NAMES = sorted(folder.name for folder in RECORDED.iterdir())
CRASH, OUTAGE, LATENCY = "writer_crash", "zone_outage_asynchronous", "client_latency"
STALE = "stale_cache"
SHARD = "shard_primary_crash"
FAILOVER = "failover_phases"  # with the logs of manager and routers, and what Locust says of itself


@cache
def original(name: str) -> History:
    return read(RECORDED / name / "history")


class Copy:
    """A recorded run that may be changed."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder / "history"
        shutil.copytree(RECORDED / name / "history", self.folder)
        self.was = original(name)
        self.origin = self.events()[0]["at"]

    def judged(self) -> dict[str, Any]:
        return judging.judge_folder(self.folder)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "events.jsonl").read_text("utf-8").splitlines()]

    def write_events(self, events: list[dict[str, Any]]) -> None:
        (self.folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), "utf-8")

    def operations(self, chosen: Mask, **columns: Any) -> None:
        """Gives the chosen operations other values in some columns."""
        path = self.folder / "operations.parquet"
        table = pq.read_table(path)
        for name, values in columns.items():
            changed = np.where(chosen, values, self.was.operations[name]).astype(self.was.operations[name].dtype)
            table = table.set_column(table.column_names.index(name), name, pa.array(changed))
        pq.write_table(table, path)

    def final_reads(self, rows: Callable[[Array, int], Array], value: int) -> None:
        """Takes other rows of the final reads: `rows` of all, and of the one that holds `value` on the authority."""
        path = self.folder / "final_reads.parquet"
        table = pq.read_table(path)
        held = np.isin(np.array(table["node"].to_pylist()), authorities(self.was))
        [at] = np.flatnonzero(held & (table["value"].to_numpy() == value))
        pq.write_table(table.take(rows(np.arange(len(table)), int(at))), path)

    def acknowledged(self) -> tuple[int, Mask]:
        """A value that the workload was acknowledged before any fault and the authority holds, and where it was written."""
        operations = self.was.operations
        there = np.isin(operations["value"], self.was.final_reads.values[authorities(self.was)[0]]["ledger"])
        ok = operations.mask(lane="workload", kind="write") & (operations["outcome"] == Outcome.OK) & there
        first = int(np.flatnonzero(ok)[0])
        value = int(operations["value"][first])
        return value, operations["value"] == value


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[str], Copy]:
    return lambda name: Copy(name, tmp_path)


def flipped(result: Mapping[str, Any]) -> dict[str, str]:
    """The findings that do not pass."""
    return {finding["checker"]: finding["verdict"] for finding in result["findings"] if finding["verdict"] != "pass"}


# --- as they were recorded ---


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_run_is_judged_as_it_was_and_so_again(name: str) -> None:
    once = judging.judge_folder(RECORDED / name)
    assert (once["verdict"], flipped(once), once["notes"]) == ("pass", {}, []), once["reason"]
    assert judging.judge_folder(RECORDED / name) == once


# --- one planted change ---


def lose_a_write(run: Copy) -> None:
    value, _ = run.acknowledged()
    run.final_reads(np.delete, value)


def apply_a_write_twice(run: Copy) -> None:
    value, _ = run.acknowledged()
    run.final_reads(lambda rows, at: np.insert(rows, at, at), value)


def resurrect_a_write(run: Copy) -> None:
    _, where = run.acknowledged()
    run.operations(where, outcome=Outcome.FAILED)


def crown_a_second_primary(run: Copy) -> None:
    """Another node acknowledges what its prober writes, for three seconds in which the primary does so, too."""
    operations, begin = run.was.operations, run.was.phase("steady") or 0
    nodes = sorted(name for name in operations.names["endpoint"] if name.startswith("node:"))
    early = (operations["intended"] > begin) & (operations["intended"] < begin + 3 * SECOND_NS)
    refusing = [node for node in nodes if (operations["outcome"] == Outcome.FAILED)[early & operations.mask(endpoint=node)].any()]
    run.operations(early & operations.mask(endpoint=refusing[0]), outcome=Outcome.OK)


def lengthen_the_outage(run: Copy) -> None:
    """No kept connection to the writer is answered until the outage is longer than it may be."""
    [bound] = [line["max"] for line in run.was.run["expect"] if line["metric"] == "write_outage"]
    operations, broken = run.was.operations, run.was.faults[0].injecting or 0
    until = broken + (bound + 2) * SECOND_NS
    kept = operations.mask(lane="kept", endpoint="writer") & (operations["outcome"] == Outcome.OK)
    run.operations(kept & (operations["intended"] >= broken) & (operations["intended"] < until), outcome=Outcome.UNKNOWN)


def break_another_shard(run: Copy) -> None:
    """A second after the first shard's primary died, nobody writes to the second one for a second."""
    operations, broken = run.was.operations, run.was.faults[0].injecting or 0
    since = (broken + SECOND_NS <= operations["intended"]) & (operations["intended"] < broken + 2 * SECOND_NS)
    run.operations(operations.mask(lane="kept", endpoint="writer:2") & since, outcome=Outcome.UNKNOWN)


def lose_a_write_of_another_shard(run: Copy) -> None:
    operations = run.was.operations
    there = np.isin(operations["value"], np.concatenate([held["scattered"] for held in run.was.final_reads.values.values()]))
    ok = operations.mask(lane="workload", kind="append", endpoint="writer:2") & (operations["outcome"] == Outcome.OK) & there
    run.final_reads(np.delete, int(operations["value"][np.flatnonzero(ok)[0]]))


def be_late(run: Copy) -> None:
    """Every kept probe of the writer starts, and ends, 100 ms later than it did."""
    operations = run.was.operations
    late = {name: operations[name] + SECOND_NS // 10 for name in ("started", "ended", "answered")}
    there = {name: np.where(operations[name] == NOTHING, NOTHING, times) for name, times in late.items()}
    run.operations(operations.mask(lane="kept", endpoint="writer"), **there)


def make_money(run: Copy) -> None:
    path = run.folder / "final_reads.parquet"
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[b"harness"])
    about["facts"][authorities(run.was)[0]]["accounts_total"] += 1
    pq.write_table(table.replace_schema_metadata({b"harness": json.dumps(about)}), path)


def send_a_witness_home(run: Copy) -> None:
    """One of those who should have looked at the beginning did not."""
    events = run.events()
    events.remove(next(event for event in events if event["event"] == "witness" and event["stage"] == "begin"))
    run.write_events(events)


def blind_a_witness(run: Copy) -> None:
    """One of those who looked at the beginning saw what it had seen before."""
    events = run.events()
    begin = next(event for event in events if event["event"] == "witness" and event["stage"] == "begin")
    begin["seen"] = next(
        event["seen"]
        for event in events
        if event["event"] == "witness" and event["stage"] == "before" and event["vantage"] == begin["vantage"]
    )
    run.write_events(events)


def promote_before_the_fault(run: Copy) -> None:
    """A replica says that it is primary, and a moment later that it is not."""
    events, steady = run.events(), run.was.phase("steady") or 0
    replica = next(event["node"] for event in events if event["event"] == "role" and event["role"] == "replica")
    for after, role in ((1, "primary"), (2, "replica")):
        at = run.origin + steady + after * SECOND_NS
        events.append({"at": at, "event": "role", "node": replica, "role": role})
    run.write_events([events[0], *sorted(events[1:], key=lambda event: int(event["at"]))])


def forget(*what: str) -> Callable[[Copy], None]:
    """What manager or routers wrote of that is not in the history."""

    def plant(run: Copy) -> None:
        run.write_events([event for event in run.events() if event["event"] != "manager" or event["what"] not in what])

    return plant


def serve_what_was_replaced(run: Copy) -> None:
    """One late read got what its key held at first, though an update had replaced it longer ago than an entry may live."""
    operations = run.was.operations
    bound = max(line["max"] or 0 for line in run.was.run["expect"] if line["metric"] == "staleness_max")
    ok = operations.mask(lane="workload") & (operations["outcome"] == Outcome.OK)
    judged = ok & (operations["intended"] < run.was.end - 2 * SECOND_NS)
    read = int(np.flatnonzero(judged & operations.mask(kind="read cached", error=""))[-1])
    early = ok & operations.mask(kind="update") & (operations["ended"] < operations["started"][read] - (bound + 1) * SECOND_NS)
    chosen = np.arange(len(operations)) == read
    run.operations(chosen, value=0, key=int(operations["key"][np.flatnonzero(early)[0]]))


def answer_no_read(run: Copy) -> None:
    """No read through the cache was answered."""
    run.operations(run.was.operations.mask(kind="read cached"), outcome=Outcome.NOT_SENT)


def elect_early(run: Copy) -> None:
    """The new primary's manager says that it was elected six seconds before it was."""
    events = run.events()
    for event in events:
        if event["event"] == "manager" and event["what"] == "elected":
            event["at"] -= 6 * SECOND_NS
    run.write_events([events[0], *sorted(events[1:], key=lambda event: int(event["at"]))])


@pytest.mark.parametrize(
    ("name", "plant", "checker", "verdict", "said"),
    [
        (CRASH, lose_a_write, "durability", "fail", "lost_writes 1, at most 0"),
        (CRASH, apply_a_write_twice, "durability", "fail", "duplicated_writes 1, at most 0"),
        (OUTAGE, crown_a_second_primary, "split_brain", "fail", "acknowledged writes at once"),
        (CRASH, lengthen_the_outage, "outage", "fail", "write_outage"),
        (CRASH, be_late, "instrument", "unknown", "of the scheduled probes of az-a started within 10 ms"),
        (CRASH, make_money, "invariants", "fail", "accounts_total is"),
        (CRASH, send_a_witness_home, "witness", "unknown", "did not look at its beginning"),
        (CRASH, blind_a_witness, "witness", "unknown", "saw 'answers' at its beginning"),
        (LATENCY, blind_a_witness, "witness", "unknown", "saw 'prompt' at its beginning"),
        (CRASH, promote_before_the_fault, "roles", "unknown", "became primary at"),
        (LATENCY, promote_before_the_fault, "roles", "fail", "unplanned_role_changes 1, at most 0"),
        (FAILOVER, forget("promoted"), "phases", "unknown", "promote could not be measured"),
        (FAILOVER, forget("routed"), "phases", "unknown", "route could not be measured"),
        (FAILOVER, elect_early, "phases", "fail", "promote 6."),
        (SHARD, break_another_shard, "outage", "fail", "write_outage_elsewhere"),
        (SHARD, lose_a_write_of_another_shard, "durability", "fail", "lost_writes_elsewhere 1, at most 0"),
        (STALE, serve_what_was_replaced, "cache", "fail", "staleness_max 2"),
    ],
)
def test_one_planted_change_flips_its_checker_and_the_run_and_no_other(
    copy: Callable[[str], Copy], name: str, plant: Callable[[Copy], None], checker: str, verdict: str, said: str
) -> None:
    run = copy(name)
    plant(run)
    result = run.judged()
    assert (result["verdict"], flipped(result)) == (verdict, {checker: verdict})
    assert said in result["reason"]


def test_a_run_in_which_no_read_was_answered_tells_nothing_of_its_cache(copy: Callable[[str], Copy]) -> None:
    run = copy(STALE)
    answer_no_read(run)
    result = run.judged()
    assert result["verdict"] == "unknown"
    assert flipped(result)["cache"] == "unknown"


def test_a_resurrected_write_fails_a_run_that_expects_none(copy: Callable[[str], Copy]) -> None:
    run = copy(CRASH)
    events = run.events()
    events[0]["expect"].append({"metric": "resurrected_writes", "max": 0})
    run.write_events(events)
    assert run.judged()["verdict"] == "pass"
    resurrect_a_write(run)
    result = run.judged()
    assert (result["verdict"], flipped(result)) == ("fail", {"durability": "fail"})
    assert "resurrected_writes 1, at most 0" in result["reason"]


def test_without_locusts_own_figures_a_run_that_expects_something_of_them_is_unknown(copy: Callable[[str], Copy]) -> None:
    run = copy(FAILOVER)
    events = run.events()
    events[0]["expect"].append({"metric": "lie_factor", "min": 2})
    run.write_events(events)
    assert run.judged()["verdict"] == "pass", "twenty seconds of an outage are more than Locust shows"
    run.write_events([event for event in events if event["event"] != "locust"])
    result = run.judged()
    assert (result["verdict"], flipped(result)) == ("unknown", {"lie_factor": "unknown"})
    assert "the history does not hold Locust's own figures" in result["reason"]


# --- cut off ---


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 1.0])
def test_events_that_were_cut_off_within_a_line_are_read_up_to_it(copy: Callable[[str], Copy], part: float) -> None:
    run = copy(CRASH)
    path = run.folder / "events.jsonl"
    content = path.read_bytes()
    ends = [at for at, byte in enumerate(content) if byte == ord("\n")]
    whole = max(1, int(part * (len(ends) - 1)))  # lines; the one after them is cut
    path.write_bytes(content[: ends[whole - 1] + 1 + (ends[whole] - ends[whole - 1]) // 2])
    history = read(run.folder)
    assert len(history.events) == whole - 1  # the first line is the run itself
    assert history.notes == ("events.jsonl: cut off or damaged; lines left out: 1",)
    result = run.judged()
    assert result["verdict"] == "unknown"
    assert "events.jsonl: cut off or damaged" in result["reason"]


@pytest.mark.parametrize("file", ["operations.parquet", "final_reads.parquet"])
@pytest.mark.parametrize("part", [0, 0.5, 0.999])
def test_an_archive_that_was_cut_off_is_left_out_and_said(copy: Callable[[str], Copy], file: str, part: float) -> None:
    run = copy(CRASH)
    path = run.folder / file
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    history = read(run.folder)
    assert (len(history.operations) > 0, len(history.final_reads.values) > 0) == (file[0] == "f", file[0] == "o")
    result = run.judged()
    assert result["verdict"] == "unknown"
    assert f"not everything could be read: {file}: damaged" in result["reason"]


def record_again(history: History, folder: Path, origin: int, most: int | None = None) -> None:
    """The operations (at most so many of each process) as their processes recorded them."""
    operations = history.operations
    zones, processes = operations.words("zone"), operations.words("process")
    for process in operations.names["process"]:
        of_it = operations.at(np.flatnonzero(processes == process)[:most])
        recorder = Recorder(folder, process, str(zones[processes == process][0]))
        words = [of_it.words(column) for column in ("lane", "kind", "endpoint", "error")]
        columns = ("client", "intended", "started", "key", "value", "payload", "outcome", "ended", "answered")
        for *named, error, numbers in zip(*words, _rows(of_it.columns, columns, origin), strict=True):
            outcome, ended, answered = (numbers.pop(name) for name in ("outcome", "ended", "answered"))
            if numbers["payload"]:
                numbers["payload"] = recorder.payload(history.payloads[process][numbers["payload"]])
            codes = [recorder.name(column, word) for column, word in zip(("lane", "kind", "endpoint"), named, strict=True)]
            at = recorder.begin(*codes, **numbers)
            recorder.answered(at, answered)
            if ended != NOTHING:
                recorder.end(at, outcome, ended, recorder.name("error", error))
        recorder.close()


def _rows(columns: Mapping[str, Array], names: tuple[str, ...], origin: int) -> Iterator[dict[str, int]]:
    """The operations as numbers, their times as the clock said them."""
    times = ("intended", "started", "ended", "answered")
    clock = {name: np.where(columns[name] == NOTHING, NOTHING, columns[name] + origin) for name in times}
    for row in zip(*({**columns, **clock}[name].tolist() for name in names), strict=True):
        yield dict(zip(names, row, strict=True))


def test_raw_recordings_are_judged_as_their_archive(copy: Callable[[str], Copy]) -> None:
    run = copy(CRASH)
    archived = run.judged()
    (run.folder / "operations.parquet").unlink()
    record_again(run.was, run.folder, run.origin)
    assert run.judged() == archived


def test_a_recording_that_was_cut_off_holds_whole_records_only(copy: Callable[[str], Copy]) -> None:
    run = copy(CRASH)
    (run.folder / "operations.parquet").unlink()
    record_again(run.was, run.folder, run.origin, most=40)
    path = min(run.folder.glob("*.ops"))
    content, whole = path.read_bytes(), read_recording(path)
    end = HEADER.size + 20 * RECORD_BYTES
    for cut in range(end - RECORD_BYTES, end + RECORD_BYTES + 1, 7):
        path.write_bytes(content[:cut])
        records, rest = divmod(cut - HEADER.size, RECORD_BYTES)
        history = read(run.folder)
        of_it = history.operations.where(process=path.stem)
        assert of_it["intended"].tolist() == (whole["intended"][:records] - run.origin).tolist()
        assert history.notes == ((f"{path.name}: cut off within a record; {records} whole ones were read",) if rest else ())
    assert judging.result(history)["verdict"] == "unknown"


def measured(result: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: one["value"] for finding in result["findings"] for name, one in finding["measured"].items()}


def test_events_that_were_cut_off_are_judged_by_what_is_whole(copy: Callable[[str], Copy]) -> None:
    run = copy(CRASH)
    whole = run.judged()
    path = run.folder / "events.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    result = run.judged()
    said = "events.jsonl: cut off or damaged; lines left out: 1"
    assert (result["notes"], result["verdict"]) == ([said], "unknown")
    assert said in result["reason"]
    assert measured(result) == measured(whole)


def test_recorders_that_were_cut_off_are_judged_by_what_is_whole(copy: Callable[[str], Copy]) -> None:
    run = copy(CRASH)
    (run.folder / "operations.parquet").unlink()
    record_again(run.was, run.folder, run.origin)
    path = run.folder / "probe-az-a.ops"
    path.write_bytes(path.read_bytes()[: -RECORD_BYTES // 2])
    result = run.judged()
    records = path.stat().st_size // RECORD_BYTES - 1
    assert result["notes"] == [f"probe-az-a.ops: cut off within a record; {records} whole ones were read"]
    assert result["verdict"] == "unknown"
    assert (measured(result)["write_outage"] or 0) > 10
