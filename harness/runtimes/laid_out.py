"""What has every cluster, whatever its nodes are: its zones, its clients' paths through Toxiproxy, who keeps it?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness.clock import wait_until
from harness.errors import ClusterError
from harness.layout import TOXIPROXY_API, Plan, link_ports, through_toxiproxy
from harness.links.toxiproxy import ToxiproxyNode
from harness.protocols import Announces, Endpoint, Group, Link, Node, NodeSpec, Topology
from harness.ways import port_of


@dataclass(frozen=True)
class ToxiproxyLink:
    """A client zone's path to an endpoint, through that zone's Toxiproxy."""

    zone: str
    endpoint: Endpoint
    proxy: ToxiproxyNode

    @property
    def name(self) -> str:
        return f"{self.zone} to {self.endpoint.name}"

    @property
    def greeting(self) -> bytes:
        return self.endpoint.greeting

    @contextmanager
    def toxic(self, type_: str, attributes: Mapping[str, float], stream: str = "downstream") -> Iterator[None]:
        name = f"{type_}_{stream}"
        self.proxy.add_toxic(self.endpoint.name, name, type_, attributes, stream)
        try:
            yield
        finally:
            self.proxy.remove_toxic(self.endpoint.name, name)


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
    _versions: dict[str, str] = field(default_factory=dict)
    _keep: Callable[[Path, float | None], None] | None = None

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
        node = self._make(spec)
        for zone in self.zones:
            self._open_way(self._proxy(zone), spec)
        self.nodes = {**self.nodes, spec.name: node}  # another dict: others may be going through this one
        return node

    def remove(self, node: str) -> None:
        if node not in self.nodes:
            raise ClusterError(f"there is no node called {node}")
        gone = self.nodes[node]
        self.nodes = {name: one for name, one in self.nodes.items() if name != node}
        for zone in self.zones if self._has_way(gone.spec) else ():
            self._proxy(zone).delete(node)
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

    def open_links(self, make: bool = True) -> None:
        """Gives every zone's Toxiproxy a proxy for each endpoint; without `make`, finds those that were made."""
        specs = [node.spec for node in self.nodes.values()]
        for zone in self.zones:
            proxy = self._proxy(zone)
            self._versions["toxiproxy"] = wait_until(partial(_version, proxy), 20, f"toxiproxy-{zone}'s API") or ""
            endpoints = self.topology.endpoints(zone)
            for name, endpoint in through_toxiproxy(specs, self.topology, zone).items():
                upstream = endpoints[name]
                if make:
                    proxy.create(name, f"0.0.0.0:{endpoint.port}", f"{upstream.host}:{upstream.port}")
                self._links[zone, name] = ToxiproxyLink(zone, endpoint, proxy)
            for spec in specs if make else ():
                self._open_way(proxy, spec)

    def _open_way(self, proxy: ToxiproxyNode, spec: NodeSpec) -> None:
        """Leads a zone's clients through its Toxiproxy to a database that announces its own address."""
        if self._has_way(spec) and isinstance(self.topology, Announces):
            proxy.create(spec.name, f"0.0.0.0:{port_of(spec.address)}", f"{spec.address}:{self.topology.announced_port}")

    def _has_way(self, spec: NodeSpec) -> bool:
        return spec.role == "database" and isinstance(self.topology, Announces)

    def reset_links(self) -> None:
        """Takes every toxic off, and enables every proxy."""
        for zone in self.zones:
            self._proxy(zone).reset()

    def _proxy(self, zone: str) -> ToxiproxyNode:
        return ToxiproxyNode(*self.published(f"toxiproxy-{zone}", TOXIPROXY_API))


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
