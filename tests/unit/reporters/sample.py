"""What does a run look like? A made-up history of a writer's crash, with the result that fits it.

Three zones, 64 s of which 60 are load: the writer `pg-az-a` is killed at 19 s, `pg-az-b` takes over about
22 s later, the old primary comes back as a replica. The numbers are drawn with numpy from a fixed seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import judging
from harness.clock import SECOND_NS
from harness.history import NUMBERS, WORDS, Event, FinalReads, History, Operations, Outcome

ZONES = ("az-a", "az-b", "az-c")
STEADY_S, CRASH_S, PROMOTED_S, HEALED_S, END_S = 4.0, 19.0, 40.9, 42.0, 64.0
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028"

Array = npt.NDArray[Any]


@dataclass
class Builder:
    """Collects rows of operations, one lane at a time, and lays them out as columns."""

    words: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in WORDS})
    parts: list[dict[str, Array]] = field(default_factory=list)

    def add(self, intended_s: Array, latency_s: Array, outcome: Array, errors: Sequence[str] | str = "", **words: str) -> None:
        """Operations by their intended starts; `errors` is one word for all that are not ok, or one for each."""
        size = len(intended_s)
        intended = (np.asarray(intended_s) * SECOND_NS).astype(np.int64)
        part: dict[str, Array] = {name: np.full(size, -1, dtype=np.int64) for name in NUMBERS}
        sent = np.asarray(outcome) != Outcome.NOT_SENT
        part |= {"intended": intended, "outcome": np.asarray(outcome, dtype=np.uint8)}
        part["started"] = np.where(sent, intended + 200_000, -1)
        part["ended"] = intended + (np.asarray(latency_s) * SECOND_NS).astype(np.int64)
        part |= {"client": np.zeros(size, np.uint32), "payload": np.zeros(size, np.uint32)}
        each = [errors] * size if isinstance(errors, str) else errors
        classes = ["" if ok else error for ok, error in zip(part["outcome"] == Outcome.OK, each, strict=True)]
        for column in WORDS:
            texts = classes if column == "error" else [words[column]] * size
            part[column] = np.array([self._code(column, text) for text in texts], dtype=np.int32)
        self.parts.append(part)

    def _code(self, column: str, word: str) -> int:
        if word not in self.words[column]:
            self.words[column].append(word)
        return self.words[column].index(word)

    def operations(self) -> Operations:
        """All rows, ordered by intended start."""
        columns = {name: np.concatenate([part[name] for part in self.parts]) for name in (*NUMBERS, *WORDS)}
        order = np.argsort(columns["intended"], kind="stable")
        return Operations({name: column[order] for name, column in columns.items()}, {n: tuple(w) for n, w in self.words.items()})


def operations(rng: np.random.Generator, reset_error: str = "connection_refused", rate_per_s: float = 300) -> Operations:
    """The probes' and the workload's operations of the made-up run."""
    made = Builder()
    for number, zone in enumerate(ZONES):
        back_s = PROMOTED_S + 0.12 * number
        for lane, cadence_s in (("kept", 0.02), ("fresh", 0.25)):
            for endpoint, kind in (("writer", "probe_write"), ("reader", "read")):
                spaced_s = cadence_s if endpoint == "writer" else cadence_s * 5
                reader_down = CRASH_S + 0.9 if endpoint == "reader" and zone == "az-a" else CRASH_S
                until_s = back_s if endpoint == "writer" else reader_down
                _lane(made, rng, zone, lane, endpoint, kind, spaced_s, (CRASH_S, until_s), reset_error)
        node_down = {"az-a": (CRASH_S, HEALED_S + 3)}.get(zone, (0.0, 0.0))
        writes = {"az-a": (STEADY_S, CRASH_S), "az-b": (PROMOTED_S, END_S)}.get(zone, (0.0, 0.0))
        _node_lane(made, rng, zone, node_down, writes)
        _load(made, rng, zone, back_s, reset_error, rate_per_s / len(ZONES))
    return made.operations()


def _lane(
    made: Builder, rng: np.random.Generator, zone: str, lane: str, endpoint: str, kind: str,
    cadence_s: float, down_s: tuple[float, float], error: str,
) -> None:  # fmt: skip
    at = np.arange(STEADY_S, END_S, cadence_s)
    down = (at >= down_s[0]) & (at < down_s[1])
    early = down & (at < down_s[0] + 2)
    outcome = np.where(down, np.where(early, Outcome.FAILED, Outcome.UNKNOWN), Outcome.OK)
    outcome[down & (at > down_s[0] + 6) & (at < down_s[0] + 8)] = Outcome.NOT_SENT
    latency = np.where(down, np.where(early, 0.001, 0.1), rng.lognormal(-6, 0.3, len(at)))
    errors = [error if is_early else "deadline" for is_early in early]
    made.add(at, latency, outcome, errors, process=f"probes-{zone}", zone=zone, lane=lane, kind=kind, endpoint=endpoint)


def _node_lane(
    made: Builder, rng: np.random.Generator, zone: str, down_s: tuple[float, float], writes_s: tuple[float, float]
) -> None:
    at = np.arange(STEADY_S, END_S, 0.1)
    writes = (at >= writes_s[0]) & (at < writes_s[1])
    latency = rng.lognormal(-6, 0.2, len(at))
    errors = ["connection_refused" if down_s[0] <= t < down_s[1] else "read_only" for t in at]
    outcome = np.where(writes, Outcome.OK, Outcome.FAILED)
    made.add(
        at, latency, outcome, errors,
        process=f"probes-{zone}", zone=zone, lane="kept", kind="probe_write", endpoint=f"node:pg-{zone}",
    )  # fmt: skip


def _load(made: Builder, rng: np.random.Generator, zone: str, back_s: float, error: str, rate_per_s: float) -> None:
    at = np.sort(rng.uniform(STEADY_S, END_S, int(rate_per_s * (END_S - STEADY_S))))
    reads = rng.random(len(at)) < 0.5
    down = (at >= CRASH_S) & (at < back_s + 0.4) & (~reads | (at < CRASH_S + 0.8))
    slow = 1 + 6 * np.exp(-np.clip(at - back_s, 0, None) / 2) * (at >= back_s)
    latency = np.where(reads, 0.0018, 0.0045) * rng.lognormal(0, 0.45, len(at)) * slow
    refused = down & (at < CRASH_S + 2)
    outcome = np.where(down, np.where(refused, Outcome.FAILED, Outcome.UNKNOWN), Outcome.OK)
    outcome[down & (rng.random(len(at)) < 0.3)] = Outcome.NOT_SENT
    latency = np.where(down, np.where(refused, 0.002, 1.0), latency)
    errors = np.where(refused, error, np.where(outcome == Outcome.NOT_SENT, "past_deadline", "deadline"))
    for kind, mask, endpoint in (("read", reads, "reader"), ("write", ~reads, "writer")):
        made.add(
            at[mask], latency[mask], outcome[mask], [str(word) for word in errors[mask]],
            process=f"load-{zone}", zone=zone, lane="workload", kind=kind, endpoint=endpoint,
        )  # fmt: skip


def events(seen: str = "connection refused") -> list[Event]:
    """Phases, the fault, its witnesses and the nodes' roles."""
    rows: list[tuple[float, str, dict[str, Any]]] = [
        (at, "phase", {"phase": phase})
        for at, phase in (
            (0.0, "forming"), (STEADY_S, "steady"), (CRASH_S, "faults"), (HEALED_S, "recovering"),
            (END_S, "final_reads"), (END_S + 3, "done"),
        )
    ]  # fmt: skip
    fault = {"id": "crash", "kind": "crash", "target": "writer"}
    rows += [
        (CRASH_S, "fault", {**fault, "stage": "injecting", "hit": ["pg-az-a"], "changes_roles": True}),
        (CRASH_S + 0.03, "fault", {**fault, "stage": "injected"}),
        (HEALED_S - 0.2, "fault", {**fault, "stage": "healing"}),
        (HEALED_S, "fault", {**fault, "stage": "healed"}),
    ]
    vantage = {"id": "crash", "vantage": "client-az-b asks pg-az-a:5432 for SSL"}
    for at, stage, expected, saw in (
        (CRASH_S - 0.6, "before", "answered", "answered"),
        (CRASH_S + 0.2, "begin", "connection refused", seen),
        (HEALED_S - 0.5, "end", "connection refused", seen),
        (HEALED_S + 2.6, "after", "answered", "answered"),
    ):
        rows.append((at, "witness", {**vantage, "stage": stage, "expected": expected, "seen": saw}))
    for at, node, role in (
        (2.0, "pg-az-a", "primary"), (2.0, "pg-az-b", "replica"), (2.0, "pg-az-c", "replica"),
        (CRASH_S + 0.1, "pg-az-a", "unknown"), (PROMOTED_S - 0.3, "pg-az-b", "primary"), (HEALED_S + 2.8, "pg-az-a", "replica"),
    ):  # fmt: skip
        rows.append((at, "role", {"node": node, "role": role, "timeline": 1}))
    return [Event(round(at * SECOND_NS), name, data) for at, name, data in sorted(rows, key=lambda row: row[0])]


