"""Whenever the harness is killed: is nothing left of its run within ten seconds, and can what it recorded be judged?

Moments are drawn within each phase of a run, by a seed. One of each phase is tried; all twenty are with
HARNESS_ALL_MOMENTS=1, which takes half an hour.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.systems.broken_off import Run, harness, running

SCENARIO = """
title: A run whose harness is killed
topology: rds-multi-az
workload: {use: ledger, users: 6, rate: 30/s}
steady_state: {for: 2s}
recovery: {stable_for: 2s}
faults:
  - {inject: crash, target: writer, at: 1s, for: 5s}
"""
# The event that begins a phase, and how many seconds of it a moment is drawn from.
PHASES: dict[str, tuple[dict[str, Any], float]] = {
    "boot": ({"phase": "forming"}, 15),
    "steady": ({"phase": "warming_up"}, 4),
    "fault": ({"stage": "injected"}, 5),
    "healing": ({"stage": "healing"}, 6),
    "judging": ({"phase": "final_reads"}, 6),
}


def moments(of_each: int) -> list[tuple[str, float]]:
    """Phases, with seconds into them."""
    rng = random.Random(20)
    drawn = {phase: [round(rng.uniform(0, length_s), 2) for _ in range(4)] for phase, (_, length_s) in PHASES.items()}
    return [(phase, after_s) for phase, delays in drawn.items() for after_s in delays[:of_each]]


ALL = os.environ.get("HARNESS_ALL_MOMENTS") == "1"
QUICK = ("boot", "fault")  # what continuous integration tries
MOMENTS = [
    pytest.param(phase, after_s, marks=() if phase in QUICK else pytest.mark.slow, id=f"{phase}+{after_s}s")
    for phase, after_s in moments(4 if ALL else 1)
]


@pytest.mark.parametrize(("phase", "after_s"), MOMENTS)
def test_a_killed_harness_leaves_nothing_but_a_history_that_can_be_judged(tmp_path: Path, phase: str, after_s: float) -> None:
    with running(tmp_path, SCENARIO) as run:
        run.until(**PHASES[phase][0])
        killed = kill(run, after_s)
        nodes_s, supervisor_s = run.gone_within(10)
    code, verdict = judged(run.report)
    gone = f"no node left after {nodes_s:.1f} s, no supervisor after {supervisor_s:.1f} s"
    print(f"\nkilled {phase} +{after_s} s ({killed}): {gone}; judged {verdict}")
    assert code in ((0, 3) if phase == "judging" else (3,)), "what was recorded whole may be a PASS"
    known = [line["event"] for line in events(run.report)]
    assert known[0] == "run"
    if phase in ("fault", "healing", "judging"):
        assert faults(run.report)[0]["injected_at_s"] is not None


def kill(run: Run, after_s: float) -> str:
    """Kills a run that many seconds from now; says so when it was over by then."""
    try:
        run.process.wait(timeout=after_s)
    except subprocess.TimeoutExpired:
        run.note_supervisor()
        run.process.kill()
        run.process.wait()
        return "in the middle"
    return "it was over by itself"


def judged(report: Path) -> tuple[int, str]:
    ended = harness("judge", str(report))
    assert (report / "result.json").exists(), ended.stderr
    return ended.returncode, str(json.loads((report / "result.json").read_text())["verdict"])


def faults(report: Path) -> Sequence[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((report / "result.json").read_text())["faults"]
    return found


def events(report: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (report / "history" / "events.jsonl").read_bytes().splitlines(keepends=True)[:1]]
