"""What do clients notice when a host is gone at once, and nobody is left to tell them?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import ClassVar

from harness.protocols import Cluster, Group, Node, Witness
from harness.witnesses import PacketsDropped, ServerRuns, from_every_zone


@dataclass(frozen=True)
class LoseHost:
    """Drops every packet from and to the node, then kills its processes: no client hears that its connection is gone.

    Healing is a host's boot: first its network is back, whose kernel knows no old connection, then its server starts.
    """

    changes_roles: ClassVar[bool] = True

    @contextmanager
    def on_host(self, cluster: Cluster, node: Node) -> Iterator[None]:
        with ExitStack() as boot, cluster.network.drop(_host(node), _everybody(cluster)):
            boot.callback(node.start)
            node.kill()
            yield

    def witnesses_on_host(self, cluster: Cluster, node: Node) -> Sequence[Witness]:
        dropped = PacketsDropped(cluster, _host(node), _everybody(cluster))
        return [*from_every_zone(cluster, node, expected="silent"), dropped, ServerRuns(node, expected="gone")]


def _host(node: Node) -> Group:
    return Group(node.spec.name, (node.spec.address,))


def _everybody(cluster: Cluster) -> Group:
    zones = [cluster.zone_group(zone) for zone in cluster.zones]
    return Group("everybody", tuple(range_ for zone in zones for range_ in zone.ranges))