def history(title: str = "The writer's server is killed and started again later", **changed: Any) -> History:
    """The made-up run; `changed` goes to `operations`."""
    nodes = [{"name": f"pg-{zone}", "zone": zone, "role": "database", "address": f"10.0.{i}.10"} for i, zone in enumerate(ZONES)]
    nodes += [
        {"name": f"client-{zone}", "zone": zone, "role": "client", "address": f"10.0.{i}.20"} for i, zone in enumerate(ZONES)
    ]
    run = {
        "scenario": "rds_multi_az/writer_crash",
        "title": title,
        "seed": 7,
        "runtime": "docker",
        "versions": {"postgres": "17.6", "patroni": "4.0.6", "etcd": "3.6.4"},
        "topology": {"name": "rds-multi-az", "options": {"replication": "synchronous"}, "nodes": nodes, "zones": list(ZONES)},
        "workloads": [{"use": "ledger", "users": 60, "rate_per_s": 300, "deadline_s": 1}],
        "probes": {"kept": {"cadence_ms": 20, "deadline_ms": 100}, "fresh": {"cadence_ms": 250, "deadline_ms": 500}},
        "expect": EXPECT,
        "faults": [{"id": "crash", "kind": "crash", "target": "writer"}],
    }
    return History(run, operations(np.random.default_rng(7), **changed), events(), FinalReads())


