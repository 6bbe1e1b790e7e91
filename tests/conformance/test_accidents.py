"""Is it noticed when a node ends, or runs out of memory, by nobody's doing, and is nothing left of its cluster then?"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from harness.clock import wait_until
from harness.errors import ClusterError
from harness.namespaces import limits, wire
from harness.protocols import Accident, Cluster, Limits, Node, Runtime
from tests.conformance.conftest import runtime_called
from tests.conformance.echo import Echo
from tests.conformance.leftovers import left, outermost


def test_what_is_done_to_the_processes_of_a_node_is_no_accident(cluster: Cluster) -> None:
    node = cluster.nodes["echo-az-c"]
    with cluster.watched() as accidents:
        node.kill()
        node.start()
        wait_until(lambda: Echo().healthy(cluster) is None, 20, "the server to answer again")
        assert accidents.all() == []


def test_a_node_that_runs_out_of_memory_is_an_accident(runtime: Runtime, cluster: Cluster) -> None:
    if runtime.name == "local" and (why := limits.unavailable()):
        pytest.skip(why)
    client = cluster.client("az-b")
    with cluster.watched() as accidents:
        client.limit(Limits(memory_mb=64))
        try:
            assert client.run("python3", "-c", "bytearray(500_000_000)").status != 0
            wait_until(accidents.all, 10, "the engine to tell of it")
        finally:
            client.limit(Limits(memory_mb=4096))
        assert accidents.all()[0] == Accident("client-az-b", "ran out of memory")


def test_a_container_that_was_killed_by_hand_is_an_accident_and_leaves_nothing(tmp_path: Path) -> None:
    from harness.runtimes.docker import engine

    (tmp_path / "history").mkdir()
    with runtime_called("docker").launch(Echo(), tmp_path) as cluster, cluster.watched() as accidents:
        run_id = cluster.run_id
        # What makes packet rules ends while one is in force: it cannot be taken back by whoever made it.
        cut = cluster.network.drop(cluster.zone_group("az-a"), cluster.zone_group("az-b"))
        with suppress(ClusterError), cut:
            for name in ("echo-az-b", "packets"):
                engine().containers.get(f"harness-{run_id}-{name}").kill()
            wait_until(lambda: len(accidents.all()) == 2, 10, "the engine to tell of them")
        assert [str(accident) for accident in accidents.all()] == [
            "echo-az-b ended by itself (its container's exit code is 137)",
            "packets ended by itself (its container's exit code is 137)",
        ]
    assert left("docker", run_id) == []


def test_a_node_whose_process_1_was_killed_by_hand_is_an_accident_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    with runtime_called("local").launch(Echo(), tmp_path) as cluster, cluster.watched() as accidents:
        run_id = cluster.run_id
        os.kill(first_process(cluster.nodes["echo-az-b"]), signal.SIGKILL)
        wait_until(accidents.all, 10, "the keeper to tell of it")
        assert [str(accident) for accident in accidents.all()] == ["echo-az-b ended by itself (its process 1 ended with -9)"]
        for keeper in outermost(run_id):
            os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: len(accidents.all()) == 2, 10, "the keeper's end to be noticed")
        assert str(accidents.all()[1]) == "the keeper of all nodes has ended"
    assert left("local", run_id) == []


def first_process(node: Node) -> int:
    """A local node's process 1, as this machine calls it."""
    from harness.runtimes.local import LocalNode

    assert isinstance(node, LocalNode)
    with wire.connected(node.socket, 5) as one:
        return wire.process_of(one)
