"""Nodes come and go, and are exchanged for others, while a client writes: nothing that it was told is lost.

On real servers; what a run under load measures is asked by the scenarios.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.changes.add_replica import AddReplica
from harness.changes.change_node_type import ChangeNodeType
from harness.changes.migrate import Migrate
from harness.changes.remove_replica import RemoveReplica
from harness.clock import SECOND_NS, now_ns, wait_until
from harness.errors import ClusterError
from harness.protocols import Change, Outcome
from harness.topologies import _redis_scaling, elasticache_redis
from harness.topologies.elasticache_redis import ElasticacheRedis
from tests.unit.topologies.machine import Machine, formed


def carried_out(change: Change, machine: Any) -> tuple[Outcome, dict[str, str], dict[str, str]]:
    before = change.look(machine, machine.topology)
    ended = change.carry_out(machine, machine.topology)
    return ended, dict(before), dict(change.look(machine, machine.topology))


@contextmanager
def writing(machine: Machine) -> Iterator[list[int]]:
    """Appends numbers on fresh connections; what was acknowledged is in the list."""
    acknowledged: list[int] = []
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            if isinstance(machine.ask("RPUSH", "workload:written", str(number), within_s=12), int):
                acknowledged.append(number)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield acknowledged
    finally:
        over.set()
        thread.join()


def kept(machine: Machine) -> list[int]:
    return [int(number) for number in machine.ask("LRANGE", "workload:written", "0", "-1")]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    topology = ElasticacheRedis(down_after_s=5, node_type="cache.t.micro")
    with formed(tmp_path_factory.mktemp("machine"), topology) as one:
        yield one


def test_a_replica_is_added_and_another_taken_away(machine: Machine) -> None:
    added, before, after = carried_out(AddReplica(), machine)
    assert added.verified, added.said
    assert after == added.expected == {**before, "cache-az-a-2": "replica"}
    removed, before, after = carried_out(RemoveReplica(node="cache-az-b"), machine)  # type: ignore[arg-type]
    assert removed.verified, removed.said
    assert after == removed.expected == {name: role for name, role in before.items() if name != "cache-az-b"}


def test_what_is_no_replica_is_not_taken_away(machine: Machine) -> None:
    ended, before, after = carried_out(RemoveReplica(node="cache-az-a"), machine)  # type: ignore[arg-type]
    assert (ended.verified, ended.said) == (False, "cache-az-a is primary, not a replica; nothing was changed")
    assert before == after


def test_a_node_type_that_there_is_not_changes_nothing(machine: Machine) -> None:
    ended, before, after = carried_out(ChangeNodeType(to="cache.t.smal"), machine)
    assert ended.said.startswith("no node type called 'cache.t.smal'; did you mean 'cache.t.small'?")
    assert (ended.verified, before) == (False, after)


def test_bigger_nodes_take_over_and_nothing_that_was_acknowledged_is_lost(machine: Machine) -> None:
    began = now_ns()
    with writing(machine) as acknowledged:
        ended, before, after = carried_out(ChangeNodeType(to="cache.t.small"), machine)
    assert ended.verified, ended.said
    assert not set(before) & set(after)
    assert sorted(after.values()) == ["primary", "replica", "replica"]
    missing = set(acknowledged) - set(kept(machine))
    assert not missing, f"{len(missing)} of {len(acknowledged)}"
    assert len(acknowledged) > 100
    print(f"{(now_ns() - began) / SECOND_NS:.1f} s; {ended.said}")


def test_a_change_that_fails_before_the_new_primary_is_there_leaves_the_old_nodes_serving(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any) -> None:
        raise ClusterError("sentinel-az-a did not FAILOVER: NOGOODSLAVE")

    monkeypatch.setattr(elasticache_redis, "fail_over", refuses)
    with writing(machine) as acknowledged:
        ended, before, after = carried_out(ChangeNodeType(to="cache.t.medium"), machine)
    assert (ended.verified, after) == (False, before)
    assert "NOGOODSLAVE; the cluster is healthy as it was" in ended.said
    assert machine.writes()
    assert not set(acknowledged) - set(kept(machine))


def test_a_change_that_fails_after_it_keeps_whoever_is_primary(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def moves_and_breaks(*given: Any) -> None:
        _redis_scaling.fail_over(*given)
        raise ClusterError("cache-az-a did not REPLICAOF: it said nothing")

    monkeypatch.setattr(elasticache_redis, "fail_over", moves_and_breaks)
    ended, before, after = carried_out(ChangeNodeType(to="cache.t.medium"), machine)
    assert "clients are led to a new node already, so the new nodes and the old ones stay" in ended.said
    assert [role for name, role in after.items() if name not in before].count("primary") == 1
    assert {*before} < {*after}
    wait_until(machine.writes, 20, "a write through the router")
    wait_until(lambda: machine.topology.healthy(machine) is None, 60, "all to follow the new primary")  # type: ignore[arg-type]
    for name in before:
        machine.topology.remove_replica(machine, name)  # type: ignore[arg-type,union-attr]  # what it asks of a cluster is there
    wait_until(lambda: machine.topology.healthy(machine) is None, 60, "Sentinels to know who is left")  # type: ignore[arg-type]


def test_all_data_moves_to_a_new_cluster(machine: Machine) -> None:
    for number in range(300):  # one ends every 50 ms, also while the clusters are compared
        machine.ask("SET", f"workload:brief:{number}", "x", "PX", str(5_000 + 50 * number))
    with writing(machine) as acknowledged:
        ended, before, after = carried_out(Migrate(), machine)
    assert ended.verified, ended.said
    assert not set(before) & set(after)
    assert not set(acknowledged) - set(kept(machine))
    print(ended.said)


def test_without_room_for_new_nodes_nothing_is_changed(tmp_path: Path) -> None:
    with formed(tmp_path, ElasticacheRedis(replicas=5, down_after_s=5), network=1) as machine:
        ended, before, after = carried_out(AddReplica(), machine)
        assert (ended.verified, before) == (False, after)
        assert ended.said.startswith("there is room for 6 database nodes, two a zone, and all of it is taken")
