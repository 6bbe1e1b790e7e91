"""A change of node type that breaks off in the middle of a real cluster: what serves then, and is anything lost?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from harness.changes.change_node_type import ChangeNodeType
from harness.protocols import Cluster, NodeSpec
from harness.topologies._redis_cluster import PORT
from harness.topologies.elasticache_redis_cluster import ElasticacheRedisCluster
from tests.unit.topologies.machine import Machine, formed

KEYS = 300  # some in every shard
NETWORK = 40


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    topology = ElasticacheRedisCluster(node_timeout_s=2, node_type="cache.t.micro")
    with formed(tmp_path, topology, NETWORK) as one:
        yield one


def client(machine: Machine) -> redis.RedisCluster:
    address = next(node.spec.address for node in machine.nodes.values())
    password = machine.topology.secrets["admin"]
    return redis.RedisCluster(host=address, port=PORT, username="admin", password=password, decode_responses=True)


def kept(machine: Machine) -> int:
    one = client(machine)
    return sum(one.get(f"key:{number}") == str(number) for number in range(KEYS))


def test_a_member_that_dies_while_it_takes_over_leaves_the_old_ones_serving(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first shard is done; of the second, the new member dies at the moment at which it is asked to take over."""
    ask, asked = ElasticacheRedisCluster._ask, list[str]()

    def dies(topology: ElasticacheRedisCluster, cluster: Cluster, spec: NodeSpec, *commands: str) -> list[Any]:
        if "CLUSTER FAILOVER" in commands:
            asked.append(spec.name)
            if len(asked) == 2:
                machine.kill(spec.name)
        return ask(topology, cluster, spec, *commands)

    monkeypatch.setattr(ElasticacheRedisCluster, "_ask", dies)
    one = client(machine)
    assert all(one.set(f"key:{number}", number) for number in range(KEYS))
    cluster, topology = cast("Cluster", machine), machine.topology
    before = topology.roles(cluster)
    ended = ChangeNodeType(to="cache.t.small").carry_out(cluster, topology)

    assert not ended.verified
    assert ended.said.startswith("shard 2: ")
    assert f"{asked[1]} did not answer when it was asked to take over" in ended.said
    assert "the new members were taken away again; shards 1 have nodes of type cache.t.small" in ended.said
    assert ended.said.endswith("the cluster is healthy as it was")
    after = topology.roles(cluster)
    shards = {name: node.spec.shard for name, node in machine.nodes.items()}
    assert {name for name in after if shards[name] != "1"} == {name for name in before if not name.startswith("redis-1-")}
    assert asked[0] in after, "the new primary of the first shard goes on"
    assert asked[1] not in after
    assert sorted(after.values()) == ["primary"] * 3 + ["replica"] * 3
    assert kept(machine) == KEYS
    assert all(client(machine).set(f"key:{number}", number) for number in range(KEYS)), "every shard takes writes"
