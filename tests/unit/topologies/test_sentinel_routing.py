"""A zone's router leads writers to the node that Sentinels name, and to no other that calls itself primary."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.clock import SECOND_NS, now_ns, wait_until
from harness.topologies.elasticache_redis import READER, ElasticacheRedis
from tests.unit.topologies.machine import ROUTER, Machine, formed


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with formed(tmp_path_factory.mktemp("machine"), ElasticacheRedis(down_after_s=2)) as one:
        yield one


def serves_at(machine: Machine) -> str:
    """Whom the writer endpoint leads to, by the name that the server has been given."""
    return str(machine.ask("GET", "workload:name"))


def test_a_router_that_has_just_started_leads_no_writer_to_a_server_that_it_has_not_looked_at(machine: Machine) -> None:
    machine.kill(ROUTER)
    machine.nodes[ROUTER].start()
    led_to: list[str] = []

    def led_often() -> bool:
        led_to.extend(said[0] for said in [machine.ask("ROLE")] if isinstance(said, list))
        return len(led_to) >= 50

    wait_until(led_often, 20, "writers to be led somewhere", every_s=0.01)
    assert set(led_to) == {"master"}


def test_writers_follow_the_promotion_and_never_a_primary_that_was_deposed(machine: Machine) -> None:
    assert machine.ask("ROLE", at=READER)[0] == "slave"
    machine.kill("cache-az-a")
    began = now_ns()
    wait_until(machine.writes, 20, "another primary")
    print(f"served again after {(now_ns() - began) / SECOND_NS:.2f} s, at down_after 2 s")
    machine.ask("SET", "workload:name", "the new one")
    # As it went: with its own file, in which it is primary. Until a Sentinel tells it otherwise, it calls itself so.
    machine.nodes["cache-az-a"].start()
    until = now_ns() + 4 * SECOND_NS
    answers = set()
    while now_ns() < until:
        answers.add(serves_at(machine))
    assert "the new one" in answers
    assert "None" not in answers, "so the old one answers, which never heard of that name"


def test_the_loss_of_the_zones_own_sentinel_and_then_of_all_leaves_writers_served(machine: Machine) -> None:
    machine.kill("sentinel-az-a")
    wait_until(machine.writes, 10, "another zone's Sentinel to be asked")
    machine.kill("sentinel-az-b", "sentinel-az-c")
    wait_until(machine.writes, 10, "the node itself to be believed")
    assert serves_at(machine) == "the new one"


def test_five_replicas_are_led_to_as_well(tmp_path_factory: pytest.TempPathFactory) -> None:
    with formed(tmp_path_factory.mktemp("six"), ElasticacheRedis(replicas=5), network=2) as machine:
        assert machine.writes()
        led_to = {machine.ask("INFO", "server", at=READER)["run_id"] for _ in range(10)}
        assert len(led_to) == 5
