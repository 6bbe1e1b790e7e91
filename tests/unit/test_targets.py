"""Targets and conditions: does each word mean what a reader takes it to mean?"""

from __future__ import annotations

import random
import re

import pytest

from harness import conditions, targets
from harness.errors import TargetError
from harness.protocols import NodeSpec


def spec(name: str, zone: str, role: str) -> NodeSpec:
    return NodeSpec(name=name, zone=zone, server="postgres", role=role, address="", build=None)


ZONES = ("az-a", "az-b", "az-c")
SPECS = [spec(f"{prefix}-{zone}", zone, role) for prefix, role in (("pg", "database"), ("manager", "manager")) for zone in ZONES]
ROLES = {"pg-az-a": "replica", "pg-az-b": "primary", "pg-az-c": "replica"}


def resolved(text: str, roles: dict[str, str] | None = None, seed: int = 0) -> tuple[str, ...]:
    return targets.resolve(targets.parse(text), SPECS, ROLES if roles is None else roles, random.Random(seed)).names


@pytest.mark.parametrize(
    ("text", "sort", "expected"),
    [
        ("writer", "nodes", ("pg-az-b",)),
        ("every replica", "nodes", ("pg-az-a", "pg-az-c")),
        ("node(manager-az-c)", "nodes", ("manager-az-c",)),
        ("database in zone(az-c)", "nodes", ("pg-az-c",)),
        ("manager in zone(az-a)", "nodes", ("manager-az-a",)),
        ("zone(az-c)", "zones", ("az-c",)),
        ("zone of writer", "zones", ("az-b",)),
        ("clients in zone(az-a) to reader", "links", ("az-a to reader",)),
        ("clients outside zone of writer to writer", "links", ("az-a to writer", "az-c to writer")),
        ("clients in zone of writer", "links", ("az-b to writer", "az-b to reader")),
        ("clients to writer", "links", ("az-a to writer", "az-b to writer", "az-c to writer")),
        ("  zone   of  writer ", "zones", ("az-b",)),
    ],
)
def test_a_target_means_what_it_says(text: str, sort: str, expected: tuple[str, ...]) -> None:
    assert targets.parse(text).sort == sort
    assert resolved(text) == expected


def test_clients_are_those_of_every_zone_to_every_endpoint() -> None:
    links = targets.resolve(targets.parse("clients"), SPECS, {}, random.Random(0)).links
    assert links == tuple((zone, endpoint) for zone in ZONES for endpoint in ("writer", "reader"))


@pytest.mark.parametrize(
    ("text", "possible"),
    [
        ("one replica", {("pg-az-a",), ("pg-az-c",)}),
        ("one manager", {("manager-az-a",), ("manager-az-b",), ("manager-az-c",)}),
        ("zone of one replica", {("az-a",), ("az-c",)}),
    ],
)
def test_one_of_many_is_chosen_by_the_seed_alone(text: str, possible: set[tuple[str, ...]]) -> None:
    assert {resolved(text, seed=seed) for seed in range(40)} == possible
    assert all(resolved(text, seed=seed) == resolved(text, seed=seed) for seed in range(5))


@pytest.mark.parametrize("text", ["writer", "zone of writer", "clients in zone of writer"])
def test_a_target_that_matches_nothing_says_what_was_seen(text: str) -> None:
    with pytest.raises(TargetError, match=r"matched no node; seen: .*pg-az-b \(az-b, unknown\)"):
        resolved(text, {"pg-az-a": "replica", "pg-az-b": "unknown"})


def test_two_primaries_are_not_one_writer() -> None:
    with pytest.raises(TargetError, match="'writer' is not one node"):
        resolved("writer", {"pg-az-a": "primary", "pg-az-b": "primary"})


def test_links_to_an_endpoint_that_is_not_offered_match_nothing() -> None:
    with pytest.raises(TargetError, match="matched no link; endpoints: writer"):
        targets.resolve(targets.parse("clients to reader"), SPECS, ROLES, random.Random(0), endpoints=["writer"])


@pytest.mark.parametrize(
    ("text", "suggested"),
    [
        ("writter", "writer"),
        ("zone(az-b", "zone(az-b)"),
        ("zones(eu-1)", "zone(eu-1)"),
        ("zone of the writer", "zone of writer"),
        ("manger in zone(eu-1)", "manager in zone(eu-1)"),
        ("client in zone(x)", "clients in zone(x)"),
    ],
)
def test_an_unknown_target_is_refused_with_the_closest_one(text: str, suggested: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"no target called '{text}'; did you mean '{suggested}'?")):
        targets.parse(text)


