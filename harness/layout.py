"""Which nodes does every zone get, whatever the topology: where its clients run, and their Toxiproxy?

Each zone's range is a /24 out of the cluster's /20. The gateway lies in the first /24, outside
every zone, so that a cut never takes the way by which programs on the host come in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.protocols import AddressPlan, Command, Composed, Endpoint, Greeting, Group, NodeSpec, Paths, Topology

TOXIPROXY_API = 8474
FIRST_LINK_PORT = 15_000
LOCUST_UI = 8089  # as Locust has it


@dataclass
class Plan:
    """The addresses of one cluster, taken one after the other."""

    subnet: ipaddress.IPv4Network  # a /20
    zones: Sequence[str]
    _taken: dict[str, int] = field(default_factory=dict)

    def zone_range(self, zone: str) -> ipaddress.IPv4Network:
        return list(self.subnet.subnets(new_prefix=24))[1 + list(self.zones).index(zone)]

    def group(self, zone: str) -> Group:
        return Group(f"zone({zone})", (str(self.zone_range(zone)),))

    def take(self, zone: str) -> str:
        self._taken[zone] = self._taken.get(zone, 9) + 1
        return str(self.zone_range(zone)[self._taken[zone]])

    def reserve(self, zone: str, address: str) -> None:
        """Takes an address that is in use already, and all before it."""
        number = int(ipaddress.IPv4Address(address)) - int(self.zone_range(zone)[0])
        self._taken[zone] = max(self._taken.get(zone, 9), number)

    @property
    def gateway(self) -> str:
        return str(self.subnet[1])

    def addresses(self) -> AddressPlan:
        return AddressPlan(tuple(self.zones), self.take)


def part_of(topology: Topology, name: str) -> Topology:
    """Who knows how to log in to an endpoint, or a node: the topology itself, or the part of it that it belongs to."""
    return topology.part_of(name) if isinstance(topology, Composed) else topology


def keeps(topology: Topology, node: str) -> bool:
    """Whether what a database node holds must be there in the end."""
    return topology.keeps(node) if isinstance(topology, Composed) else True


def link_ports(topology: Topology) -> Mapping[str, int]:
    """The port of each endpoint at every zone's Toxiproxy."""
    return {name: FIRST_LINK_PORT + number for number, name in enumerate(topology.endpoint_names)}


def locust_ui_ports(workloads: int) -> range:
    """The ports of Locust's web UIs in every client node, one for each workload."""
    return range(LOCUST_UI, LOCUST_UI + workloads)


def client_nodes(plan: Plan, topology: Topology, published: Sequence[int] = ()) -> list[NodeSpec]:
    """A client node, of which programs on the host reach the `published` ports, and a Toxiproxy for each zone."""
    ports = (TOXIPROXY_API, *link_ports(topology).values())

    def toxiproxy(paths: Paths) -> Command:  # noqa: ARG001 (every node is built so)
        return Command(("-host", "0.0.0.0", "-port", str(TOXIPROXY_API)))

    specs = []
    for zone in plan.zones:
        specs.append(NodeSpec(f"client-{zone}", zone, "client", "client", plan.take(zone), None, published=tuple(published)))
        specs.append(
            NodeSpec(
                f"toxiproxy-{zone}", zone, "toxiproxy", "proxy", plan.take(zone), toxiproxy,
                greeting=Greeting(TOXIPROXY_API, b"GET /version HTTP/1.0\r\n\r\n"), published=ports,
            )
        )  # fmt: skip
    return specs


def through_toxiproxy(specs: Sequence[NodeSpec], topology: Topology, zone: str) -> Mapping[str, Endpoint]:
    """The zone's endpoints as its clients reach them through their Toxiproxy."""
    proxy = next(spec for spec in specs if spec.server == "toxiproxy" and spec.zone == zone)
    return {
        name: Endpoint(name, proxy.address, port, topology.endpoints(zone)[name].greeting)
        for name, port in link_ports(topology).items()
    }
