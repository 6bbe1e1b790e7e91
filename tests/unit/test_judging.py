"""The same history gives the same result, wherever and whenever it is judged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pytest

from harness import archive, judging, registry
from harness.history import History, Outcome, each_node
from harness.recording import NOTHING, Notes, Recorder
from harness.verdict import Verdict
from tests.unit.histories import ZONES, Run, ns

ORIGIN = ns(1000)
NODES = [
    *({"name": f"pg-{zone}", "zone": zone, "role": "database"} for zone in ZONES),
    *({"name": f"client-{zone}", "zone": zone, "role": "client"} for zone in ZONES),
]
HEAVY = ("docker", "psycopg", "redis", "locust", "testcontainers", "toxiproxy", "gevent", "harness.runtimes", "harness.links")


def failover() -> Run:
    """The writer of az-a crashes at 15 s, writes are back at 17 s on az-b, nothing is lost."""
    run = Run(end=40, topology={"zones": list(ZONES), "nodes": NODES}, invariants={"accounts_total": 100})
    for number, zone in enumerate(ZONES):
        run.probes((15, 17), zone=zone).probes((15, 17), zone=zone, lane="fresh", every=0.2)
        run.probes((15, 16), zone=zone, kind="read", endpoint="reader", every=0.1)
        run.load((15, 17), zone=zone, first=number * 10_000).load(zone=zone, kind="read")
        reigns = {"az-a": (15.0, 99.0), "az-b": (0.0, 16.5), "az-c": (0.0, 99.0)}
        run.probes(reigns[zone], zone=zone, endpoint=f"node:pg-{zone}", every=0.1)
        run.role(0, f"pg-{zone}", "primary" if zone == "az-a" else "replica")
    run.fault(15, 20, hit=("pg-az-a",)).role(16.5, "pg-az-b", "primary").role(21, "pg-az-a", "replica")
    run.event(22, "cluster", healthy=True).event(41, "authority", node="pg-az-b").event(
        42, "rejoin", node="pg-az-a", way="rewind"
    )
    ledger = [row["value"] for row in run.rows if row["kind"] == "write" and row["outcome"] == Outcome.OK]
    for zone in ZONES:
        run.final(f"pg-{zone}", {"accounts_total": 100}, ledger=ledger)
    return run.expect("write_outage", max=3).expect("lost_writes", max=0)


def switched_over() -> Run:
    """The same run, had pg-az-a been asked to hand over: one planned change, and nothing is broken."""
    run = failover()
    run.run["faults"] = []
    run.events = [event for event in run.events if event.name not in ("fault", "witness")]
    first, then = ({f"pg-{z}": "primary" if z == zone else "replica" for z in ZONES} for zone in ("az-a", "az-b"))
    return run.change(15, 20, before=first, after=then, said="pg-az-b took over from pg-az-a")


def verdicts(run: Run) -> dict[str, str]:
    return {finding.checker: finding.verdict.value for finding in judging.judge(run.history())}


def write_raw(run: Run, folder: Path) -> None:
    """A run as its processes would have recorded it, in `folder/history`."""
    history = folder / "history"
    history.mkdir(parents=True)
    notes = Notes(history / "events.jsonl")
    notes.write("run", ORIGIN, **run.run)
    for event in run.events:
        notes.write(event.name, ORIGIN + event.at, **event.data)
    notes.close()
    recorders: dict[str, Recorder] = {}
    for row in sorted(run.rows, key=lambda row: int(row["intended"])):
        if row["process"] not in recorders:
            recorders[row["process"]] = Recorder(history, row["process"], row["zone"])
        _record(recorders[row["process"]], row)
    for recorder in recorders.values():
        recorder.close()
    for node, sets in run.reads.items():
        lines: list[dict[str, Any]] = [{"set": name, "values": values} for name, values in sets.items()]
        lines += [{"facts": run.facts[node]}, {"complete": True}]
        (history / f"final-{node}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _record(recorder: Recorder, row: Mapping[str, Any]) -> None:
    def absolute(time: int) -> int:
        return time if time == NOTHING else ORIGIN + time

    lane, kind, endpoint = (recorder.name(column, row[column]) for column in ("lane", "kind", "endpoint"))
    at = recorder.begin(
        lane, kind, endpoint,
        client=0, intended=absolute(row["intended"]), started=absolute(row["started"]), value=row["value"],
    )  # fmt: skip
    recorder.end(at, row["outcome"], absolute(row["ended"]), recorder.name("error", row["error"]))
    if row["answered"] != NOTHING:
        recorder.answered(at, absolute(row["answered"]))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with its archived history, and no result.json."""
    folder = tmp_path_factory.mktemp("run")
    write_raw(failover(), folder)
    archive.write(folder / "history")
    return folder


