"""What is the history of a run that is longer and has more users than one wants to wait for? A recorded one, repeated.

The recorded failover of tests/recorded is laid out one time after the other, and the workload of each is asked by as many
times the users: same outages, error classes, role changes, faults with their witnesses, lost writes and final reads. What is
written is what a run leaves before it is archived: a recording for each process, their events, and each node's final reads.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.clock import MILLISECOND_NS, SECOND_NS
from harness.history import NOTHING, RAW, TIMES, Array, History, Mask, Outcome, read
from harness.recording import HEADER, MAGIC, RECORD_BYTES

RECORDED = Path(__file__).parents[1] / "tests/recorded/zone_outage_asynchronous/history"
ORIGIN = 1000 * SECOND_NS
VALUES = 1 << 22  # of each repetition and of each user's double; a process has room for 2**40
# What the manager's log told, which the recording is too old for: seconds after the injection, what, and of which node.
MANAGER = ((19.6, "detected", "pg-az-b"), (19.7, "elected", "pg-az-b"), (19.9, "promoted", "pg-az-b"))
OF_A_RUN = ("phase", "authority", "rejoin", "laid_out", "ready", "stopped")  # what happens once, however long it is


@dataclass(frozen=True)
class Repeated:
    """The recorded run `times` one after the other, each with `users` times the users."""

    times: int
    users: int

    @classmethod
    def of(cls, operations: int, length_s: float) -> Repeated:
        """So long, with so many operations, at least."""
        was = read(RECORDED)
        times = max(1, round(length_s * SECOND_NS / _period(was)))
        asked = was.operations.at(_judged(was))
        load = int(asked.mask(lane="workload").sum())
        return cls(times, max(1, -(-(operations - times * (len(asked) - load)) // (times * load))))

    def write(self, folder: Path) -> None:
        """Writes it, not archived, into a folder that is made."""
        folder.mkdir(parents=True)
        was = read(RECORDED)
        self._write_events(folder, was)
        for process in was.operations.names["process"]:
            self._write_recording(folder, was, process)
        for node in was.final_reads.values:
            self._write_final_reads(folder, was, node)

    def _write_events(self, folder: Path, was: History) -> None:
        def line(at: int, event: str, data: Any) -> str:
            return json.dumps({"at": ORIGIN + at, "event": event, **data}) + "\n"

        begin, period = was.phase("steady") or 0, _period(was)
        faults = [{**plan, "id": self._id(plan["id"], time)} for plan in was.run["faults"] for time in range(self.times)]
        with open(folder / "events.jsonl", "w", encoding="utf-8") as lines:
            lines.write(line(0, "run", {**was.run, "faults": faults}))
            lines.writelines(line(e.at, e.name, e.data) for e in was.events if e.name in OF_A_RUN and e.at <= begin)
            for time in range(self.times):
                for event in was.events:
                    if event.name in OF_A_RUN or not begin <= event.at < begin + period:
                        continue
                    data = dict(event.data)
                    if event.name in ("fault", "witness"):
                        data["id"] = self._id(data["id"], time)
                    lines.write(line(event.at + time * period, event.name, data))
                effect = was.faults[0].injecting or 0
                for after_s, what, node in MANAGER:
                    at = effect + round(after_s * SECOND_NS) + time * period
                    lines.write(line(at, "manager", {"what": what, "node": node, "error_s": 0.002}))
            later = (self.times - 1) * period
            lines.writelines(line(was.end + later, "locust", said) for said in self._locust(was))
            lines.writelines(line(e.at + later, e.name, e.data) for e in was.events if e.name in OF_A_RUN and e.at > begin)

    def _locust(self, was: History) -> Iterator[dict[str, Any]]:
        """What Locust's own statistics told, which the recording is too old for."""
        asked = was.operations.at(_judged(was)).where(lane="workload")
        sent = asked.at((asked["started"] != NOTHING) & (asked["ended"] != NOTHING))
        for process in sent.said("process"):
            figures = []
            for kind in sent.said("kind"):
                its = sent.where(process=process, kind=kind)
                times = Counter(((its["ended"] - its["started"]) // MILLISECOND_NS).tolist())
                failures = int((its["outcome"] != Outcome.OK).sum())
                each = self.times * self.users
                counted = {str(ms): number * each for ms, number in times.items()}
                figures.append(
                    {"kind": kind, "name": "writer", "requests": len(its) * each, "failures": failures * each,
                     "response_times_ms": counted}
                )  # fmt: skip
            yield {"process": process, "zone": sent.where(process=process).said("zone")[0], "statistics": figures}

    @staticmethod
    def _id(name: str, time: int) -> str:
        return f"{name}-{time + 1}"

    def _write_recording(self, folder: Path, was: History, process: str) -> None:
        of_process = was.operations.at(was.operations.mask(process=process) & _judged(was))
        columns = {name: of_process[name] for name in RAW.names or () if name != "begun"}
        one = np.zeros(len(of_process), RAW)
        one["begun"] = 1
        for name, column in columns.items():
            one[name] = column
        for name in TIMES:
            one[name][one[name] != NOTHING] += ORIGIN
        lane = of_process.mask(lane="workload")
        payloads = list(was.payloads.get(process, {}).values())
        drawn = np.random.default_rng(len(process))
        with open(folder / f"{process}.ops", "wb") as file:
            file.write(HEADER.pack(MAGIC, RECORD_BYTES, 1))
            for time in range(self.times):
                load = [self._shifted(one[lane], was, time, double, drawn, len(payloads)) for double in range(self.users)]
                whole = np.concatenate([self._shifted(one[~lane], was, time, 0, None, 0), *load])
                whole[np.argsort(whole["intended"], kind="stable")].tofile(file)
        with open(folder / f"{process}.names", "w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(noted) + "\n" for noted in self._names(was, process, of_process["zone"]))
        with open(folder / f"{process}.payloads", "w", encoding="utf-8") as lines:
            for number in range(self.times * self.users if payloads else 0):
                first = number * len(payloads) + 1
                lines.writelines(f'{{"payload": {first + i}, "value": {json.dumps(v)}}}\n' for i, v in enumerate(payloads))

    def _shifted(
        self, one: Array, was: History, time: int, double: int, drawn: np.random.Generator | None, payloads: int
    ) -> Array:
        """One repetition's operations of one user's double."""
        found = one.copy()
        shift = np.int64(time * _period(was))
        jitter = drawn.integers(0, SECOND_NS // 5, len(one)) if drawn and double else np.zeros(len(one), np.int64)
        for name in TIMES:
            there = found[name] != NOTHING
            found[name][there] += shift + jitter[there]
        number = time * self.users + double
        found["value"][found["value"] != NOTHING] += number * VALUES
        found["client"] += double * 100
        # References count from 1 within a process.
        _, found["payload"] = np.unique(one["payload"], return_inverse=True)
        found["payload"][found["payload"] > 0] += number * payloads
        return found

    @staticmethod
    def _names(was: History, process: str, zone: Array) -> Iterator[dict[str, Any]]:
        yield {"process": process, "zone": was.operations.names["zone"][zone[0]]}
        for column in ("lane", "kind", "endpoint", "error"):
            for number, name in enumerate(was.operations.names[column]):
                yield {"column": column, "id": number, "name": name}

    def _write_final_reads(self, folder: Path, was: History, node: str) -> None:
        with open(folder / f"final-{node}.jsonl", "w", encoding="utf-8") as lines:
            for name, values in was.final_reads.values[node].items():
                doubles = self.users if name == "ledger" else 1
                numbers = (t * self.users + double for t in range(self.times) for double in range(doubles))
                held = ({"set": name, "values": (values + number * VALUES).tolist()} for number in numbers)
                lines.writelines(json.dumps(part) + "\n" for part in held)
            lines.write(json.dumps({"facts": was.final_reads.facts[node]}) + "\n")
            lines.write(json.dumps({"complete": True}) + "\n")


def _period(was: History) -> int:
    return was.end - (was.phase("steady") or 0)


def _judged(was: History) -> Mask:
    begin = was.phase("steady") or 0
    chosen: Mask = (was.operations["intended"] >= begin) & (was.operations["intended"] < was.end)
    return chosen
