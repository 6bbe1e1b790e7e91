"""Was the fault really there, seen from somewhere else than where it was injected?

Witnesses look from client nodes, through `look.py`, at a server's first byte: no login,
no driver, a few milliseconds. They know nothing of how a fault is made.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from harness.protocols import Cluster, Group, Link, Node, Witness

LOOK = ("python3", "-S", "-E", "/opt/harness/src/harness/look.py")
WITHIN_S = 0.6  # what has not answered by then counts as silent; where an answer is expected, it is asked again


def _greet(client: Node, node: Node) -> str:
    greeting = node.spec.greeting
    assert greeting is not None, f"{node.spec.name} has no greeting to be witnessed by"
    ran = client.run(*LOOK, "greet", node.spec.address, str(greeting.port), greeting.send.hex(), str(WITHIN_S))
    return ran.out.strip() or "silent"


@dataclass(frozen=True)
class Answer:
    """Whether a node's server gives its first byte to a client node."""

    cluster: Cluster
    client: Node
    node: Node
    expected: str
    normal: str = "answers"

    @property
    def vantage(self) -> str:
        return f"{self.client.spec.name} asks {self.node.spec.name}"

    def look(self) -> str:
        return _greet(self.client, self.node)


@dataclass(frozen=True)
class Delayed:
    """Whether a link's first answers take at least `at_least_ms` longer than a millisecond or so."""

    cluster: Cluster
    link: Link
    at_least_ms: float
    normal: str = "prompt"

    @property
    def expected(self) -> str:
        return f"at least {self.at_least_ms:g} ms"

    @property
    def vantage(self) -> str:
        return f"{self.cluster.client(self.link.zone).spec.name} asks {self.link.name}"

    def look(self) -> str:
        client, endpoint = self.cluster.client(self.link.zone), self.link.endpoint
        ran = client.run(*LOOK, "delay", endpoint.host, str(endpoint.port), self.link.greeting.hex(), "5")
        measured = [float(word) for word in ran.out.split()]
        if not measured:
            return "silent"
        middle = statistics.median(measured)
        if middle >= self.at_least_ms:
            return self.expected
        return self.normal if middle < self.at_least_ms / 2 else f"{middle:.0f} ms"


@dataclass(frozen=True)
class ServerRuns:
    """Whether a node's server is there, looked at in the node itself: `runs` or `gone`."""

    node: Node
    expected: str
    normal: str = "runs"

    @property
    def vantage(self) -> str:
        return f"the processes of {self.node.spec.name}"

    def look(self) -> str:
        return "runs" if self.node.running() else "gone"


@dataclass(frozen=True)
class PacketsDropped:
    """Whether a cut between two groups is there and drops packets; without one, that no rule was left behind."""

    cluster: Cluster
    a: Group
    b: Group
    normal: str = "no packet dropped"
    expected: str = "packets dropped"

    @property
    def vantage(self) -> str:
        return f"packet counter of {self.a.name}"

    def look(self) -> str:
        counted = [self.cluster.network.counted(*way) for way in ((self.a, self.b), (self.b, self.a))]
        return self.expected if any(found and found.dropped for found in counted) else self.normal


@dataclass(frozen=True)
class PacketsOneWay:
    """What a cut does to the packets of one direction: `dropped` or `let through`, once there were any."""

    cluster: Cluster
    source: Group
    target: Group
    expected: str
    normal: str = "no cut"

    @property
    def vantage(self) -> str:
        return f"packet counter from {self.source.name} to {self.target.name}"

    def look(self) -> str:
        counted = self.cluster.network.counted(self.source, self.target)
        if counted is None:
            return "no cut"
        return "dropped" if counted.dropped else "let through" if counted.passed else "no packet"


def from_every_zone(cluster: Cluster, node: Node, expected: str) -> Sequence[Witness]:
    """From every zone's client node, one server."""
    return [Answer(cluster, cluster.client(zone), node, expected) for zone in cluster.zones]


def members(cluster: Cluster, group: Group) -> list[Node]:
    """The nodes of a group that have a greeting, in the order of their names."""
    found = [node for node in cluster.nodes.values() if node.spec.greeting and group.holds(node.spec.address)]
    return sorted(found, key=lambda node: node.spec.name)


def across(cluster: Cluster, a: Group, b: Group, expected: str) -> Sequence[Witness]:
    """From every client node on one side, the first server of the other side.

    A question needs both ways: with one of them cut, both sides hear nothing.
    """
    return [
        Answer(cluster, cluster.client(zone), node, expected)
        for near, far in ((a, b), (b, a))
        for zone in cluster.zones
        if near.holds(cluster.client(zone).spec.address)
        for node in members(cluster, far)[:1]
    ]


def within(cluster: Cluster, group: Group) -> Sequence[Witness]:
    """From the client node inside a cut-off group, its own server: it must go on answering."""
    return [
        Answer(cluster, cluster.client(zone), node, expected="answers")
        for zone in cluster.zones
        if group.holds(cluster.client(zone).spec.address)
        for node in members(cluster, group)[:1]
    ]
