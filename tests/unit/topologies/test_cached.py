"""Two topologies in one: nodes and endpoints of both, each asked in its own way, and only the origin keeps what must be there."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Network
from typing import Any

import pytest

from harness import scenario, targets
from harness.clients import probes_of
from harness.endpoints import role_of
from harness.errors import UsageError
from harness.layout import Plan, keeps, part_of
from harness.living import put_back
from harness.protocols import NodeSpec, Topology
from harness.topologies.cached import Cached


def laid_out(**options: Any) -> tuple[Cached, list[NodeSpec]]:
    topology = Cached(**options)
    return topology, list(topology.nodes(Plan(IPv4Network("198.18.0.0/20"), topology.zones).addresses()))


def test_it_has_the_nodes_of_both_and_the_zones_of_the_larger() -> None:
    topology, specs = laid_out(cache={"use": "elasticache-memcached", "node_count": 2}, origin="postgresql")
    assert [spec.name for spec in specs] == ["mc-1", "mc-2", "pg-az-a"]
    assert topology.zones == ("az-a", "az-b", "az-c")
    assert len({spec.address for spec in specs}) == 3


def test_endpoints_of_both_have_names_of_their_own() -> None:
    topology, _ = laid_out(cache={"use": "elasticache-memcached", "node_count": 2}, origin="postgresql")
    assert topology.endpoint_names == ("writer", "reader", "cache:mc-1", "cache:mc-2")
    assert {name: one.port for name, one in topology.endpoints("az-b").items()} == {
        "writer": 5432, "reader": 5432, "cache:mc-1": 11211, "cache:mc-2": 11211,
    }  # fmt: skip
    assert laid_out(cache="elasticache-redis", origin="postgresql")[0].endpoint_names == (
        "writer", "reader", "cache", "cache-reader",
    )  # fmt: skip


@pytest.mark.parametrize("cache", ["elasticache-memcached", "elasticache-redis"])
def test_every_endpoint_is_probed(cache: str) -> None:
    topology, _ = laid_out(cache=cache, origin="rds-multi-az")
    assert {role_of(name) for name in topology.endpoint_names} <= set(probes_of(topology))


def test_each_part_is_logged_in_to_in_its_own_way() -> None:
    topology, _ = laid_out(cache="elasticache-memcached", origin="postgresql")
    assert part_of(topology, "cache:mc-2").protocol == part_of(topology, "mc-2").protocol == "memcached"
    assert part_of(topology, "writer").protocol == part_of(topology, "pg-az-a").protocol == "postgresql"
    login = topology.login_together(topology.endpoints("az-a"))
    assert [server[0] for server in login["cache"]["servers"]] == ["mc-1", "mc-2", "mc-3"]
    assert login["origin"]["port"] == 5432


def test_only_the_origin_keeps_what_must_be_there() -> None:
    topology, specs = laid_out(cache="elasticache-redis", origin="rds-multi-az")
    kept = [spec.name for spec in specs if spec.role == "database" and keeps(topology, spec.name)]
    assert kept == ["pg-az-a", "pg-az-b", "pg-az-c"]


def test_the_writer_is_the_origins_primary() -> None:
    _, specs = laid_out(cache="elasticache-redis", origin="rds-multi-az")
    roles = {"pg-az-b": "primary", "pg-az-a": "replica", "cache-az-a": "primary"}
    found = targets.resolve(targets.parse("writer"), specs, roles, rng=Any)  # type: ignore[arg-type]  # nothing is drawn
    assert found.nodes == ("pg-az-b",)


def test_a_copy_of_it_has_parts_of_its_own() -> None:
    topology, _ = laid_out(cache="elasticache-redis", origin="postgresql")
    copy = dataclasses.replace(topology)
    assert copy.parts["origin"] is not topology.parts["origin"]


def test_passwords_of_both_are_put_back() -> None:
    topology, _ = laid_out(cache="elasticache-redis", origin="postgresql")
    other: Topology = dataclasses.replace(topology)
    assert other.secrets != topology.secrets
    put_back(other, topology.secrets)
    assert other.secrets == topology.secrets


def given(topology: Any) -> scenario.Scenario:
    return scenario.of({"title": "t", "topology": topology}, name="t")


def test_a_scenario_writes_parts_as_topologies() -> None:
    made = given({"use": "cached", "cache": {"use": "elasticache-memcached", "dead_for": "5s"}, "origin": "postgresql"})
    told = scenario.as_run(made)["topology"]["options"]
    assert told["cache"] == {"use": "elasticache-memcached", "node_count": 3, "node_type": "", "dead_for_s": 5}
    assert told["origin"] == {"use": "postgresql"}
    assert Cached(**told).cache.topology == made.topology.options.cache.topology


@pytest.mark.parametrize(
    ("topology", "said"),
    [
        ({"use": "cached", "cache": "elasticache-memcashed"}, "topology.cache: no topology called 'elasticache-memcashed'"),
        (
            {"use": "cached", "origin": "elasticache-redis"},
            "elasticache-redis is no origin: it speaks redis, not postgresql or dynamodb",
        ),
        ({"use": "cached", "cache": {"use": "elasticache-memcached", "node_count": 41}}, "41 nodes; a Memcached cluster has 1"),
        ({"use": "cached", "cache": "cached"}, "cached has others inside itself, and cannot be inside another"),
        ({"use": "cached", "cache": "postgresql"}, "postgresql is no cache"),
    ],
)
def test_what_cannot_be_is_one_clear_line(topology: Any, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        given(topology)
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
