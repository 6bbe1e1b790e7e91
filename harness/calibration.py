"""How exactly does this machine's stopwatch tell an outage of known length?

Between the probes and a plain PostgreSQL stands a gate (`harness.gate`), which makes outages in several ways and stamps its own
acts. Each is then measured as in any run, from the probes alone: what the gate knows must lie within what the probes say. Their
commits do not wait for the server's disk, and idle cores stay awake where that can be had: the stopwatch is what is looked at.
A run's resolution is told from its own probes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from harness import archive, calibration_kept, history, interrupts, runner, runtimes
from harness.checkers.instrument import Instrument
from harness.checkers.outage import longest
from harness.clients import HISTORY, PROBES, PROBES_MODULE, READY_WITHIN_S, spawn
from harness.clock import MILLISECOND_NS, SECOND_NS, now_ns, wait_until
from harness.errors import ClusterError, UsageError, written_below
from harness.gate import WAYS
from harness.history import History, Operations, Outcome
from harness.intervals import lane_of
from harness.protocols import Cluster, Progress
from harness.readings import Readings
from harness.recording import Notes
from harness.topologies.postgresql import Postgresql
from harness.units import seconds
from harness.verdict import Verdict
from harness.wakefulness import kept_awake
from harness.watch import HostWatch

LENGTHS_S = (0.25, 1.0, 3.0, 10.0)
APART_S = 3.0  # from an outage's end to the next one's beginning: then all connections are back
GATE_MODULE = "harness.gate"
GATE_PORT = 5433
FILE = "calibration.json"
PROCESS = "probe-az-a"
BURN = "from harness.niceness import give_way\ngive_way(10)\nwhile True:\n    pass"  # as nice as the load is


@dataclass(frozen=True)
class Settings:
    """How the probes ask, in ms: as in every run unless told otherwise."""

    cadence_ms: float = PROBES["writer"]["kept"]["cadence_ms"]
    deadline_ms: float = PROBES["writer"]["kept"]["deadline_ms"]
    reconnect_ms: float = 100
    unanswered_max: int = int(PROBES["writer"]["kept"]["unanswered_max"])

    def __post_init__(self) -> None:
        if self.cadence_ms < 1 or self.deadline_ms < self.cadence_ms or self.reconnect_ms < 1:
            raise UsageError("probes need a cadence of 1ms or more, a deadline that is no shorter, and 1ms between reconnects")


def settings(**given: str | None) -> Settings:
    """Settings as they are written (`cadence_ms="10ms"`), a run's own where None. Raises UsageError for what is no duration."""
    written: dict[str, Any] = {name: 1000 * length(text) for name, text in given.items() if text}
    return dataclasses.replace(Settings(), **written)


@dataclass(frozen=True)
class Trial:
    """One outage: how it was made, what is known of its length and what was measured, in seconds.

    The truth is not below `truth_lower` nor above `truth_upper`, by the injector's own stamps; `lower` and `upper` (None: not
    over) are what the probes say.
    """

    how: str
    for_s: float
    truth_lower: float
    truth_upper: float
    lower: float
    upper: float | None

    @property
    def inside(self) -> bool:
        """Whether the truth can lie within what was measured; what it is unsure of itself is left out of it."""
        return self.lower <= self.truth_upper and (self.upper is None or self.truth_lower <= self.upper)

    @property
    def width(self) -> float | None:
        """How much the measurement leaves open, in seconds; None for one that saw no failing probe, or no end."""
        return None if self.upper is None or not self.lower else self.upper - self.lower


