"""Was the fault really there, seen from somewhere else than where it was injected?

Witnesses look from client nodes, through `look.py`, at a server's first byte: no login,
no driver, a few milliseconds. They know nothing of how a fault is made.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from threading import BoundedSemaphore

from harness.errors import ClusterError
from harness.protocols import Cluster, Endpoint, Group, Link, Node, Witness

LOOK = ("harness-look",)  # every client node has it: look.py
ECHOES = ("harness-echoes",)  # and echoes.py
WAGON_BYTES = 1400
_FEW_AT_ONCE = BoundedSemaphore(2)
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
    """Whether a link's first answers take at least `at_least_ms`.

    The quickest of some tells: a busy machine makes any of them later than the link does, and none earlier.
    """

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
        """Of several ways that make up a link, what is seen of all that lead anywhere."""
        client = self.cluster.client(self.link.zone)
        # One after the other: all links are looked at at once, and the looking must not be what delays them.
        with _FEW_AT_ONCE:
            answers = [self._seen(client, way) for way in self.link.ways]
        seen = {one for one in answers if one != "silent"} or {"silent"}
        return seen.pop() if len(seen) == 1 else f"not the same on all ways: {', '.join(sorted(seen))}"

    def _seen(self, client: Node, way: Endpoint) -> str:
        ran = client.run(*LOOK, "delay", way.host, str(way.port), self.link.greeting.hex(), "5")
        measured = [float(word) for word in ran.out.split()]
        if not measured:
            return "silent"
        quickest = min(measured)
        if quickest >= self.at_least_ms:
            return self.expected
        return self.normal if quickest < self.at_least_ms / 2 else f"{quickest:.0f} ms"


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
    return [Answer(cluster, client, node, expected) for client, node in askers(cluster, a, b)]


def within(cluster: Cluster, group: Group) -> Sequence[Witness]:
    """From the client node inside a cut-off group, its own server: it must go on answering."""
    return [
        Answer(cluster, cluster.client(zone), node, expected="answers")
        for zone in cluster.zones
        if group.holds(cluster.client(zone).spec.address)
        for node in members(cluster, group)[:1]
    ]


# --- a network that is slow, lossy or narrow -----------------------------------------------------------------


def _echoes(client: Node, node: Node, times: int, size: int, every_s: float) -> tuple[int, list[float], float]:
    """How many questions a client node's kernel sent to a node's, the round trips of those answered, and first to last, in ms."""
    ran = client.run(*ECHOES, node.spec.address, str(times), str(size), f"{every_s:g}", str(WITHIN_S))
    found = json.loads(ran.out)
    return found["sent"], found["round_trips_ms"], found["train_ms"]


@dataclass(frozen=True)
class EchoesDelayed:
    """Whether packets from a client node to another node and back take some `round_trip_ms` longer.

    It is told from a prompt network by half of that: what a busy machine and jitter do to the middle of some is less.
    """

    client: Node
    node: Node
    round_trip_ms: float
    normal: str = "prompt"

    @property
    def expected(self) -> str:
        return f"at least {self.round_trip_ms / 2:g} ms"

    @property
    def vantage(self) -> str:
        return f"{self.client.spec.name} to {self.node.spec.name} and back"

    def look(self) -> str:
        sent, round_trips, _ = _echoes(self.client, self.node, times=9, size=84, every_s=0.02)
        if not round_trips:
            return "silent" if sent else "cannot ask"
        return self.expected if statistics.median(round_trips) >= self.round_trip_ms / 2 else self.normal


@dataclass(frozen=True)
class EchoesLost:
    """Whether about `share` of the packets from a client node to another node and back are lost."""

    client: Node
    node: Node
    share: float
    normal: str = "none lost"

    @property
    def expected(self) -> str:
        return f"at least {self.share / 3:.2g} of them lost"

    @property
    def vantage(self) -> str:
        return f"{self.client.spec.name} to {self.node.spec.name} and back"

    def look(self) -> str:
        # So many that some 20 are lost: fewer than a third of them would be by chance once in ten thousand looks.
        times = min(2000, max(20, math.ceil(20 / self.share)))
        sent, round_trips, _ = _echoes(self.client, self.node, times, size=84, every_s=0.4 / times)
        if not sent:
            return "cannot ask"
        lost = 1 - len(round_trips) / sent
        if lost >= self.share / 3:
            return self.expected
        return f"{lost:.2g} of them lost" if lost else self.normal


@dataclass(frozen=True)
class EchoesNarrowed:
    """Whether a train of packets comes back drawn out to `rate` bytes per second, or less where others share the way."""

    client: Node
    node: Node
    rate: float
    normal: str = "faster"

    @property
    def expected(self) -> str:
        return f"at most {self.rate / 1e6:g} MB/s"

    @property
    def vantage(self) -> str:
        return f"a train of packets from {self.client.spec.name} to {self.node.spec.name} and back"

    def look(self) -> str:
        # What lasts a quarter of a second, in a queue that holds a tenth: but never more than goes out at once.
        wagons = min(60, max(4, int(self.rate * 0.09 / WAGON_BYTES)))
        sent, round_trips, train_ms = _echoes(self.client, self.node, wagons, WAGON_BYTES, every_s=0)
        if len(round_trips) < 2:
            return "silent" if sent else "cannot ask"
        # Half as much again, for what the engine's clocks and a queue that has just been emptied do to a short train.
        seen = (len(round_trips) - 1) * WAGON_BYTES / (train_ms / 1000)
        return self.expected if seen <= self.rate * 1.5 else self.normal


@dataclass(frozen=True)
class PacketsShaped:
    """Whether packets of one direction are carried, or go as they always do: `carried` or `untouched`."""

    cluster: Cluster
    source: Group
    target: Group
    expected: str
    normal: str = "untouched"

    @property
    def vantage(self) -> str:
        return f"carrier from {self.source.name} to {self.target.name}"

    def look(self) -> str:
        try:
            carried = self.cluster.network.carried(self.source, self.target)
        except ClusterError as problem:
            return str(problem)
        if carried is None:
            return "untouched"
        return "carried" if carried.taken else "no packet"


def askers(cluster: Cluster, a: Group, b: Group) -> Sequence[tuple[Node, Node]]:
    """From every client node on one side, the first server of the other side."""
    return [
        (cluster.client(zone), node)
        for near, far in ((a, b), (b, a))
        for zone in cluster.zones
        if near.holds(cluster.client(zone).spec.address)
        for node in members(cluster, far)[:1]
    ]
