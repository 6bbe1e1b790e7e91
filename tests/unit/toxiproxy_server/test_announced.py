"""A fault on a link is on the way to every node of its shard, once, and on that of a node that comes meanwhile."""

from __future__ import annotations

import pytest

from harness.links.announced import Announced, Toxic
from harness.links.toxiproxy import ToxiproxyNode
from harness.protocols import NodeSpec
from harness.ways import port_of
from tests.conformance.toxiproxy.wire import Api

SLOW = Toxic("latency", (("latency", 40), ("jitter", 0)), "downstream")


def spec(name: str, shard: str, last: int) -> NodeSpec:
    return NodeSpec(name, "az-a", "valkey", "database", f"198.18.1.{last}", None, shard=shard)


@pytest.fixture
def announced(api: Api) -> Announced:
    found = Announced(ToxiproxyNode(api.host, api.port), "198.18.1.200", 6379, frozenset("12"))
    for one in (spec("a", "1", 10), spec("b", "1", 11), spec("c", "2", 12)):
        found.open(one)
    return found


def slowed(announced: Announced) -> list[str]:
    return [name for name in announced._nodes if SLOW.name in announced.proxy.toxics(name)]


def test_the_ways_are_those_of_the_shard_s_nodes(announced: Announced) -> None:
    [a, b] = announced.endpoints("1", b"PING\r\n")
    assert (a.name, a.host, a.port, b.port) == ("a", "198.18.1.200", port_of("198.18.1.10"), port_of("198.18.1.11"))


def test_a_toxic_is_on_every_way_of_its_shard_until_the_last_link_is_healed(announced: Announced) -> None:
    with announced.toxic("1", SLOW):
        with announced.toxic("1", SLOW):
            assert slowed(announced) == ["a", "b"]
        assert slowed(announced) == ["a", "b"], "the other link is slow still"
    assert slowed(announced) == []


def test_nodes_that_come_and_go_meanwhile_leave_nothing_behind(announced: Announced) -> None:
    with announced.toxic("2", SLOW):
        announced.open(spec("d", "2", 13))
        announced.open(spec("e", "1", 14))
        announced.open(spec("f", "4", 15))
        assert slowed(announced) == ["c", "d", "f"], "a new shard takes over data of all"
        announced.close("c")
    assert slowed(announced) == []


def test_what_somebody_else_took_off_is_not_taken_off_again(announced: Announced) -> None:
    with announced.toxic("1", SLOW):
        announced.proxy.reset()
        announced.reset()
    with announced.toxic("1", SLOW):
        assert slowed(announced) == ["a", "b"]
