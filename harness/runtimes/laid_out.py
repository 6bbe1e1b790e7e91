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
from harness.protocols import Endpoint, Group, Link, Node, Topology


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
