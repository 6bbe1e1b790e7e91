"""Was the harness itself good enough to measure by, or was it the bottleneck?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from harness.bounds import expectations, judge, show
from harness.clock import MILLISECOND_NS, SECOND_NS
from harness.endpoints import shard_of, with_role
from harness.history import NOTHING, Array, History, Operations
from harness.intervals import cadence, resolution_s, timing
from harness.intervals import measured as measured_part
from harness.verdict import Finding, Measured, Verdict, exactly


@dataclass(frozen=True)
class Instrument:
    """Late probes, cores that were elsewhere, an aborted run, or a recording that cannot be read make the run UNKNOWN.

    `probes_on_time` is the share of the scheduled write probes on kept connections that started within
    `late_ms`; the worst client zone is the headline. `resolution` is how far an outage's length can be off, up or down, by the
    probes' cadence and the p99.9 of their usual latency: `harness calibrate` holds it against outages of known length. A
    scheduled probe without any record counts as late. Of the cores' time at most `stolen_share` may have gone to other machines
    of the same host while was measured: less of it, with the probes on time, was in the pauses between them, and makes what is
    bound to the cores slower by no more than a third. No process that asks may have taken more than `core_share` of a core while
    was measured: it has but one, and what it does not manage to send would count against the system.
    """

    metrics: ClassVar[Mapping[str, str]] = {"probe_lateness_p99": "s", "probes_on_time": "share", "resolution": "s"}
    late_ms: float = 10
    on_time_share: float = 0.95
    stolen_share: float = 0.25
    core_share: float = 0.9

    def check(self, history: History) -> Finding:
        probes = measured_part(history, history.operations.where(lane="kept").writes)
        writers = sorted(with_role(probes.names["endpoint"], "writer"))
        zones = {
            f"{zone} of {shard}" if (shard := shard_of(writer)) else zone: part
            for zone in sorted(set(probes.names["zone"]))
            for writer in writers
            if len(part := probes.where(zone=zone, endpoint=writer))
        }
        lateness = {zone: _p99(_lateness(part)) for zone, part in zones.items()}
        on_time = {zone: self._on_time(history, part) for zone, part in zones.items()}
        resolution = {zone: exactly(resolution_s(part), "s") for zone, part in zones.items()}
        measured = {
            "probe_lateness_p99": exactly(max(_values(lateness), default=None), "s", lateness),
            "probes_on_time": exactly(min(_values(on_time), default=None), "share", on_time),
            "resolution": exactly(max(_values(resolution), default=None), "s", resolution),
        }
        verdict, sentences = judge(measured, expectations(history, self.metrics))
        doubts = self._doubts(history, on_time)
        said = [*doubts, *(sentences or [_said(measured)])]
        verdict = Verdict.UNKNOWN if doubts else verdict
        return Finding("instrument", verdict, "; ".join(said), measured, notes=_notes(history), validity=True)

    def _on_time(self, history: History, probes: Operations) -> Measured:
        on_time = int((_lateness(probes) <= self.late_ms * MILLISECOND_NS).sum())
        share = on_time / max(len(probes), _scheduled(history, probes))
        return exactly(share, "share")

    def _doubts(self, history: History, on_time: Mapping[str, Measured]) -> list[str]:
        doubts = [f"the run was aborted: {event['reason']}" for event in history.named("aborted")]
        doubts += [f"not everything could be read: {note}" for note in history.notes]
        if (stolen := _stolen(history)) > self.stolen_share:
            doubts.append(
                f"{stolen:.1%} of the cores' time was stolen by other machines of the host, over {self.stolen_share:.0%}"
            )
        doubts += [
            f"{process} took {share:.0%} of its core, over {self.core_share:.0%}: it was itself the bottleneck"
            for process, share in _busy(history).items()
            if share > self.core_share
        ]
        if not on_time:
            doubts.append("no write probe on a kept connection was recorded")
        for zone, share in on_time.items():
            if share.value is not None and share.value < self.on_time_share:
                doubts.append(
                    f"only {share.value:.1%} of the scheduled probes of {zone} started within {self.late_ms:g} ms,"
                    f" {self.on_time_share:.0%} are needed"
                )
        return doubts


def _lateness(probes: Operations) -> Array:
    """How long after its intended start each probe started, or was given up as not sent; in ns."""
    decided = np.where(probes["started"] == NOTHING, probes["ended"], probes["started"])
    lateness: Array = decided - probes["intended"]
    return lateness


def _p99(lateness: Array) -> Measured:
    return exactly(float(np.percentile(lateness, 99)) / SECOND_NS, "s")


def _scheduled(history: History, probes: Operations) -> int:
    """How many probes the schedule asked for, until measuring ended: also those that left no record at all."""
    step = timing(history, "writer", "kept").get("cadence_ms", 0) * MILLISECOND_NS or cadence(probes)
    if not step:
        return len(probes)
    # A second is left to a prober that is stopped just before the phase is noted.
    return int(max(0, history.end - SECOND_NS - int(probes["intended"].min())) / step)


def _stolen(history: History) -> float:
    """The mean share of the cores' time, while was measured, that the host gave to others; 0 where nobody says."""
    begin, end = history.phase("steady") or 0, history.end
    watched = [event for event in history.named("instrument") if begin <= event.at <= end]
    shares = [float(event["steal_share"]) for event in watched if "steal_share" in event.data]
    return float(np.mean(shares)) if shares else 0.0


