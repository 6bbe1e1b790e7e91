"""What a cluster with shards is, before anything runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
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
            tuple(
                replace(one, slots=[]) if name in changed.get(spec.name, {}).get("unheard", ()) else one
                for name, one in known.items()
            ),
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
        ({"redis-1-az-b": {"unheard": ["redis-3-az-c"]}}, "redis-1-az-b has not heard yet what slots redis-3-az-c owns"),
    ],
)
def test_it_is_healthy_when_every_member_says_so(changed: dict[str, Any], missing: str | None) -> None:
    assert unfit(said(**changed)) == missing


TAKES_OVER = """\
2:S 28 Nov 2026 01:16:20.097 * FAIL message received from 09f84701 (198.18.2.11:6379) about 158c4396 (198.18.1.10:6379)
2:S 28 Nov 2026 01:16:20.097 * Start of election delayed for 0 milliseconds (rank #0, primary rank #0, offset 507853).
2:S 28 Nov 2026 01:16:20.097 * Starting a failover election for epoch 4, node config epoch is 1
2:S 28 Nov 2026 01:16:20.100 * Failover election won: I'm the new primary.
2:S 28 Nov 2026 01:16:20.100 * configEpoch set to 4 after successful failover
"""
MARKS = "10:M 28 Nov 2026 01:16:20.095 * Marking node 158c43967633e6e0 (198.18.1.10:6379) as failing (quorum reached).\n"
IS_DEPOSED = "10:M 28 Nov 2026 01:16:26.426 * Configuration change detected. Reconfiguring myself as a replica of node 8280c59a\n"
OF_REDIS_7 = "7:S 28 Nov 2026 01:16:20.100 # Failover election won: I'm the new master.\n"


def test_a_member_s_log_tells_of_a_failover_in_its_order() -> None:
    told = list(ElasticacheRedisCluster().records(TAKES_OVER + MARKS + IS_DEPOSED + OF_REDIS_7, UTC))
    assert [one.what for one in told] == ["detected", "elected", "promoted", "detected", "demoted", "elected"]
    assert told[1].at - told[0].at == pytest.approx(0.003, abs=1e-6)
    assert told[0].at == datetime(2026, 11, 28, 1, 16, 20, 97_000, tzinfo=UTC).timestamp()


def test_a_node_that_came_later_is_described_again_as_it_was() -> None:
    topology, plan = ElasticacheRedisCluster(), Plan(IPv4Network("198.18.0.0/20"), ElasticacheRedisCluster.zones)
    topology.nodes(plan.addresses())
    came = topology._spec("1", "az-a", plan.take, "cache.t.small")
    again = ElasticacheRedisCluster()
    again.nodes(Plan(IPv4Network("198.18.0.0/20"), again.zones).addresses())
    again.went("redis-1-az-a")
    told = again.came(came.name, came.zone, came.address, came.made)
    assert (told.name, told.address, told.limits, told.shard) == (came.name, came.address, came.limits, came.shard)
    assert again._spec("1", "az-a", plan.take).name == "redis-1-az-a-3"
    assert [came.address, 6379] in again._known_to_clients["seeds"]
    assert len(again._known_to_clients["seeds"]) == 6, "one came, one went"
