"""What a cluster with shards is, before anything runs."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from harness.layout import Plan
from harness.protocols import NodeSpec, Reshards, Sharded, Topology
from harness.topologies._redis_cluster import Known, Member, unfit
from harness.topologies.elasticache_redis_cluster import ElasticacheRedisCluster


def laid_out(**options: Any) -> list[NodeSpec]:
    topology = ElasticacheRedisCluster(**options)
    return list(topology.nodes(Plan(IPv4Network("198.18.0.0/20"), topology.zones).addresses()))


def test_it_is_a_topology_that_can_be_resharded() -> None:
    topology = ElasticacheRedisCluster()
    assert isinstance(topology, Topology)
    assert isinstance(topology, Reshards)
    assert isinstance(topology, Sharded)


@pytest.mark.parametrize("replicas", [0, 1, 2])
def test_the_members_of_a_shard_are_in_different_zones_and_the_first_ones_too(replicas: int) -> None:
    specs = laid_out(shards=3, replicas=replicas)
    for shard in "123":
        zones = [spec.zone for spec in specs if spec.shard == shard]
        assert len(set(zones)) == len(zones) == 1 + replicas
    assert {next(spec.zone for spec in specs if spec.shard == shard) for shard in "123"} == {"az-a", "az-b", "az-c"}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"shards": 0}, "0 shards; a cluster has 3 to 90"),
        ({"shards": 2}, "no majority of primaries"),
        ({"replicas": 3}, "3 zones have room for 0 to 2"),
        ({"node_type": "cache.m.lage"}, "no node type called 'cache.m.lage'; did you mean 'cache.m.large'?"),
        ({"node_timeout_s": 0.01}, "node_timeout is 100ms at least"),
    ],
)
def test_what_servers_could_not_be_is_refused_in_a_line(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("?", r"\?")) as refused:
        ElasticacheRedisCluster(**options)
    assert "\n" not in str(refused.value)


def said(**changed: dict[str, Any]) -> dict[str, Member]:
    """Three shards without replicas, and one with one, as they say themselves when all is well."""
    specs = [
        spec for spec in laid_out(replicas=1) if spec.name in ("redis-1-az-a", "redis-1-az-b", "redis-2-az-b", "redis-3-az-c")
    ]
    shares = {"redis-1-az-a": [(0, 5460)], "redis-2-az-b": [(5461, 10921)], "redis-3-az-c": [(10922, 16383)]}
    known = {
        spec.name: Known(
            f"id-{spec.name}",
            spec.address,
            ["master"] if spec.name in shares else ["slave"],
            "-" if spec.name in shares else "id-redis-1-az-a",
            changed.get(spec.name, {}).get("slots", shares.get(spec.name, [])),
            changed.get(spec.name, {}).get("moving", []),
        )
        for spec in specs
    }
    return {
        spec.name: Member(
            spec,
            "" if changed.get(spec.name, {}).get("silent") else f"id-{spec.name}",
            {"cluster_state": changed.get(spec.name, {}).get("state", "ok")},
            {"master_link_status": changed.get(spec.name, {}).get("link", "up"), "master_sync_in_progress": "0"},
            tuple(known.values()),
        )
        for spec in specs
    }


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({}, None),
        ({"redis-2-az-b": {"silent": True}}, "redis-2-az-b is silent"),
        ({"redis-2-az-b": {"state": "fail"}}, "redis-2-az-b says that the cluster is fail"),
        ({"redis-1-az-b": {"link": "down"}}, "redis-1-az-b is not in sync"),
        ({"redis-2-az-b": {"slots": [(5461, 10920)]}}, "1 slots have no owner"),
        ({"redis-2-az-b": {"slots": [(5460, 10921)]}}, "redis-1-az-a and redis-2-az-b both own slot 5460"),
        ({"redis-2-az-b": {"moving": ["[93->-id]"]}}, "redis-2-az-b has slots on their way: 1"),
    ],
)
def test_it_is_healthy_when_every_member_says_so(changed: dict[str, Any], missing: str | None) -> None:
    assert unfit(said(**changed)) == missing
