"""Small readable histories: `Run().probes(down=(10, 12)).fault(...).history()`; all times in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.clock import SECOND_NS
from harness.history import NOTHING, NUMBERS, TIMES, WORDS, Event, FinalReads, History, Operations, Outcome
from harness.verdict import Finding, Measured

OK, FAILED, UNKNOWN, NOT_SENT = Outcome.OK, Outcome.FAILED, Outcome.UNKNOWN, Outcome.NOT_SENT
ZONES = ("az-a", "az-b", "az-c")
PROBES = {"kept": {"cadence_ms": 20, "deadline_ms": 100}, "fresh": {"cadence_ms": 200, "deadline_ms": 100}}
LATENCY_S = 0.002


def ns(seconds: float) -> int:
    return round(seconds * SECOND_NS)


def is_down(at: float, down: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    return next(((start, stop) for start, stop in down if start <= at < stop), None)


class Run:
    """A run from the steady state at `steady` to the final reads at `end`, both in seconds."""

    def __init__(self, end: float = 30, steady: float | None = 0, **run: Any) -> None:
        self.run: dict[str, Any] = {
            "scenario": "a/test",
            "title": "A test",
            "seed": 1,
            "runtime": "none",
            "probes": PROBES,
            "workloads": [{"use": "ledger", "deadline_s": 0.5}],
            "topology": {"zones": list(ZONES), "nodes": []},
            "expect": [],
            **run,
        }
        self.end = end
        self.rows: list[dict[str, Any]] = []
        self.events: list[Event] = []
        self.reads: dict[str, dict[str, list[int]]] = {}
        self.facts: dict[str, Mapping[str, Any]] = {}
        self.missing: dict[str, str] = {}
        self.notes: list[str] = []
        if steady is not None:
            self.event(steady, "phase", phase="steady")
        self.event(end, "phase", phase="final_reads")

    def expect(self, metric: str, **bounds: Any) -> Run:
        self.run["expect"].append({"metric": metric, **bounds})
        return self

    def event(self, at: float, name: str, **data: Any) -> Run:
        self.events.append(Event(ns(at), name, data))
        return self

    def role(self, at: float, node: str, role: str) -> Run:
        return self.event(at, "role", node=node, role=role, timeline=1)

    def operation(
        self,
        at: float,
        outcome: Outcome = OK,
        *,
        takes: float | None = LATENCY_S,
        late: float = 0,
        answered: float | None = None,
        value: int = NOTHING,
        key: int = NOTHING,
        zone: str = "az-a",
        lane: str = "workload",
        kind: str = "write",
        endpoint: str = "writer",
        error: str = "",
        process: str | None = None,
    ) -> Run:
        """One operation meant for `at`, started `late` seconds later, which took `takes` seconds (None: never ended)."""
        started = NOTHING if outcome is NOT_SENT else ns(at + late)
        self.rows.append(
            {
                "key": key,
                "value": value,
                "intended": ns(at),
                "started": started,
                "ended": NOTHING if takes is None else ns(at + late + takes),
                "answered": NOTHING if answered is None else ns(answered),
                "client": 0,
                "payload": 0,
                "outcome": int(outcome),
                "process": process or f"{lane}-{zone}",
                "zone": zone,
                "lane": lane,
                "kind": kind,
                "endpoint": endpoint,
                "error": error,
            }
        )
        return self

    def probes(
        self,
        *down: tuple[float, float],
        zone: str = "az-a",
        lane: str = "kept",
        kind: str = "probe_write",
        endpoint: str = "writer",
        every: float = 0.02,
        deadline: float = 0.1,
        start: float = 0,
        stop: float | None = None,
    ) -> Run:
        """Probes on a schedule; those of a time `down` are answered when it is over, and unknown past their deadline.

        So a paused server answers: late, on the connections that waited.
        """
        for number in range(round(((self.end if stop is None else stop) - start) / every)):
            at = start + number * every
            outage = is_down(at, down)
            back = (outage[1] if outage else at) + LATENCY_S
            late = back - at > deadline
            self.operation(
                at,
                UNKNOWN if late else OK,
                takes=deadline if late else back - at,
                answered=back if late else None,
                zone=zone,
                lane=lane,
                kind=kind,
                endpoint=endpoint,
                error="deadline" if late else "",
            )
        return self

    def load(
        self, *down: tuple[float, float], zone: str = "az-a", every: float = 0.1, kind: str = "write", first: int = 0
    ) -> Run:
        """Workload operations on a schedule, with values from `first` on; those of a time `down` fail at once."""
        for number in range(round(self.end / every)):
            bad = is_down(number * every, down)
            self.operation(
                number * every,
                FAILED if bad else OK,
                value=first + number if kind == "write" else NOTHING,
                zone=zone,
                kind=kind,
                endpoint="reader" if kind == "read" else "writer",
                error="refused" if bad else "",
            )
        return self

    def fault(
        self,
        at: float,
        until: float | None = None,
        *,
        id_: str = "crash",
        kind: str = "crash",
        target: str = "writer",
        hit: Sequence[str] = ("pg-a",),
        changes_roles: bool = True,
        witnessed: bool = True,
    ) -> Run:
        named = {"id": id_, "kind": kind, "target": target}
        self.run.setdefault("faults", []).append(named)
        self.event(at, "fault", **named, stage="injecting", hit=list(hit), changes_roles=changes_roles)
        self.event(at, "fault", **named, stage="injected")
        if until is not None:
            self.event(until, "fault", **named, stage="healing")
            self.event(until, "fault", **named, stage="healed")
        for stage, when, seen in (
            ("before", at - 0.1, "answers"),
            ("begin", at + 0.1, "silence"),
            ("end", (until or self.end) - 0.1, "silence"),
            ("after", (until or self.end) + 0.1, "answers"),
        ):
            if witnessed:
                self.witness(when, stage, seen, seen, id_=id_)
        return self

    def change(
        self,
        at: float,
        until: float | None = None,
        *,
        kind: str = "switchover",
        said: str = "pg-b took over from pg-a",
        before: Mapping[str, str] | None = None,
        after: Mapping[str, str] | None = None,
        changes_roles: bool = True,
    ) -> Run:
        """A planned change that was done at `until` (None: never), with what each node said before and after it."""
        named = {"id": kind, "kind": kind}
        self.run.setdefault("changes", []).append(named)
        before = {"pg-a": "primary", "pg-b": "replica"} if before is None else before
        for node, role in before.items():
            self.witness(at - 0.1, "before", role, role, id_=kind, vantage=node)
        self.event(at, "change", **named, stage="begun", changes_roles=changes_roles)
        if until is not None:
            self.event(
                until,
                "change",
                **named,
                stage="done",
                hit=[node for node, role in before.items() if role == "primary"],
                said=said,
            )
            for node, role in ({"pg-a": "replica", "pg-b": "primary"} if after is None else after).items():
                self.witness(until + 0.1, "after", role, role, id_=kind, vantage=node)
        return self

    def witness(self, at: float, stage: str, expected: str, seen: str, *, id_: str = "crash", vantage: str = "client-b") -> Run:
        return self.event(at, "witness", id=id_, stage=stage, vantage=vantage, expected=expected, seen=seen)

    def final(self, node: str, facts: Mapping[str, Any] | None = None, **sets: Sequence[int]) -> Run:
        self.reads[node] = {name: list(values) for name, values in sets.items()}
        self.facts[node] = facts or {}
        return self

    def history(self) -> History:
        final = FinalReads(
            {
                node: {name: np.sort(np.array(values, dtype=np.int64)) for name, values in sets.items()}
                for node, sets in self.reads.items()
            },
            self.facts,
            self.missing,
        )
        events = sorted(self.events, key=lambda event: event.at)
        return History(self.run, operations(self.rows), events, final, tuple(self.notes))


def operations(rows: Sequence[Mapping[str, Any]]) -> Operations:
    """Rows of plain values as the columns that judging reads."""
    rows = sorted(rows, key=lambda row: int(row["intended"]))
    dtypes = {**dict.fromkeys(TIMES, np.int64), "client": np.uint32, "payload": np.uint32, "outcome": np.uint8}
    columns = {name: np.array([row[name] for row in rows], dtype=dtypes.get(name, np.int64)) for name in NUMBERS}
    names: dict[str, tuple[str, ...]] = {}
    for column in WORDS:
        names[column] = tuple(dict.fromkeys(str(row[column]) for row in rows))
        columns[column] = np.array([names[column].index(row[column]) for row in rows], dtype=np.int32)
    return Operations(columns, names)


def found(finding: Finding, metric: str, by: str | None = None) -> Measured:
    """A metric of a finding, or one part of it."""
    measured = finding.measured[metric]
    return measured.by[by] if by else measured