def test_a_run_that_kept_every_promise_passes() -> None:
    result = judging.result(failover().history())
    assert (result["verdict"], set(verdicts(failover()).values())) == ("pass", {"pass"}), result["reason"]


def test_a_change_is_measured_figure_by_figure_as_a_fault_is() -> None:
    broken, moved = (judging.result(run.history()) for run in (failover(), switched_over()))
    assert moved["verdict"] == "pass", moved["reason"]
    assert [finding["measured"] for finding in moved["findings"]] == [finding["measured"] for finding in broken["findings"]]
    jsonschema.validate(moved, json.loads(judging.SCHEMA.read_text()))
    [change] = moved["faults"]
    assert (change["change"], change["injected_at_s"], change["healed_at_s"], change["witnessed"]) == (True, 15, 20, True)
    witness = next(finding for finding in moved["findings"] if finding["checker"] == "witness")
    did = "pg-az-b took over from pg-az-a"
    assert witness["summary"] == f"switchover of pg-az-a was verified (pg-az-a, pg-az-b, pg-az-c): {did}"


def test_every_checker_has_its_say() -> None:
    assert list(verdicts(failover())) == list(registry.names("checkers"))


def lose_a_write(run: Run) -> None:
    run.reads["pg-az-b"]["ledger"].pop(50)


def double_a_write(run: Run) -> None:
    run.reads["pg-az-b"]["ledger"].append(run.reads["pg-az-b"]["ledger"][50])


def keep_a_second_primary(run: Run) -> None:
    run.rows = [row for row in run.rows if row["endpoint"] != "node:pg-az-a"]
    run.probes(zone="az-a", endpoint="node:pg-az-a", every=0.1)


def lengthen_the_outage(run: Run) -> None:
    run.rows = [row for row in run.rows if row["zone"] != "az-c" or row["lane"] != "kept" or row["endpoint"] != "writer"]
    run.probes((15, 19), zone="az-c")


def change_the_total(run: Run) -> None:
    run.facts["pg-az-b"] = {"accounts_total": 99}


def change_roles_early(run: Run) -> None:
    run.role(5, "pg-az-c", "primary").role(6, "pg-az-c", "replica")


def blind_the_witness(run: Run) -> None:
    run.events = [event for event in run.events if event.name != "witness"]


def fail_before_the_fault(run: Run) -> None:
    run.load((5, 6), zone="az-c", kind="read")


@pytest.mark.parametrize(
    ("plant", "checker", "verdict"),
    [
        (lose_a_write, "durability", "fail"),
        (double_a_write, "durability", "fail"),
        (keep_a_second_primary, "split_brain", "fail"),
        (lengthen_the_outage, "outage", "fail"),
        (change_the_total, "invariants", "fail"),
        (change_roles_early, "roles", "unknown"),
        (blind_the_witness, "witness", "unknown"),
        (fail_before_the_fault, "steady_state", "unknown"),
    ],
)
def test_one_planted_change_flips_its_checker_and_the_run_and_no_other(
    plant: Callable[[Run], None], checker: str, verdict: str
) -> None:
    run = failover()
    plant(run)
    flipped = {name: found for name, found in verdicts(run).items() if found != "pass"}
    assert flipped == {checker: verdict}
    result = judging.result(run.history())
    assert result["verdict"] == verdict
    jsonschema.validate(json.loads(json.dumps(result, allow_nan=False)), json.loads(judging.SCHEMA.read_text()))


def test_judging_a_folder_agrees_with_judging_what_was_recorded(recorded: Path) -> None:
    assert judging.judge_folder(recorded) == judging.result(failover().history())
    assert judging.judge_folder(recorded / "history") == judging.judge_folder(recorded)


def test_raw_and_archived_histories_are_judged_alike(recorded: Path, tmp_path: Path) -> None:
    write_raw(failover(), tmp_path)
    assert judging.judge_folder(tmp_path) == judging.judge_folder(recorded)


def test_judging_needs_no_engine_no_driver_and_no_load_generator(recorded: Path) -> None:
    program = """
import json, sys
from pathlib import Path

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if any(name == heavy or name.startswith(heavy + ".") for heavy in HEAVY):
            raise ImportError(f"{name} is blocked in this test")

HEAVY = sys.argv[2].split(",")
sys.meta_path.insert(0, Blocked())
from harness import judging
print(json.dumps(judging.judge_folder(Path(sys.argv[1]))))
"""
    argv = [sys.executable, "-c", program, str(recorded), ",".join(HEAVY)]
    ran = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == json.loads(json.dumps(judging.judge_folder(recorded)))