EXPECT: list[dict[str, Any]] = [
    {
        "metric": "write_outage", "min": None, "max": 35.0, "during": None,
        "because": "the leader's lease of 20 s, an election, and HAProxy's checks",
    },
    {"metric": "lost_writes", "min": None, "max": 0, "during": None, "because": "replication is synchronous"},
    {"metric": "write_p99", "min": None, "max": 0.05, "during": "after", "because": "the promoted node is as large"},
]  # fmt: skip


def measured(value: float | None, unit: str, lower: float | None, upper: float | None, **by: Any) -> dict[str, Any]:
    """A metric as result.json holds it."""
    plain: dict[str, Any] = {"value": value, "unit": unit, "lower": lower, "upper": upper}
    return {**plain, "by": by} if by else plain


def _exact(value: float, unit: str = "count", **by: Any) -> dict[str, Any]:
    return measured(value, unit, value, value, **by)


def _latency(*values_s: float) -> dict[str, Any]:
    phases = zip(("before", "fault", "after"), values_s, strict=True)
    return _exact(values_s[1], "s", **{phase: _exact(value_s, "s") for phase, value_s in phases})


def _finding(checker: str, summary: str, metrics: Mapping[str, Any], verdict: str = "pass", **more: Any) -> dict[str, Any]:
    return {
        "checker": checker, "verdict": verdict, "summary": summary, "measured": dict(metrics),
        "evidence": [], "notes": [], "validity": False, **more,
    }  # fmt: skip