SHARDS = [
    NodeSpec(f"redis-{shard}-{zone}", zone, "valkey", "database", "", None, shard=shard)
    for shard, zone in (("1", "az-a"), ("1", "az-b"), ("2", "az-b"), ("2", "az-c"))
]
OF_SHARDS = {"redis-1-az-a": "primary", "redis-1-az-b": "replica", "redis-2-az-b": "replica", "redis-2-az-c": "primary"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("writer of shard(1)", ("redis-1-az-a",)),
        ("one replica of shard(2)", ("redis-2-az-b",)),
        ("every replica of shard(1)", ("redis-1-az-b",)),
        ("every node of shard(2)", ("redis-2-az-b", "redis-2-az-c")),
        ("writer of shard_of(user:42)", ("redis-2-az-c",)),
        ("zone of writer of shard(2)", ("az-c",)),
        ("zone of writer of shard_of(user:42)", ("az-c",)),
    ],
)
def test_a_shard_is_named_or_found_by_a_key(text: str, expected: tuple[str, ...]) -> None:
    def shard_of(key: str) -> str:
        assert key == "user:42"
        return "2"

    assert targets.resolve(targets.parse(text), SHARDS, OF_SHARDS, random.Random(0), shard_of=shard_of).names == expected


@pytest.mark.parametrize(
    ("text", "specs", "why"),
    [
        ("writer", SHARDS, "the topology has 2 shards, each with a writer of its own; write 'writer of shard(1)'"),
        ("zone of writer", SHARDS, "the topology has 2 shards"),
        ("writer of shard(3)", SHARDS, "the topology has no shard called '3'; it has 1, 2"),
        ("writer of shard(1)", SPECS, "the topology has no shards"),
        ("writer of shard_of(x)", SPECS, "the topology has no shards"),
    ],
)
def test_a_shard_that_cannot_be_meant_is_known_before_the_run(text: str, specs: list[NodeSpec], why: str) -> None:
    assert why in str(targets.never_matches(targets.parse(text), specs, ZONES, ("writer", "reader")))


def test_a_topology_that_grows_may_get_the_shard_that_is_meant() -> None:
    assert targets.never_matches(targets.parse("writer of shard(3)"), SHARDS, ZONES, ("writer",), grows=True) is None


def test_a_target_like_no_other_is_refused_with_all_of_them() -> None:
    with pytest.raises(ValueError, match="known: writer, one replica, .*clients in zone"):
        targets.parse("?????")


def test_every_example_parses_to_its_own_words() -> None:
    assert [str(targets.parse(example)) for example in targets.EXAMPLES] == list(targets.EXAMPLES)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("zone(az-d)", "no zone called 'az-d'; did you mean 'az-"),
        ("manager in zone(az-d)", "no zone called 'az-d'"),
        ("clients outside zone(nowhere)", "no zone called 'nowhere'; known: az-a, az-b, az-c"),
        ("node(pg-az-z)", "no node called 'pg-az-z'; did you mean 'pg-az-"),
        ("one proxy", "no node that 'one proxy' could mean"),
    ],
)
def test_a_target_that_can_never_match_is_known_before_the_run(text: str, why: str) -> None:
    assert why in str(targets.never_matches(targets.parse(text), SPECS, ZONES, ("writer", "reader")))


@pytest.mark.parametrize("text", ["writer", "zone of one replica", "clients to reader", "node(pg-az-a)", "one manager"])
def test_a_target_that_may_match_is_let_through(text: str) -> None:
    assert targets.never_matches(targets.parse(text), SPECS, ZONES, ("writer", "reader")) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("new writer is stable", conditions.Condition("new writer is stable")),
        ("writer  is stable", conditions.Condition("writer is stable")),
        ("cluster is healthy", conditions.Condition("cluster is healthy")),
        ("crash-2 is healed", conditions.Condition("is healed", "crash-2")),
        ("first_cut is injected", conditions.Condition("is injected", "first_cut")),
        ("switchover is done", conditions.Condition("is done", "switchover")),
    ],
)
def test_a_condition_means_what_it_says(text: str, expected: conditions.Condition) -> None:
    assert conditions.parse(text) == expected
    assert conditions.parse(str(expected)) == expected
    assert re.match(conditions.PATTERN, str(expected))


def test_an_unknown_condition_is_refused_with_the_closest_one() -> None:
    with pytest.raises(ValueError, match="no condition called 'the writer is stable'; did you mean '.*writer is stable'"):
        conditions.parse("the writer is stable")
    with pytest.raises(ValueError, match="known: new writer is stable, .*<fault> is healed"):
        conditions.parse("soon")
