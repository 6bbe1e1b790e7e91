"""What is left of a run that was interrupted, once or twice, and what does its report say?"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from harness.interrupts import AT_ONCE
from tests.systems.broken_off import harness, running

SCENARIO = """
title: A run that is interrupted while its fault is in force
topology: rds-multi-az
workload: {use: ledger, users: 6, rate: 30/s}
steady_state: {for: 2s}
faults:
  - {inject: crash, target: writer, at: 1s, for: 60s}
"""


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_once_heals_reports_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path, SCENARIO) as run:
        run.until(stage="injected")
        run.note_supervisor()
        run.process.send_signal(number)
        out, _ = run.process.communicate(timeout=120)
        assert run.left() == []
    assert run.process.returncode == 3, out
    result = json.loads((run.report / "result.json").read_text())
    assert result["verdict"] == "unknown"
    assert f"interrupted by the user ({number.name})" in result["reason"]
    assert result["faults"][0]["healed_at_s"] is not None
    assert (run.report / "report.html").exists()


def test_twice_ends_at_once_and_the_supervisor_removes_everything(tmp_path: Path) -> None:
    with running(tmp_path, SCENARIO) as run:
        run.until(stage="injected")
        run.note_supervisor()
        run.process.send_signal(signal.SIGINT)
        run.until(stage="healing")
        run.process.send_signal(signal.SIGINT)
        out, _ = run.process.communicate(timeout=5)
        assert run.process.returncode == AT_ONCE, out
        run.gone_within(10)
    assert not (run.report / "result.json").exists(), "it was not told to report any more"
    judged = harness("judge", str(run.report))
    assert judged.returncode == 3, judged.stderr
    assert json.loads((run.report / "result.json").read_text())["faults"][0]["injected_at_s"] is not None


@pytest.mark.slow
def test_pytest_ends_in_order_and_runs_no_further_scenario(tmp_path: Path) -> None:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "later.yaml").write_text(SCENARIO)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-s",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path / "scenarios"),
    ]
    with running(tmp_path, SCENARIO, None, *command, "--harness-reports", str(tmp_path / "reports")) as run:
        run.until(stage="injected")
        run.note_supervisor()
        run.process.send_signal(signal.SIGINT)
        out, _ = run.process.communicate(timeout=120)
        assert run.left() == []
    assert run.process.returncode == pytest.ExitCode.INTERRUPTED, out
    assert "UNKNOWN, neither passed nor failed" in out
    assert json.loads((run.report / "result.json").read_text())["verdict"] == "unknown"
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["broken_off"]