def findings() -> list[dict[str, Any]]:
    """What the checkers would say of the made-up run."""
    lanes = {
        f"{zone} {lane}": measured(22.0 + 0.12 * i, "s", 21.97 + 0.12 * i, 22.04 + 0.12 * i)
        for i, zone in enumerate(ZONES)
        for lane in ("kept", "fresh")
    }
    writes = measured(22.21, "s", 22.18, 22.24, **lanes)
    return [
        _finding(
            "outage", "write_outage 22.21 s (22.18 … 22.24), at most 35 s",
            {"write_outage": writes, "read_outage": measured(0.91, "s", 0.81, 1.01)},
            notes=["the longest gap without an outage was 64 ms, in az-b kept"],
        ),
        _finding(
            "durability", "0 of 7,612 acknowledged writes lost",
            {"lost_writes": _exact(0), "duplicated_writes": _exact(0), "resurrected_writes": _exact(0)},
        ),
        _finding("recovery", "stable 27.4 s after the fault's effect; pg-az-a rejoined by rewind",
                 {"recovery": measured(27.4, "s", 27.3, 27.5), "redundancy_recovery": measured(31.0, "s", 30.5, 31.5)}),
        _finding("availability", "79.4 % of the intended operations were ok in time",
                 {"availability": _exact(0.794, "share", reads=_exact(0.96, "share"), writes=_exact(0.628, "share"))}),
        _finding("latency", "write_p99 after the fault 31.2 ms, at most 50 ms",
                 {"write_p50": _latency(0.0045, 0.0051, 0.0061), "write_p99": _latency(0.0128, 0.0139, 0.0312),
                  "read_p50": _latency(0.0018, 0.0019, 0.0022), "read_p99": _latency(0.0051, 0.0052, 0.0098)}),
        _finding("errors", "3,384 operations ended with an error, deadline the most frequent",
                 {"errors": _exact(3384, deadline=_exact(2110), connection_refused=_exact(310), past_deadline=_exact(964))}),
        _finding("split_brain", "no two nodes acknowledged writes at once", {"split_brain": measured(0.0, "s", 0.0, 0.0)}),
        _finding("roles", "no role change without a fault", {"unplanned_role_changes": _exact(0)},
                 notes=["pg-az-b became primary at 40.60 s"]),
        _finding("witness", "the fault was witnessed at its begin and its end", {}, validity=True),
        _finding("instrument", "99.8 % of the kept probes started within 10 ms of their schedule",
                 {"probes_on_time": _exact(0.998, "share")}, validity=True),
    ]  # fmt: skip


LIE = ("write", "2,987", "0", "0 ms", "9.0 ms", "3,000", "13", "1.8 ms", "12.98 s", "1,442 ×")


def lie() -> dict[str, Any]:
    """A finding about Locust's own figures: those of one kind that keeps a schedule, and of one that does not."""
    keys = ("operations", "failures", "p50_s", "p99_s")
    locust, corrected = (2987, 0, 0.0, 0.009), (3000, 13, 0.0018, 12.98)
    row = {
        "kind": "write", "lie_factor": 12.98 / 0.009,
        **{f"locust_{key}": value for key, value in zip(keys, locust, strict=True)},
        **{f"corrected_{key}": value for key, value in zip(keys, corrected, strict=True)},
    }  # fmt: skip
    alone = {**row, "kind": "all", "lie_factor": None, **dict.fromkeys([f"corrected_{key}" for key in keys])}
    factor = {"lie_factor": measured(1442, "ratio", 1368, 1529)}
    return _finding("lie_factor", "lie factor 1,442 ×", factor, evidence=[row, alone])


