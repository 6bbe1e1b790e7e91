"""What has every cluster, whatever its nodes are: its zones, its clients' paths through Toxiproxy, who keeps it?"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from harness.clock import wait_until
from harness.endpoints import shard_of
from harness.errors import ClusterError
from harness.layout import TOXIPROXY_API, Plan, link_ports, through_toxiproxy
from harness.links.announced import Announced, Toxic
from harness.links.toxiproxy import ToxiproxyNode
from harness.memory import free
from harness.protocols import Announces, Cluster, ComesAndGoes, Endpoint, Group, Link, Node, NodeSpec, Topology

MEMBERS = "members.json"  # beside cluster.json: which nodes came and which went since a living cluster was brought up


@dataclass(frozen=True)
class ToxiproxyLink:
    """A client zone's path to an endpoint, through that zone's Toxiproxy."""

    zone: str
    endpoint: Endpoint
    proxy: ToxiproxyNode
    announced: Announced | None = None

    @property
    def name(self) -> str:
        return f"{self.zone} to {self.endpoint.name}"

    @property
    def greeting(self) -> bytes:
        return self.endpoint.greeting

    @property
    def ways(self) -> Sequence[Endpoint]:
        own = self.announced.endpoints(shard_of(self.endpoint.name), self.greeting) if self.announced else ()
        return own or [self.endpoint]

    @contextmanager
    def toxic(self, type_: str, attributes: Mapping[str, float], stream: str = "downstream") -> Iterator[None]:
        toxic = Toxic(type_, tuple(attributes.items()), stream)
        self.proxy.add_toxic(self.endpoint.name, toxic.name, type_, attributes, stream)
        try:
            with self.announced.toxic(shard_of(self.endpoint.name), toxic) if self.announced else nullcontext():
                yield
        finally:
            self.proxy.remove_toxic(self.endpoint.name, toxic.name)


@dataclass
class LaidOut(ABC):
    """A topology that was laid out; `owner` is the supervisor that removes it. A runtime adds what depends on it."""

    run_id: str
    folder: Path
    plan: Plan
    topology: Topology
    owner: str
    nodes: dict[str, Node] = field(default_factory=dict)
    _links: dict[tuple[str, str], Link] = field(default_factory=dict)
    _announced: dict[str, Announced] = field(default_factory=dict)  # by zone, where databases announce their own addresses
    _versions: dict[str, str] = field(default_factory=dict)
    _keep: Callable[[Path, float | None], None] | None = None
    _members: Members | None = None  # of a cluster that lives on

    @abstractmethod
    def published(self, node: str, port: int) -> tuple[str, int]:
        """Where programs on the host reach a published port of a node: (host, port)."""

    @abstractmethod
    def _make(self, spec: NodeSpec) -> Node:
        """Lays out a node, and starts no server."""

    @abstractmethod
    def _unmake(self, node: Node) -> None:
        """Takes a node away, with all that it holds."""

    def address(self, zone: str) -> str:
        return self.plan.take(zone)

    def add(self, spec: NodeSpec) -> Node:
        if spec.name in self.nodes:
            raise ClusterError(f"there is a node called {spec.name} already")
        if self._members is not None:
            self._members.came(spec)  # first: who attaches after an end in the middle leaves out what is not there
        node = self._make(spec)
        for announced in self._announced.values() if spec.role == "database" else ():
            announced.open(spec)
        self.nodes = {**self.nodes, spec.name: node}  # another dict: others may be going through this one
        return node

    def remove(self, node: str) -> None:
        if node not in self.nodes:
            raise ClusterError(f"there is no node called {node}")
        gone = self.nodes[node]
        self.nodes = {name: one for name, one in self.nodes.items() if name != node}
        for announced in self._announced.values() if gone.spec.role == "database" else ():
            announced.close(node)
        if self._members is not None:
            self._members.went(node)  # first: it is on its way out
        self._unmake(gone)

    @property
    def supervisor(self) -> str:
        return self.owner.rpartition("/")[2]

    @property
    def zones(self) -> Sequence[str]:
        return self.plan.zones

    def zone_group(self, zone: str) -> Group:
        return self.plan.group(zone)

    def client(self, zone: str) -> Node:
        return self.nodes[f"client-{zone}"]

    def link(self, zone: str, endpoint: str) -> Link:
        return self._links[zone, endpoint]

    def versions(self) -> Mapping[str, str]:
        return self._versions

    def entrance(self, zone: str, endpoint: str) -> tuple[str, int]:
        return self.published(f"toxiproxy-{zone}", link_ports(self.topology)[endpoint])

    def keep(self, state: Path, for_s: float | None) -> None:
        assert self._keep is not None, "who attached to a cluster does not own it"
        self._keep(state, for_s)

    def attached(self, laid_out: Sequence[NodeSpec], there: Container[str]) -> Sequence[NodeSpec]:
        """The nodes that there should be of a cluster that lives on, which was laid out with others; notes from now on which.

        Of those that came later, only the ones that are `there`: somebody may have been ended while adding one.
        """
        self._members = Members(self.folder / MEMBERS)
        return self._members.now(laid_out, there, self.topology, self.plan)

    def open_links(self, make: bool = True) -> None:
        """Gives every zone's Toxiproxy a proxy for each endpoint; without `make`, finds those that were made, and leads them anew

        where an endpoint has another address by now.
        """
        specs = [node.spec for node in self.nodes.values()]
        for zone in self.zones:
            proxy = self._proxy(zone)
            self._versions["toxiproxy"] = wait_until(partial(_version, proxy), 20, f"toxiproxy-{zone}'s API") or ""
            endpoints = self.topology.endpoints(zone)
            self._announce(zone, proxy, specs, make)
            for name, endpoint in through_toxiproxy(specs, self.topology, zone).items():
                upstream = endpoints[name]
                there = None if make else proxy.upstream(name)
                if there != f"{upstream.host}:{upstream.port}":
                    if there is not None:  # it leads to a node that has gone since
                        proxy.delete(name)
                    proxy.create(name, f"0.0.0.0:{endpoint.port}", f"{upstream.host}:{upstream.port}")
                self._links[zone, name] = ToxiproxyLink(zone, endpoint, proxy, self._announced.get(zone))

    def _announce(self, zone: str, proxy: ToxiproxyNode, specs: Sequence[NodeSpec], make: bool) -> None:
        """Leads a zone's clients through its Toxiproxy to every database that announces its own address."""
        if not isinstance(self.topology, Announces):
            return
        shards = frozenset(map(shard_of, self.topology.endpoint_names))
        address = self.nodes[f"toxiproxy-{zone}"].spec.address
        announced = self._announced[zone] = Announced(proxy, address, self.topology.announced_port, shards)
        for spec in specs:
            if spec.role == "database":
                announced.open(spec, make=make)

    def reset(self) -> None:
        """Takes every toxic off, enables every proxy, and gives back memory that was filled."""
        free(cast("Cluster", self))  # as which a runtime completes it
        for zone in self.zones:
            self._proxy(zone).reset()
        for announced in self._announced.values():
            announced.reset()

    def _proxy(self, zone: str) -> ToxiproxyNode:
        return ToxiproxyNode(*self.published(f"toxiproxy-{zone}", TOXIPROXY_API))


