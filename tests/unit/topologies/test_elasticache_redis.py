"""What is laid out, what is refused, and what a Sentinel's log tells."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness import scenario
from harness.errors import UsageError
from harness.protocols import AddressPlan, Limits, NodeSpec
from harness.topologies._node_types import NODE_TYPES
from harness.topologies.elasticache_redis import ElasticacheRedis

ELECTED = """\
2:X 27 Nov 2026 21:57:35.594 # +sdown master cache 127.77.0.1 6379
2:X 27 Nov 2026 21:57:35.658 # +odown master cache 127.77.0.1 6379 #quorum 2/2
2:X 27 Nov 2026 21:57:35.658 # +new-epoch 1
2:X 27 Nov 2026 21:57:35.658 # +try-failover master cache 127.77.0.1 6379
2:X 27 Nov 2026 21:57:35.704 # +elected-leader master cache 127.77.0.1 6379
2:X 27 Nov 2026 21:57:35.781 # +selected-slave slave 127.77.0.2:6379 127.77.0.2 6379 @ cache 127.77.0.1 6379
2:X 27 Nov 2026 21:57:36.061 * Sentinel new configuration saved on disk
2:X 27 Nov 2026 21:57:36.061 # +promoted-slave slave 127.77.0.2:6379 127.77.0.2 6379 @ cache 127.77.0.1 6379
2:X 27 Nov 2026 21:57:37.190 # +switch-master cache 127.77.0.1 6379 127.77.0.2 6379
2:X 27 Nov 2026 21:57:46.190 # +convert-to-slave slave 127.77.0.1:6379 127.77.0.1 6379 @ cache 127.77.0.2 6379
"""


def nodes(topology: ElasticacheRedis) -> dict[str, NodeSpec]:
    taken = iter(range(10, 250))
    return {spec.name: spec for spec in topology.nodes(AddressPlan(topology.zones, lambda _: f"198.18.1.{next(taken)}"))}


@pytest.mark.parametrize(
    ("replicas", "zones"), [(1, ["az-a", "az-b"]), (2, ["az-a", "az-b", "az-c"]), (5, ["az-a", "az-b", "az-c"] * 2)]
)
def test_replicas_are_spread_over_the_zones(replicas: int, zones: list[str]) -> None:
    specs = nodes(ElasticacheRedis(replicas=replicas)).values()
    assert [spec.zone for spec in specs if spec.role == "database"] == zones
    assert [spec.zone for spec in specs if spec.role == "manager"] == ["az-a", "az-b", "az-c"]


def test_a_node_type_is_memory_and_cpu_of_every_database() -> None:
    specs = nodes(ElasticacheRedis(node_type="cache.t.small"))
    assert specs["cache-az-b"].limits == Limits(0.5, 56)
    assert specs["sentinel-az-a"].limits == Limits()
    assert nodes(ElasticacheRedis())["cache-az-a"].limits == Limits()


def test_each_size_has_twice_the_memory_of_the_one_before() -> None:
    sizes = [NODE_TYPES[f"cache.t.{size}"].memory_mb for size in ("micro", "small", "medium")]
    assert [b / a for a, b in pairwise(sizes)] == [2, 2]
    assert all(one.maxmemory_mb < one.memory_mb for one in NODE_TYPES.values())


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("replicas: 0", "0 replicas; a primary that shall have a successor has 1 to 5"),
        ("replicas: 6", "6 replicas; a primary that shall have a successor has 1 to 5"),
        ("min_replicas_to_write: 3", "min_replicas_to_write is 3, but there are 2 replicas"),
        ("node_type: cache.m.lagre", "no node type called 'cache.m.lagre'; did you mean 'cache.m.large'?"),
        ("replicas_lag: 0s", "replicas_lag is 1s at least: replicas answer once a second"),
        ("down_after: 0s", "down_after and failover_timeout are more than 0s: Sentinel refuses others"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, option: str, said: str) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(f"title: x\ntopology: {{use: elasticache-redis, {option}}}\nworkload: session_store\n")
    with pytest.raises(UsageError) as refused:
        scenario.load(path)
    assert str(refused.value) == f"{path}:2:11: {said}"


def test_a_workload_of_another_protocol_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("title: x\ntopology: elasticache-redis\nworkload: ledger\n")
    with pytest.raises(UsageError, match=r"3:11: ledger speaks postgresql, but elasticache-redis speaks redis; .*session_store"):
        scenario.load(path)


def test_a_sentinel_s_log_tells_when_it_was_agreed_elected_promoted_and_demoted() -> None:
    taken = iter(["127.77.0.1", "127.77.0.2", *(f"127.77.0.{number}" for number in range(10, 20))])
    topology = ElasticacheRedis()
    topology.nodes(AddressPlan(topology.zones, lambda _: next(taken)))
    told = list(topology.records(ELECTED, UTC))
    assert [one.what for one in told] == ["detected", "elected", "promoted", "demoted"]
    assert [one.about for one in told] == ["cache-az-a", "cache-az-a", "cache-az-b", "cache-az-a"]
    assert told[0].at == datetime(2026, 11, 27, 21, 57, 35, 658_000, UTC).timestamp()


@pytest.mark.parametrize(
    ("log", "way"),
    [
        ("Full resync from primary: 26d3d9", None),
        ("x\nBefore turning into a replica, using my own\nSuccessful partial resynchronization with primary", "partial resync"),
        ("Before turning into a replica\nPartial resynchronization not possible\nFull resync from primary: a", "full resync"),
        ("Before turning into a replica\nReconnecting", None),
    ],
)
def test_how_a_node_came_back_is_in_its_log(log: str, way: str | None) -> None:
    assert ElasticacheRedis().rejoin_way(log) == way


def test_passwords_are_made_anew_for_every_cluster_and_are_no_option() -> None:
    one, other = ElasticacheRedis(), ElasticacheRedis()
    assert one.secrets != other.secrets
    assert one == other
    secret: Any = one.secrets["application"]
    assert secret not in repr(one)
    assert secret in one.dsn("198.18.1.10", 6379)