def test_the_result_is_strict_json_of_the_published_schema(recorded: Path) -> None:
    schema = json.loads(judging.SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    unrecovered = Run(end=20).probes((15, 99)).fault(15).expect("write_outage", max=3)
    results = [judging.judge_folder(recorded), *(judging.result(run.history()) for run in (Run(), Run(steady=None), unrecovered))]
    for result in results:
        jsonschema.validate(json.loads(json.dumps(result, allow_nan=False)), schema)


def test_the_schema_refuses_what_is_no_result(recorded: Path) -> None:
    schema = json.loads(judging.SCHEMA.read_text())
    good = json.loads(json.dumps(judging.judge_folder(recorded)))
    for bad in ({**good, "verdict": "maybe"}, {**good, "extra": 1}, {key: good[key] for key in good if key != "seed"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)


def test_the_result_says_what_was_done_and_seen(recorded: Path) -> None:
    result = judging.judge_folder(recorded)
    (fault,) = result["faults"]
    assert (fault["injected_at_s"], fault["healed_at_s"], fault["witnessed"], fault["hit"]) == (15, 20, True, ["pg-az-a"])
    assert [witness["stage"] for witness in fault["witnesses"]] == ["before", "begin", "end", "after"]
    assert result["phases"] == [{"phase": "steady", "at_s": 0}, {"phase": "final_reads", "at_s": 40}]
    assert (result["scenario"], result["seed"], result["duration_s"]) == ("a/test", 1, 40)


def test_an_empty_history_is_unknown() -> None:
    assert judging.result(Run(steady=None).history())["verdict"] == "unknown"


class Broken:
    metrics: ClassVar[Mapping[str, str]] = {}

    def check(self, history: History) -> Any:
        raise ZeroDivisionError("by nothing")


def test_a_checker_that_raises_makes_the_run_unknown_and_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = registry.find
    monkeypatch.setattr(registry, "find", lambda kind, name: Broken if name == "errors" else honest(kind, name))
    found = {finding.checker: finding for finding in judging.judge(failover().history())}
    assert (found["errors"].verdict, found["errors"].validity) == (Verdict.UNKNOWN, True)
    assert found["errors"].summary == "the checker errors could not judge: ZeroDivisionError: by nothing"
    assert {one.verdict for name, one in found.items() if name != "errors"} == {Verdict.PASS}


def test_a_history_without_a_topology_is_unknown_and_not_a_crash() -> None:
    run = failover()
    del run.run["topology"]
    assert judging.result(run.history())["verdict"] == "unknown"


def test_an_expectation_that_no_checker_knows_is_unknown() -> None:
    found = judging.judge(failover().expect("stale_reads", max=0).history())
    assert (found[-1].verdict, found[-1].summary) == (Verdict.UNKNOWN, "no checker measures stale_reads")


def test_every_metric_has_one_checker_and_a_known_unit() -> None:
    units: dict[str, str] = {}
    for name in registry.names("checkers"):
        metrics = registry.find("checkers", name).metrics
        assert not units.keys() & metrics.keys(), name
        units |= metrics
    assert set(units.values()) <= {"s", "share", "count", "ratio"}
    assert {"write_outage", "read_outage", "recovery", "redundancy_recovery", "lost_writes", "split_brain"} <= units.keys()


def test_a_million_operations_are_judged_alike() -> None:
    """Large enough that a judge that loops over operations is noticed by whoever waits for the tests."""
    run = failover()
    history = run.history()
    few = {name: column[history.operations.mask(kind="write")] for name, column in history.operations.columns.items()}
    times = 1_000_000 // len(few["value"])
    many = {name: np.tile(column, times) for name, column in few.items()}
    many["value"] = np.where(
        many["value"] == NOTHING, NOTHING, many["value"] + 100_000 * np.repeat(np.arange(times), len(few["value"]))
    )
    columns = {name: np.concatenate([history.operations[name], many[name]]) for name in history.operations.columns}
    order = np.argsort(columns["intended"], kind="stable")
    object.__setattr__(history.operations, "columns", {name: column[order] for name, column in columns.items()})
    acknowledged = (many["outcome"] == Outcome.OK) & (many["value"] != NOTHING)
    held = np.sort(np.concatenate([history.final_reads.values["pg-az-b"]["ledger"], many["value"][acknowledged]]))
    for node in each_node(history, "database"):
        object.__setattr__(history.final_reads, "values", {**history.final_reads.values, node: {"ledger": np.unique(held)}})
    assert {finding.checker: finding.verdict.value for finding in judging.judge(history)} == dict.fromkeys(verdicts(run), "pass")