@dataclass(frozen=True)
class Calibration:
    """What a machine's stopwatch was seen to do; `latency_p999_s` is of the probes while nothing was broken."""

    runtime: str
    at: str
    settings: Settings
    saturated: bool
    latency_p999_s: float
    trials: Sequence[Trial]
    doubts: str = ""
    real_time: bool = False
    kept_awake: bool = False

    @property
    def verdict(self) -> Verdict:
        """FAIL when a truth lies outside what was measured; UNKNOWN when the probes could not keep their schedule."""
        if any(not trial.inside for trial in self.trials):
            return Verdict.FAIL
        return Verdict.UNKNOWN if self.doubts or not self.trials else Verdict.PASS

    @property
    def widest_s(self) -> float | None:
        """The widest bracket, in seconds."""
        return max((trial.width for trial in self.trials if trial.width is not None), default=None)

    @property
    def expected_s(self) -> float:
        """How wide a bracket should be at most, in seconds: at either end an interval between two probes, and a probe's time."""
        return 2 * (self.settings.cadence_ms / 1000 + self.latency_p999_s)

    @property
    def summary(self) -> str:
        """What it says, in a sentence."""
        inside = sum(trial.inside for trial in self.trials)
        widest = f", known to ± {self.widest_s * 500:.0f} ms or better" if self.widest_s is not None else ""
        under = " with every core busy" if self.saturated else ""
        said = f"{inside} of {len(self.trials)} known outages lay within their bounds{under}{widest}"
        said += "; the probes had real-time priority" if self.real_time else ""
        said += "; idle cores were told to stay awake" if self.kept_awake else ""
        return f"{self.doubts}; {said}" if self.doubts else said

    def as_json(self) -> dict[str, Any]:
        """What calibration.json holds."""
        return {
            "runtime": self.runtime, "at": self.at, "verdict": self.verdict.value, "summary": self.summary,
            "settings": dataclasses.asdict(self.settings), "saturated": self.saturated, "doubts": self.doubts,
            "real_time": self.real_time, "kept_awake": self.kept_awake,
            "latency_p999_s": self.latency_p999_s, "widest_s": self.widest_s, "expected_s": self.expected_s,
            "trials": [dataclasses.asdict(trial) | {"inside": trial.inside} for trial in self.trials],
        }  # fmt: skip


