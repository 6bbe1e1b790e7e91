"""Is anything left of a cluster when it has ended, however it ended?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.clock import wait_until
from harness.protocols import Runtime
from tests.conformance.echo import Echo
from tests.conformance.leftovers import left

LAUNCH = """
import pathlib, signal, sys
sys.path.insert(0, {root!r})
from tests.conformance.echo import Echo
from harness.protocols import Group
from harness import runtimes
topology = Echo()
with runtimes.called({runtime!r}, {{}}, lambda line: None).launch(topology, pathlib.Path({folder!r})) as cluster:
    topology.form(cluster, lambda line: None)
    with cluster.network.drop(cluster.zone_group("az-a"), cluster.zone_group("az-b")):
        print(cluster.run_id, flush=True)
        signal.pause()
"""


def test_leaving_the_context_removes_everything(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    with (
        runtime.launch(Echo(), tmp_path) as cluster,
        cluster.network.drop(cluster.zone_group("az-a"), cluster.zone_group("az-b")),
    ):
        run_id = cluster.run_id
        # Docker: the packet helper, the network, two tables of rules. Local: each server's process, three outside of nodes.
        assert len(left(runtime.name, run_id)) >= len(cluster.nodes) + 2
    assert left(runtime.name, run_id) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_harness_that_dies_leaves_nothing(runtime: Runtime, tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "history").mkdir()
    script = LAUNCH.format(root=str(Path(__file__).parents[2]), folder=str(tmp_path), runtime=runtime.name)
    harness = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert harness.stdout is not None
    run_id = harness.stdout.readline().strip()
    assert run_id, "the harness never said its run's id"
    assert left(runtime.name, run_id)
    os.kill(harness.pid, number)
    harness.wait(timeout=30)
    harness.stdout.close()
    wait_until(lambda: not left(runtime.name, run_id), 10, "everything of the run to be gone", every_s=0.5)
