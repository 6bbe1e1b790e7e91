"""Does a run say that it cannot tell, and why, when something happens to it that no fault of its own did?"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.systems.broken_off import Run, harness, running
from tests.systems.forwarder import Forwarder

SCENARIO = """
title: A run to which something happens
topology: rds-multi-az
workload: {use: ledger, users: 6, rate: 30/s}
steady_state: {for: 2s}
faults:
  - {inject: pause, target: node(pg-az-a), at: 1s, for: 60s}
"""


def killed(node: str, *script: str) -> Callable[[Run], None]:
    """Kills a node's container by hand, or does something inside it."""

    def act(run: Run) -> None:
        from harness.runtimes.docker import engine

        container = engine().containers.get(f"harness-{run.id}-{node}")
        if script:
            assert container.exec_run([*script]).exit_code == 0
        else:
            container.kill()

    return act


@pytest.mark.slow
@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (killed("manager-az-c"), "manager-az-c ended by itself (its container's exit code is 137), which no fault of this run"),
        (killed("client-az-b"), "client-az-b ended by itself"),
        (
            killed("client-az-c", "python3", "-c", "import os, signal, subprocess\n"
                   "found = [p for p in os.listdir('/proc') if p.isdigit() and p != str(os.getpid())\n"
                   "         and b'harness.probes' in open(f'/proc/{p}/cmdline', 'rb').read().split(b'\\0')\n"
                   "         and open(f'/proc/{p}/comm').read() != 'sh\\n']\n"
                   "[os.kill(int(p), signal.SIGKILL) for p in found] or exit(1)"),
            "probe-az-c ended while it was needed (status 137)",
        ),
    ],
    ids=["a_server_s_node", "a_client_node", "a_probe_process"],
)  # fmt: skip
def test_what_no_fault_did_ends_the_run_as_unknown_by_its_name(tmp_path: Path, act: Callable[[Run], None], reason: str) -> None:
    with running(tmp_path, SCENARIO) as run:
        run.until(stage="injected")
        run.note_supervisor()
        act(run)
        out, _ = run.process.communicate(timeout=120)
        assert run.left() == []
    assert run.process.returncode == 3, out
    result = json.loads((run.report / "result.json").read_text())
    assert f"the run was aborted: {reason}" in result["reason"]
    assert result["faults"][0]["healed_at_s"] is not None


def test_an_engine_that_dies_ends_the_run_as_unknown_and_what_it_left_goes_when_it_is_back(tmp_path: Path) -> None:
    with Forwarder(tmp_path / "engine.sock") as forwarder, running(tmp_path, SCENARIO, forwarder.environment) as run:
        run.until(stage="injected")
        run.note_supervisor()
        forwarder.cut()
        out, _ = run.process.communicate(timeout=120)
        assert run.process.returncode == 3, out
        assert "Traceback" not in out
        result = json.loads((run.report / "result.json").read_text())
        assert "the run was aborted: the Docker engine does not answer any more" in result["reason"]
        assert run.left() != [], "nobody could remove the nodes"
        judged = harness("judge", str(run.report))
        assert judged.returncode == 3, judged.stderr
        assert "trying again" in (run.report / "supervisor.log").read_text()
        forwarder.restore()
        run.gone_within(30)
