"""What does it cost to add a node to a cache onto whose nodes clients hash keys?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from harness.clock import SECOND_NS, now_ns, wait_until
from harness.errors import ClusterError
from harness.protocols import Cluster, HashedByClients, Outcome, Topology
from harness.units import MoreThan


@dataclass(frozen=True)
class AddNode:
    """Starts one node more, of `node_type` (without one, of the type of the others), and tells the clients of it.

    It is verified when the node has answered clients that look for keys there, at most `within` after they were told.
    `remapped_share` is the share of keys for which clients look there now.
    """

    changes_roles: ClassVar[bool] = True  # the node calls itself primary of its part of the keys
    needs: ClassVar[type[Any]] = HashedByClients

    node_type: str = ""
    within_s: Annotated[float, MoreThan(0)] = 30

    def look(self, cluster: Cluster, topology: Topology) -> Mapping[str, str]:
        return topology.roles(cluster)

    def carry_out(self, cluster: Cluster, topology: Topology) -> Outcome:
        assert isinstance(topology, HashedByClients), "a scenario whose topology cannot is refused"
        began = now_ns()
        before = topology.members(cluster)
        try:
            (node,) = topology.grow(cluster, 1, self.node_type)
            remapped = topology.remapped_share(cluster, before, [*before, node])
        except ClusterError as problem:
            return Outcome(False, f"{problem}; clients know {len(before)} nodes, as before")
        topology.tell(cluster, [*before, node])
        try:
            wait_until(lambda: topology.answered(cluster, node), self.within_s, f"clients to look for keys on {node}")
        except ClusterError as problem:
            topology.tell(cluster, before)
            return Outcome(False, f"{problem}; clients were told to go on with {len(before)} nodes", (node,))
        took_s = (now_ns() - began) / SECOND_NS
        said = (
            f"{node} joined {len(before)} nodes within {took_s:.1f} s; {remapped:.1%} of the keys are looked for there now,"
            f" 1/{len(before) + 1} are {1 / (len(before) + 1):.1%}"
        )
        return Outcome(True, said, (node,), topology.roles(cluster), {"remapped_share": remapped})