def _busy(history: History) -> Mapping[str, float]:
    """The mean share of a core that each process took while was measured, where it says so."""
    begin, end = history.phase("steady") or 0, history.end
    shares: dict[str, list[float]] = {}
    for event in history.named("instrument"):
        if begin <= event.at <= end and "cpu_share" in event.data:
            shares.setdefault(str(event.data.get("process", "?")), []).append(float(event["cpu_share"]))
    return {process: float(np.mean(read)) for process, read in sorted(shares.items())}


def _values(by: Mapping[str, Measured]) -> list[float]:
    return [one.value for one in by.values() if one.value is not None]


def _said(measured: Mapping[str, Measured]) -> str:
    if measured["probes_on_time"].value is None:
        return "lateness was not measured"
    return f"{show(measured['probes_on_time'])} of the probes on time, lateness p99 {show(measured['probe_lateness_p99'])}"


def _notes(history: History) -> list[str]:
    return _calibrated(history) + _real_time(history) + _silent(history.operations) + _loads(history)


def _calibrated(history: History) -> list[str]:
    """What is known of the stopwatch itself; nothing in a history that does not say."""
    if "calibration" not in history.run:
        return []
    known = history.run["calibration"]
    if not known:
        return ["this machine was never calibrated: `harness calibrate` measures outages of known length on it"]
    return [f"calibrated on {str(known['at'])[:10]} ({known['verdict'].upper()}): {known['summary']}"]


def _real_time(history: History) -> list[str]:
    """Whether the probes wake up before everybody else; nothing in a history that does not say."""
    said = {str(event["process"]): event.data["real_time"] for event in history.named("instrument") if "real_time" in event.data}
    without = sorted(name for name, first in said.items() if not first)
    if not said:
        return []
    return [f"no real-time priority was allowed to {', '.join(without)}" if without else "the probes had real-time priority"]


def _silent(operations: Operations) -> list[str]:
    numbers = np.bincount(operations["process"][operations["process"] >= 0], minlength=len(operations.names["process"]))
    if not numbers.any():
        return []
    return [f"{name} recorded no operation" for name, n in zip(operations.names["process"], numbers, strict=True) if not n]


def _loads(history: History) -> list[str]:
    """The greatest reading of each figure that a process gave of itself."""
    greatest: dict[str, dict[str, float]] = {}
    for event in history.named("instrument"):
        figures = greatest.setdefault(str(event.data.get("process", "?")), {})
        for name, value in event.data.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                figures[name] = max(figures.get(name, value), value)
    return [f"{process}: {_figures(figures)}" for process, figures in sorted(greatest.items()) if figures]


def _figures(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} at most {value:.3g}" for name, value in sorted(figures.items()))
