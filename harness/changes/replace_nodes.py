"""What does it cost to scale a cache up, where that means a new cluster, which is empty?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from harness.clock import SECOND_NS, now_ns, wait_until
from harness.errors import ClusterError
from harness.protocols import Cluster, HashedByClients, Outcome, Topology
from harness.units import MoreThan


@dataclass(frozen=True)
class ReplaceNodes:
    """Starts a new, empty cluster of `node_count` nodes (0: as many as there are) of `node_type`, and sends all clients to it.

    It is verified when every new node has answered clients, and the old ones answer no more of them, at most `within` after
    they were told. The old nodes stay, for whoever wants to go back, until the cluster is taken down.
    """

    changes_roles: ClassVar[bool] = True  # each new node calls itself primary of its part of the keys
    needs: ClassVar[type[Any]] = HashedByClients

    node_type: str = ""
    node_count: int = 0
    within_s: Annotated[float, MoreThan(0)] = 30

    def look(self, cluster: Cluster, topology: Topology) -> Mapping[str, str]:
        return topology.roles(cluster)

    def carry_out(self, cluster: Cluster, topology: Topology) -> Outcome:
        assert isinstance(topology, HashedByClients), "a scenario whose topology cannot is refused"
        began = now_ns()
        before = topology.members(cluster)
        try:
            nodes = topology.grow(cluster, self.node_count or len(before), self.node_type)
            remapped = topology.remapped_share(cluster, before, nodes)
        except ClusterError as problem:
            return Outcome(False, f"{problem}; clients know the old {len(before)} nodes, as before")
        topology.tell(cluster, nodes)
        seen: dict[str, int | None] = {}
        try:
            wait_until(lambda: _moved(cluster, topology, before, nodes, seen), self.within_s, "clients to use new nodes only", 1)
        except ClusterError as problem:
            topology.tell(cluster, before)
            return Outcome(False, f"{problem}; clients were told to go back to the old {len(before)} nodes", tuple(nodes))
        took_s = (now_ns() - began) / SECOND_NS
        said = f"{', '.join(nodes)} took over from {', '.join(before)} within {took_s:.1f} s, and were empty"
        return Outcome(True, said, tuple(nodes), topology.roles(cluster), {"remapped_share": remapped})


def _moved(
    cluster: Cluster, topology: HashedByClients, before: Sequence[str], nodes: Sequence[str], seen: dict[str, int | None]
) -> bool:
    """Whether every new node is asked, and no old one has been since the last look; `seen` is what they said then."""
    now = {node: topology.answered(cluster, node) for node in before}
    still = now == seen
    seen.update(now)
    return still and all(topology.answered(cluster, node) for node in nodes)
