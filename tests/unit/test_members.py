"""Which nodes a living cluster has is known to whoever attaches to it, also after somebody was ended while changing them."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

from harness.layout import Plan
from harness.runtimes.laid_out import Members
from harness.topologies.elasticache_memcached import ElasticacheMemcached


def test_what_came_is_described_again_if_it_is_there_and_what_went_is_left_out(tmp_path: Path) -> None:
    topology, plan = ElasticacheMemcached(), Plan(IPv4Network("198.18.0.0/20"), ElasticacheMemcached.zones)
    laid_out = topology.nodes(plan.addresses())
    members = Members(tmp_path / "members.json")
    assert [spec.name for spec in members.now(laid_out, {"mc-1", "mc-2", "mc-3"}, topology, plan)] == ["mc-1", "mc-2", "mc-3"]
    four, five = (topology._node(number, topology.zones, plan.take, "cache.t.small") for number in (4, 5))
    members.came(four)
    members.came(five)
    members.went("mc-2")

    again, later = ElasticacheMemcached(), Plan(IPv4Network("198.18.0.0/20"), ElasticacheMemcached.zones)
    there = {"mc-1", "mc-3", "mc-4"}  # whoever added mc-5 was ended before it was made
    found = Members(tmp_path / "members.json").now(again.nodes(later.addresses()), there, again, later)
    assert [spec.name for spec in found] == ["mc-1", "mc-3", "mc-4"]
    assert (found[2].address, found[2].limits, found[2].zone) == (four.address, four.limits, four.zone)
    taken = {spec.address for spec in found} | {five.address}
    assert later.take(four.zone) not in taken
    assert later.take(five.zone) not in taken


def test_a_node_that_came_and_went_leaves_nothing(tmp_path: Path) -> None:
    topology, plan = ElasticacheMemcached(), Plan(IPv4Network("198.18.0.0/20"), ElasticacheMemcached.zones)
    laid_out = topology.nodes(plan.addresses())
    members = Members(tmp_path / "members.json")
    members.came(topology._node(4, topology.zones, plan.take, ""))
    members.went("mc-4")
    assert list(members.now(laid_out, {spec.name for spec in laid_out}, topology, plan)) == list(laid_out)