def result(verdict: str = "pass", title: str | None = None, seen: str = "connection refused") -> dict[str, Any]:
    """The result that fits `history()`; `fail` loses writes, `unknown` has a witness who saw nothing."""
    found = findings()
    reason = "every expectation held: " + "; ".join(f["summary"] for f in found if not f["validity"])
    if verdict == "fail":
        found[1] |= {
            "verdict": "fail", "summary": "359 of 7,612 acknowledged writes lost, at most 0",
            "measured": {"lost_writes": _exact(359), "duplicated_writes": _exact(0), "resurrected_writes": _exact(1)},
            "evidence": [
                {"value": 5021 + i, "zone": "az-a", "acknowledged_at_s": 19.52 + 0.02 * i, "endpoint": "writer"}
                for i in range(10)
            ],
        }  # fmt: skip
        reason = found[1]["summary"]
    elif verdict == "unknown":
        seen = "answered"
        found[8] |= {"verdict": "unknown", "summary": "fault crash: client-az-b saw 'answered', not 'connection refused'"}
        reason = found[8]["summary"]
    witnesses = [
        {"at_s": event.at / SECOND_NS, **{k: event[k] for k in ("stage", "vantage", "expected", "seen")}}
        for event in events(seen)
        if event.name == "witness"
    ]
    run = history(rate_per_s=3).run
    return {
        "format": 1, "scenario": "rds_multi_az/writer_crash", "title": run["title"] if title is None else title,
        "runtime": "docker", "verdict": verdict, "reason": reason, "findings": found,
        "faults": [{
            "id": "crash", "kind": "crash", "target": "writer", "hit": ["pg-az-a"], "injected_at_s": CRASH_S + 0.03,
            "healed_at_s": HEALED_S, "witnessed": verdict != "unknown", "witnesses": witnesses, "error": None,
        }],
        "seed": 7, "versions": run["versions"], "started_at": "2026-01-05T10:20:30+00:00", "duration_s": END_S + 3,
        "phases": [{"phase": e["phase"], "at_s": e.at / SECOND_NS} for e in events() if e.name == "phase"],
        "claims": [{"id": "rds.failover", "because": "its bound is the published one"}],
        "expect": EXPECT, "topology": run["topology"], "workloads": run["workloads"], "notes": [], "harness": "0.1.0",
    }  # fmt: skip


def switched_over(verdict: str = "pass") -> tuple[History, dict[str, Any]]:
    """The same run, had the primary been moved on purpose instead, and its result; with `unknown` the manager refused."""
    made = history(rate_per_s=3)
    named = {"id": "move", "kind": "switchover"}
    roles = [{f"pg-{zone}": "primary" if zone == first else "replica" for zone in ZONES} for first in ("az-a", "az-b")]
    changed = [(CRASH_S, {**named, "stage": "begun", "changes_roles": True})]
    if verdict == "unknown":
        changed.append((HEALED_S, {**named, "stage": "failed", "hit": ["pg-az-a"], "error": "no candidate is in sync"}))
        roles[1] = roles[0]
    else:
        said = "pg-az-b took over from pg-az-a"
        changed.append((HEALED_S, {**named, "stage": "done", "hit": ["pg-az-a"], "said": said}))
    seen = [
        Event(round(at * SECOND_NS), "witness", {"id": "move", "stage": stage, "vantage": node, "expected": role, "seen": role})
        for at, stage, said in zip((CRASH_S - 0.1, HEALED_S + 0.1), ("before", "after"), roles, strict=True)
        for node, role in said.items()
    ]
    kept = [event for event in made.events if event.name not in ("fault", "witness")]
    told = [*kept, *seen, *(Event(round(at * SECOND_NS), "change", data) for at, data in changed)]
    run = {**made.run, "faults": [], "changes": [named]}
    moved = replace(made, run=run, events=sorted(told, key=lambda event: event.at))
    return moved, {**result(verdict), "faults": judging.result(moved, [])["faults"]}
