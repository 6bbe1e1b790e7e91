"""A flooded server has as many connections as were asked for, and none of them once that is healed."""

from __future__ import annotations

import pytest

from harness.clock import wait_until
from harness.errors import ClusterError
from harness.faults.connection_flood import ConnectionFlood, Held
from harness.protocols import Cluster
from tests.conformance.echo import PORT


def test_the_connections_are_there_and_gone_afterwards(cluster: Cluster) -> None:
    node = cluster.nodes["echo-az-c"]
    flood = ConnectionFlood(connections=90)
    [witness] = flood.witnesses_on_host(cluster, node)
    assert witness.look() == witness.normal
    with flood.on_host(cluster, node):
        assert witness.look() == witness.expected
        every = Held(node, PORT, 90)
        wait_until(lambda: every.look() == every.expected, 5, "every connection to be there")
        assert Held(cluster.nodes["echo-az-a"], PORT, 10).look() == "fewer", "the others have none"
    one = Held(node, PORT, 1)
    wait_until(lambda: one.look() == one.normal, 5, "the connections to be gone")


def test_a_server_that_is_killed_meanwhile_is_flooded_again_once_it_is_back(cluster: Cluster) -> None:
    node = cluster.nodes["echo-az-c"]
    flood = ConnectionFlood(connections=30)
    [witness] = flood.witnesses_on_host(cluster, node)
    with flood.on_host(cluster, node):
        node.kill()
        assert witness.look() == witness.normal
        node.start()
        wait_until(lambda: witness.look() == witness.expected, 5, "the connections to be opened again")


def test_a_node_without_a_known_port_cannot_be_flooded(cluster: Cluster) -> None:
    client = cluster.client("az-a")
    with (
        pytest.raises(ClusterError, match=f"{client.spec.name} has no port that could be flooded"),
        ConnectionFlood().on_host(cluster, client),
    ):
        pass
