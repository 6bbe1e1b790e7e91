"""What goes on in a real cluster whose change of node type breaks off, or one of whose shards has no memory left?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from harness import resharding
from harness.changes.change_node_type import ChangeNodeType
from harness.clock import wait_until
from harness.faults.fill_memory import FillMemory
from harness.protocols import Cluster, NodeSpec
from harness.resp import Server
from harness.slots import shares, slot_of
from harness.topologies._redis_cluster import PORT
from harness.topologies.elasticache_redis_cluster import ElasticacheRedisCluster
from tests.unit.topologies.machine import Machine, formed

KEYS = 300  # some in every shard
NETWORK = 40


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    topology = ElasticacheRedisCluster(node_timeout_s=2, node_type="cache.t.micro", eviction="noeviction")
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


def test_a_primary_that_was_forgotten_while_it_was_dead_comes_back_as_an_empty_replica(machine: Machine) -> None:
    """By itself it would call itself the primary of its shard for good, and nobody would listen."""
    one, cluster, topology = client(machine), cast("Cluster", machine), machine.topology
    assert isinstance(topology, ElasticacheRedisCluster)
    assert all(one.set(f"key:{number}", number) for number in range(KEYS))
    dead = next(name for name, role in topology.roles(cluster).items() if role == "primary" and name.startswith("redis-1-"))
    secret = topology.secrets["admin"]
    with closing(Server(machine.nodes[dead].spec.address, PORT, "admin", secret)) as primary:
        assert primary.ask("WAIT", 1, 5000) == 1, "its replica has everything"
    machine.kill(dead)
    shards: dict[str, list[str]] = {}
    for node in machine.nodes.values():
        shards.setdefault(node.spec.shard, []).append(node.spec.address)
    members = resharding.Cluster("admin", secret, PORT, shards, until=time.monotonic() + 30)
    successor, _ = members.primary("1")
    resharding.Resharding(members, "keys", [])._forget_the_dead("1", successor)
    successor.close()
    machine.nodes[dead].start()

    def whole() -> bool:
        topology._take_back(cluster)
        return topology.healthy(cluster) is None

    wait_until(whole, 30, "the cluster to be whole", told=lambda: topology.healthy(cluster) or "")
    assert topology.roles(cluster)[dead] == "replica"
    assert kept(machine) == KEYS


def test_one_shard_s_memory_is_full_and_the_others_have_room(machine: Any) -> None:
    first = next(node for node in machine.nodes.values() if node.spec.shard == "2")
    fault, one = FillMemory(), client(machine)
    [witness] = fault.witnesses_on_host(machine, first)
    keys = {f"key:{number}": slot_of(f"key:{number}".encode()) for number in range(KEYS)}
    low, high = shares(3)[1]
    second = {key for key, slot in keys.items() if low <= slot <= high}
    assert witness.look() == witness.normal
    with fault.on_host(machine, first):
        assert witness.look() == witness.expected
        for key in keys:
            if key in second:
                with pytest.raises(redis.exceptions.OutOfMemoryError):
                    one.set(key, "x" * 1000)
            else:
                assert one.set(key, "x" * 1000)
    wait_until(lambda: witness.look() == witness.normal, 10, "the server to have let go of all of it")
    assert all(one.set(key, "x" * 1000) for key in second)


def test_how_much_has_arrived_is_what_its_owners_own(machine: Any) -> None:
    topology = machine.topology
    first, second = (range(low, high + 1) for low, high in shares(3)[:2])
    assert topology.moved(machine) is None
    topology._moving.update({"1": frozenset(first[:100])})
    assert topology.moved(machine) == 1
    topology._moving.update({"3": frozenset(second[:300])})
    assert topology.moved(machine) == 0.25
