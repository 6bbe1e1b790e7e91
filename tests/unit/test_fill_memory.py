"""Memory is really filled, in a real server: new entries are refused, or others put out, and there is room again afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from harness.clock import wait_until
from harness.errors import ClusterError
from harness.faults.fill_memory import FillMemory
from harness.topologies.elasticache_redis import ElasticacheRedis
from tests.unit.topologies.machine import Machine, formed

PRIMARY = "cache-az-a"


@pytest.fixture(params=["noeviction", "allkeys-lru"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    with formed(tmp_path, ElasticacheRedis(node_type="cache.t.micro", eviction=request.param, replicas=1)) as one:
        yield one


def test_the_memory_is_full_and_has_room_again_afterwards(machine: Any) -> None:
    fault, node = FillMemory(), machine.nodes[PRIMARY]
    [witness] = fault.witnesses_on_host(machine, node)
    assert machine.ask("SET", "workload:early", "x" * 1000) is True
    assert witness.look() == witness.normal
    with fault.on_host(machine, node):
        assert witness.look() == witness.expected
        if machine.topology.eviction == "noeviction":
            said = machine.ask("SET", "workload:late", "x" * 1000)
            assert isinstance(said, redis.exceptions.OutOfMemoryError), said
            assert machine.ask("EXISTS", "workload:early") == 1
        else:  # a third of all that there is room for
            assert all(machine.ask("SET", f"workload:late:{number}", "x" * 100_000) is True for number in range(40))
            assert witness.look() == witness.expected
    wait_until(lambda: witness.look() == witness.normal, 10, "the server to have let go of all of it")
    assert machine.ask("SET", "workload:late", "x" * 1000) is True
    assert machine.ask("EXISTS", "ballast", "ballast1") == 0


def test_a_node_without_a_limit_is_refused(tmp_path: Path) -> None:
    machine: Any = Machine(tmp_path, ElasticacheRedis())
    with (
        pytest.raises(ClusterError, match=f"{PRIMARY} has no limit of memory"),
        FillMemory().on_host(machine, machine.nodes[PRIMARY]),
    ):
        pass
