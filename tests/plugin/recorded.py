"""A run that was recorded without a cluster: three seconds of probes, of which every zone misses half a second.

It takes the place of `harness.runner.run` in the tests of what is around it, and does all the rest as it does:
a real history is written, read, judged and reported. What it concludes is the scenario's matter: a bound over half
a second on `write_outage` holds, one under it is broken, and a fault, which nobody carried out, leaves it UNKNOWN.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from harness import judging
from harness.clock import MILLISECOND_NS, SECOND_NS
from harness.recording import Notes, Outcome, Recorder
from harness.runner import RunResult, write_reports
from harness.scenario import Scenario, as_run
from harness.verdict import Verdict

ORIGIN = 1_000 * SECOND_NS
CADENCE_MS, DEADLINE_MS, LATENCY_MS = 20, 100, 2
END_S, DOWN_FROM_S, DOWN_FOR_S = 3.0, 2.0, 0.5
PROBES = {name: {"kept": {"cadence_ms": CADENCE_MS, "deadline_ms": DEADLINE_MS}} for name in ("writer", "reader")}


def run(
    scenario: Scenario, *, runtime: str, reports: Path, seed: int, progress: Callable[[str], None], locust_ui: bool = False
) -> RunResult:
    """Records, judges and reports below `reports`, as `harness.runner.run` does."""
    progress(f"recording {scenario.name} on {runtime}")
    folder = reports / scenario.name / "recorded"
    (folder / "history").mkdir(parents=True)
    _note(folder / "history", scenario, runtime, seed)
    for zone in scenario.topology.options.zones:
        _probe(folder / "history", zone)
    result = judging.judge_folder(folder)
    write_reports(folder, result)
    return RunResult(Verdict(result["verdict"]), result["reason"], result["findings"], folder)


def _note(history: Path, scenario: Scenario, runtime: str, seed: int) -> None:
    told = as_run(scenario)
    zones = list(scenario.topology.options.zones)
    nodes = [{"name": f"pg-{zone}", "zone": zone, "role": "database", "server": "postgres"} for zone in zones]
    told["topology"] |= {"zones": zones, "nodes": nodes}
    notes = Notes(history / "events.jsonl")
    notes.write("run", ORIGIN, **told, runtime=runtime, seed=seed, probes=PROBES, sets={"probe_write": "probe"}, versions={})
    notes.write("phase", ORIGIN, phase="steady")
    notes.write("role", ORIGIN, node="pg-az-a", role="primary", timeline=1)
    notes.write("phase", ORIGIN + int(1.5 * SECOND_NS), phase="faults")
    notes.write("phase", ORIGIN + int(END_S * SECOND_NS), phase="final_reads")
    notes.write("authority", ORIGIN + int(END_S * SECOND_NS), node="pg-az-a")
    notes.close()
    everything = [_value(zone, number) for zone in zones for number in range(_probes()) if not _down(number)]
    for zone in zones:
        lines = [{"set": "probe", "values": everything}, {"facts": {}}, {"complete": True}]
        (history / f"final-pg-{zone}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _probe(history: Path, zone: str) -> None:
    """Kept probes of writer and reader; while the endpoint is down they end at their deadline, unanswered."""
    recorder = Recorder(history, f"probe-{zone}", zone)
    lane, late = recorder.name("lane", "kept"), recorder.name("error", "deadline")
    for endpoint, kind in (("writer", "probe_write"), ("reader", "read")):
        names = lane, recorder.name("kind", kind), recorder.name("endpoint", endpoint)
        for number in range(_probes()):
            at = ORIGIN + number * CADENCE_MS * MILLISECOND_NS
            value = _value(zone, number) if kind == "probe_write" else -1
            place = recorder.begin(*names, client=0, intended=at, started=at, value=value)
            if _down(number):
                recorder.end(place, Outcome.FAILED, at + DEADLINE_MS * MILLISECOND_NS, late)
            else:
                recorder.end(place, Outcome.OK, at + LATENCY_MS * MILLISECOND_NS)
    recorder.close()


def _probes() -> int:
    return int(END_S * 1000 / CADENCE_MS)


def _down(number: int) -> bool:
    return DOWN_FROM_S <= number * CADENCE_MS / 1000 < DOWN_FROM_S + DOWN_FOR_S


def _value(zone: str, number: int) -> int:
    return ("az-a", "az-b", "az-c").index(zone) * 1_000_000 + number
