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

LAUNCH = """
import pathlib, signal, sys
sys.path.insert(0, {root!r})
from tests.conformance.echo import Echo
from harness.protocols import Group
from harness.runtimes.docker import Docker
topology = Echo()
with Docker(progress=lambda line: None).launch(topology, pathlib.Path({folder!r})) as cluster:
    topology.form(cluster, lambda line: None)
    with cluster.network.drop(cluster.zone_group("az-a"), cluster.zone_group("az-b")):
        print(cluster.run_id, flush=True)
        signal.pause()
"""


def left(run_id: str) -> list[str]:
    """The names of all containers and networks of a run, and its packet rules."""
    from harness.runtimes.docker import RUN_LABEL, engine

    client = engine()
    mine: dict[str, str | list[str] | bool] = {"label": f"{RUN_LABEL}={run_id}"}
    found = [str(container.name) for container in client.containers.list(all=True, ignore_removed=True, filters=mine)]
    found += [str(network.name) for network in client.networks.list(filters=mine)]
    return found + [table for table in rules() if run_id in table]


def rules() -> list[str]:
    """The tables of packet rules of the host's network, by a packet helper of our own."""
    from harness.runtimes.docker import engine
    from harness.runtimes.images import Images

    client = engine()
    listed = client.containers.run(
        Images(client, {}, lambda line: None).of("packets"), ["nft", "list", "tables"],
        network_mode="host", cap_add=["NET_ADMIN"], remove=True,
    )  # fmt: skip
    assert isinstance(listed, bytes)
    return listed.decode().splitlines()


def test_leaving_the_context_removes_everything(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    with (
        runtime.launch(Echo(), tmp_path) as cluster,
        cluster.network.drop(cluster.zone_group("az-a"), cluster.zone_group("az-b")),
    ):
        run_id = cluster.run_id
        assert len(left(run_id)) == len(cluster.nodes) + 4  # the packet helper, the network, two tables of rules
    assert left(run_id) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_harness_that_dies_leaves_nothing(runtime: Runtime, tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "history").mkdir()
    script = LAUNCH.format(root=str(Path(__file__).parents[2]), folder=str(tmp_path))
    harness = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert harness.stdout is not None
    run_id = harness.stdout.readline().strip()
    assert run_id, "the harness never said its run's id"
    assert left(run_id)
    os.kill(harness.pid, number)
    harness.wait(timeout=30)
    harness.stdout.close()
    wait_until(lambda: not left(run_id), 10, "everything of the run to be gone", every_s=0.5)