@dataclass
class Members:
    """The nodes of a living cluster that it was not laid out with, and those of its first ones that are gone, in a file."""

    file: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)  # two changes may go on at once

    def came(self, spec: NodeSpec) -> None:
        with self._lock:
            told = self._told()
            told["came"][spec.name] = {"zone": spec.zone, "address": spec.address, "made": dict(spec.made)}
            self._write(told)

    def went(self, name: str) -> None:
        with self._lock:
            told = self._told()
            told["came"].pop(name, None)
            told["went"] = sorted({*told["went"], name})
            self._write(told)

    def now(self, laid_out: Sequence[NodeSpec], there: Container[str], topology: Topology, plan: Plan) -> Sequence[NodeSpec]:
        """The nodes that are there by now, of which the topology is told."""
        told = self._told()
        specs = [spec for spec in laid_out if spec.name not in told["went"]]
        if not isinstance(topology, ComesAndGoes):
            return specs
        for name in told["went"]:
            topology.went(name)
        for name, one in told["came"].items():
            plan.reserve(one["zone"], one["address"])
            if name in there:
                specs.append(topology.came(name, **one))
        return specs

    def _told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.file.read_text("utf-8")) if self.file.exists() else {"came": {}, "went": []}
        return told

    def _write(self, told: Mapping[str, Any]) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps(told, indent=2), encoding="utf-8")
        fresh.rename(self.file)


def ended_within(node: Node, grace_s: float) -> bool:
    """Whether a node's server, which was asked to end, has done so; after `grace_s` seconds it is killed."""
    try:
        wait_until(lambda: not node.running(), grace_s, f"{node.spec.name}'s server to end")
    except ClusterError:
        node.kill()
        return False
    return True


def _version(proxy: ToxiproxyNode) -> str | None:
    try:
        return proxy.version()
    except ClusterError:
        return None
