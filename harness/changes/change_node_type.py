"""What does it cost to give a living cluster bigger, or smaller, nodes?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.clock import SECOND_NS, now_ns
from harness.errors import ClusterError
from harness.protocols import ChangesNodeType, Cluster, Outcome, Topology


@dataclass(frozen=True)
class ChangeNodeType:
    """Lays out new nodes of the type `to`, lets them follow, makes one of them primary, and takes the old ones away.

    It is verified when only nodes of that type are left, as each of them says, and all are healthy. Where it stops before the new
    primary is there, the new nodes are taken away again and the old ones go on.
    """

    changes_roles: ClassVar[bool] = True
    needs: ClassVar[type[Any]] = ChangesNodeType

    to: str

    def look(self, cluster: Cluster, topology: Topology) -> Mapping[str, str]:
        return topology.roles(cluster)

    def carry_out(self, cluster: Cluster, topology: Topology) -> Outcome:
        assert isinstance(topology, ChangesNodeType), "a scenario whose topology cannot is refused"
        began, before = now_ns(), topology.roles(cluster)
        try:
            topology.change_node_type(cluster, self.to)
        except ClusterError as problem:
            missing = topology.healthy(cluster)
            serves = "the cluster is healthy as it was" if missing is None else f"of the cluster is to be said: {missing}"
            return Outcome(False, f"{problem}; {serves}", tuple(before))
        took_s = (now_ns() - began) / SECOND_NS
        said = f"every node is a {self.to}, and all were healthy, {took_s:.1f} s after it was asked for"
        return Outcome(True, said, tuple(before), topology.roles(cluster))
