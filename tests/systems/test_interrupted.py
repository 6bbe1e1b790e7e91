"""What is left of a run that was interrupted, and what does its report say?"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.clock import wait_until
from harness.recording import read_lines

SCENARIO = """
title: A run that is interrupted while its fault is in force
topology: rds-multi-az
workload: {use: ledger, users: 6, rate: 30/s}
steady_state: {for: 2s}
faults:
  - {inject: crash, target: writer, at: 1s, for: 60s}
"""


@contextmanager
def run_until_injected(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """`harness run`, yielded with its report's folder at the moment in which its fault is in force."""
    file = folder / "interrupted.yaml"
    file.write_text(SCENARIO)
    command = [sys.executable, "-m", "harness", "run", str(file), "--runtime", "docker", "--reports", str(folder / "reports")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            report = wait_until(lambda: injected(folder), 90, "the fault to be injected", every_s=0.2)
            assert report is not None
            yield process, report
        finally:
            process.kill()


def injected(folder: Path) -> Path | None:
    for events in folder.glob("reports/interrupted/*/history/events.jsonl"):
        if any(line.get("stage") == "injected" for line in read_lines(events)):
            return events.parents[1]
    return None


def left() -> list[str]:
    """The containers and networks of all runs."""
    from harness.runtimes.docker import RUN_LABEL, engine

    client, labelled = engine(), {"label": RUN_LABEL}
    found = client.containers.list(all=True, ignore_removed=True, filters=dict(labelled))
    networks = client.networks.list(filters=labelled)
    return [str(container.name) for container in found] + [str(network.name) for network in networks]


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, check=False)


def test_ctrl_c_heals_reports_and_leaves_nothing(tmp_path: Path) -> None:
    before = left()
    with run_until_injected(tmp_path) as (process, report):
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 3, out
    result = json.loads((report / "result.json").read_text())
    assert result["verdict"] == "unknown"
    assert "interrupted" in result["reason"]
    assert result["faults"][0]["healed_at_s"] is not None
    assert (report / "report.html").exists()
    assert left() == before


def test_a_killed_harness_leaves_nothing_but_a_history_that_can_be_judged(tmp_path: Path) -> None:
    before = left()
    with run_until_injected(tmp_path) as (process, report):
        process.kill()
        process.wait()
        wait_until(lambda: left() == before, 10, "the supervisor to remove everything", every_s=0.5)
    judged = harness("judge", str(report))
    assert judged.returncode == 3, judged.stderr
    result = json.loads((report / "result.json").read_text())
    assert result["verdict"] == "unknown"
    assert next(f for f in result["findings"] if f["checker"] == "availability")["measured"]["availability"]["value"] > 0