def markdown(found: Calibration) -> str:
    """The calibration as a table, a row for each way and length."""
    wider = sum(trial.width is not None and trial.width > found.expected_s for trial in found.trials)
    asked = f"a write every {found.settings.cadence_ms:g} ms, given up after {found.settings.deadline_ms:g} ms"
    lines = [
        f"# {found.verdict.value.upper()}: {found.summary}",
        "",
        f"Runtime {found.runtime}, {found.at}; {asked}; p99.9 of its latency {found.latency_p999_s * 1000:.1f} ms.",
        f"Two intervals and twice that are {1000 * found.expected_s:.1f} ms; brackets that are wider: {wider}.",
        "",
        "| outage | inside | measured less truth | bracket | the truth's own uncertainty |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (how, for_s), trials in _grouped(found.trials):
        widths = [1000 * one.width for one in trials if one.width is not None]
        off = [1000 * (mid - (one.truth_lower + one.truth_upper) / 2) for one in trials if (mid := _middle(one)) is not None]
        unsure = max(1000 * (one.truth_upper - one.truth_lower) for one in trials)
        seen = f"{min(off):+.1f} … {max(off):+.1f} ms" if off else "shorter than the deadline: an upper bound only"
        width = f"at most {max(widths):.1f} ms" if widths else ""
        inside = f"{sum(one.inside for one in trials)} of {len(trials)}"
        lines.append(f"| {how} {for_s:g} s | {inside} | {seen} | {width} | {unsure:.2f} ms |")
    return "\n".join(lines) + "\n"


def _grouped(trials: Sequence[Trial]) -> Iterator[tuple[tuple[str, float], list[Trial]]]:
    for key in sorted({(one.how, one.for_s) for one in trials}, key=lambda key: (WAYS.index(key[0]), key[1])):
        yield key, [one for one in trials if (one.how, one.for_s) == key]


def _middle(one: Trial) -> float | None:
    return None if one.width is None or one.upper is None else (one.lower + one.upper) / 2


# --- carrying out ------------------------------------------------------------------------------------------------------


@interrupts.honoured()
def calibrate(
    *,
    settings: Settings | None = None,
    lengths_s: Sequence[float] = LENGTHS_S,
    times: int = 1,
    saturate: bool = False,
    runtime: str = "auto",
    reports: Path = Path("reports"),
    seed: int | None = None,
    progress: Progress = print,
) -> tuple[Calibration, Path]:
    """Makes every outage `times` in every way, measures it, and writes `reports/calibration/<time>/`.

    Returns what was found and its folder, and keeps it for this machine's next runs. Raises UsageError for settings that cannot
    be, RuntimeUnavailable and ClusterError as `runner.run` does.
    """
    settings = settings or Settings()
    if not lengths_s or min(lengths_s) <= 0 or times < 1:
        raise UsageError("an outage lasts longer than none, and is made once at least")
    topology = Postgresql()
    chosen = runtimes.called(runtime, {}, progress, (), topology)
    folder = runner.dated_folder(reports / "calibration")
    (folder / "history").mkdir()
    plan = _plan(lengths_s, times, random.Random(runner.drawn(seed)), settings)
    with written_below(reports), chosen.launch(topology, folder) as cluster:
        topology.form(cluster, progress)
        topology.let_probes_commit_asynchronously(cluster)
        _Bench(topology, cluster, chosen.name, settings, saturate, progress).carry_out(plan)
    archive.write(folder / "history")
    found = judge(folder)
    with written_below(reports), interrupts.shielded():
        (folder / FILE).write_text(json.dumps(found.as_json(), indent=2) + "\n", encoding="utf-8")
        (folder / "report.md").write_text(markdown(found), encoding="utf-8")
        runner.point_latest(folder)
        calibration_kept.keep(found.runtime, found.as_json())
    return found, folder


def _plan(lengths_s: Sequence[float], times: int, rng: random.Random, settings: Settings) -> list[dict[str, Any]]:
    """Every outage in an order drawn by lot, each put off by a part of a cadence: none keeps time with the probes."""
    outages = [(how, length) for how in WAYS for length in lengths_s] * times
    rng.shuffle(outages)
    return [
        {"how": how, "for_s": length, "after_s": APART_S + rng.uniform(0, settings.cadence_ms / 1000)} for how, length in outages
    ]


@dataclass(frozen=True)
class _Bench:
    """A plain server behind a gate, and probes that ask through it."""

    topology: Postgresql
    cluster: Cluster
    runtime: str
    settings: Settings
    saturate: bool
    progress: Progress

    @property
    def inside(self) -> Path:
        """The history's folder, which the client node has at `HISTORY`."""
        return self.cluster.folder / "history"

    def carry_out(self, plan: Sequence[Mapping[str, Any]]) -> None:
        """Makes the outages of the plan, while the probes ask, and records both."""
        with kept_awake() as awake:
            self._carry_out(plan, awake=awake)

    def _carry_out(self, plan: Sequence[Mapping[str, Any]], *, awake: bool) -> None:
        notes, readings = Notes(self.inside / "events.jsonl"), Readings(self.inside)
        self._note_run(notes, awake=awake)
        self._start(plan)
        wait_until(lambda: PROCESS in readings.noted("ready"), READY_WITHIN_S, "the probes to be ready")
        for instrument in (PROBES_MODULE, GATE_MODULE):  # what is known of an outage shall not hang on who else is busy, either
            self.cluster.client(self.cluster.zones[0]).put_first(instrument)
        lasting = sum(one["for_s"] + one["after_s"] for one in plan) + APART_S
        self.progress(f"making {len(plan)} outages, for {lasting:.0f} s")
        with HostWatch(notes):
            (self.inside / "start.new").write_text(str(now_ns() + SECOND_NS))
            (self.inside / "start.new").rename(self.inside / "start")
            notes.write("phase", now_ns() + SECOND_NS, phase="steady")
            wait_until(lambda: self._made() == len(plan), lasting + 60, "the last outage to be over", every_s=0.5)
            wait_until(_later(int(APART_S * SECOND_NS)), APART_S + 10, "service to be back for some seconds", every_s=0.1)
            notes.write("phase", now_ns(), phase="final_reads")
        (self.inside / "stop").touch()
        wait_until(lambda: PROCESS in readings.noted("stopped"), 20, "the probes to stop")
        notes.write("phase", now_ns(), phase="done")
        notes.close()
        notes.check()

    def _made(self) -> int:
        """How many outages are over. Raises ClusterError when the injector or the probes are."""
        for path in self.inside.glob("*.exit"):
            raise ClusterError(f"{path.stem} ended while it was needed; see nodes/client-*/{path.stem}.log")
        return len(_truths(self.inside))

    def _note_run(self, notes: Notes, *, awake: bool) -> None:
        (zone,) = self.cluster.zones
        nodes = [{"name": node.spec.name, "zone": zone, "role": node.spec.role} for node in self.cluster.nodes.values()]
        notes.write(
            "run", now_ns(), scenario="calibration", title="Outages of known length", runtime=self.runtime, seed=None,
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"), workloads=[], expect=[],
            topology={"name": "postgresql", "zones": [zone], "nodes": nodes},
            probes={"writer": {"kept": dataclasses.asdict(self.settings)}}, saturated=self.saturate,
            kept_awake=awake,
        )  # fmt: skip

    def _start(self, plan: Sequence[Mapping[str, Any]]) -> None:
        """Starts gate, probes and, where the cores are to be busy, a process for each of them."""
        (zone,) = self.cluster.zones
        client, server = self.cluster.client(zone), self.topology.endpoints(zone)["writer"]
        gate = {
            "listen": ("127.0.0.1", GATE_PORT), "forward": (server.host, server.port),
            "folder": HISTORY, "start": f"{HISTORY}/start", "plan": plan,
        }  # fmt: skip
        spawn(client, HISTORY, "gate", (GATE_MODULE, "inject"), gate)
        wait_until((self.inside / "gate.ready").exists, READY_WITHIN_S, "the gate to listen", every_s=0.05)
        target = {
            "endpoint": "writer", "host": "127.0.0.1", "port": GATE_PORT, "lane": "kept", "kind": "probe_write", "delay_ms": 0,
            **dataclasses.asdict(self.settings),
        }  # fmt: skip
        probe = {"zone": zone, "number": 0, "folder": HISTORY, "client": self.topology.client_config(zone), "targets": [target]}
        spawn(client, HISTORY, PROCESS, (PROBES_MODULE, "run"), probe)
        for number in range((os.cpu_count() or 1) if self.saturate else 0):
            client.spawn("python3", "-c", BURN, log=f"burn-{number}", behind=True)


def _later(by: int) -> Any:
    at = now_ns() + by
    return lambda: now_ns() >= at


def _truths(history_folder: Path) -> list[dict[str, Any]]:
    """What the injector knows, a line an outage; a line that is not whole is not there yet."""
    path = history_folder / "truth.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


# --- judging -----------------------------------------------------------------------------------------------------------


def judge(folder: Path) -> Calibration:
    """Reads a calibration's folder again, from its history alone. Raises UsageError where there is none."""
    told = history.read(folder / "history")
    truths = _truths(folder / "history")
    origin = json.loads((folder / "history" / "events.jsonl").read_text().split("\n", 1)[0])["at"]
    probes = told.operations.where(endpoint="writer", lane="kept").writes
    timing = told.run["probes"]["writer"]["kept"]
    trials = [_trial(told, probes, truth, origin) for truth in truths]
    instrument = Instrument().check(told)
    doubts = instrument.summary if instrument.verdict is Verdict.UNKNOWN else ""
    return Calibration(
        told.run["runtime"], told.run["started_at"], Settings(**timing), bool(told.run["saturated"]),
        _latency_p999(probes, truths, origin), trials, doubts,
        real_time=all(event.data.get("real_time") for event in told.named("instrument") if event.data.get("process") == PROCESS),
        kept_awake=bool(told.run.get("kept_awake")),
    )  # fmt: skip


def _trial(told: History, probes: Operations, truth: Mapping[str, Any], origin: int) -> Trial:
    (began, begun), (ending, ended) = truth["began"], truth["ended"]
    apart = int(APART_S * SECOND_NS / 2)
    around = (probes["intended"] >= began - origin - apart) & (probes["intended"] <= ended - origin + apart)
    seen = longest(dataclasses.replace(lane_of(told, "writer", "az-a", "kept", probes.at(around)), silent_s=0.0))
    return Trial(
        truth["how"], truth["for_s"], (ending - begun) / SECOND_NS, (ended - began) / SECOND_NS, seen.lower or 0.0, seen.upper
    )


def _latency_p999(probes: Operations, truths: Sequence[Mapping[str, Any]], origin: int) -> float:
    """Of the writes that began while nothing was broken, nor had been for a second."""
    calm = probes["outcome"] == Outcome.OK
    for truth in truths:
        begin, end = truth["began"][0] - origin, truth["ended"][1] - origin
        calm &= (probes["started"] < begin - 500 * MILLISECOND_NS) | (probes["started"] > end + SECOND_NS)
    took = (probes["ended"] - probes["started"])[calm]
    return float(np.percentile(took, 99.9)) / SECOND_NS if len(took) else 0.0


def length(text: str) -> float:
    """An outage's length as it is written, in seconds. Raises UsageError for what is no duration."""
    try:
        return seconds(text)
    except ValueError as problem:
        raise UsageError(f"{text}: {problem}") from None
