"""What do clients notice when a replica is taken away for good?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from harness.clock import SECOND_NS, now_ns, wait_until
from harness.errors import ClusterError
from harness.protocols import Cluster, Database, Outcome, ScalesReplicas, Topology
from harness.units import MoreThan


@dataclass(frozen=True)
class RemoveReplica:
    """Takes the replica `node` away, or the one that was laid out last, and has the cluster's managers forget it.

    It is verified when nobody knows of it any more and everybody else is healthy, at most `within` later. A node that is primary
    is not taken away.
    """

    changes_roles: ClassVar[bool] = False
    needs: ClassVar[type[Any]] = ScalesReplicas

    node: Database | None = None
    within_s: Annotated[float, MoreThan(0)] = 60

    def look(self, cluster: Cluster, topology: Topology) -> Mapping[str, str]:
        return topology.roles(cluster)

    def carry_out(self, cluster: Cluster, topology: Topology) -> Outcome:
        assert isinstance(topology, ScalesReplicas), "a scenario whose topology cannot is refused"
        began, before = now_ns(), topology.roles(cluster)
        replicas = [name for name, role in before.items() if role == "replica"]
        if self.node is not None and self.node not in replicas:
            return Outcome(False, f"{self.node} is {before.get(self.node, 'not there')}, not a replica; nothing was changed")
        if len(replicas) < 2:
            return Outcome(False, f"the primary has {len(replicas)} replicas, and shall have a successor; nothing was changed")
        name = self.node or replicas[-1]
        try:
            topology.remove_replica(cluster, name)
            wait_until(lambda: topology.healthy(cluster) is None, self.within_s, "all others to be healthy without it")
        except ClusterError as problem:
            return Outcome(False, f"{problem}: {topology.healthy(cluster) or 'the others are healthy'}", (name,))
        took_s = (now_ns() - began) / SECOND_NS
        left = {node: role for node, role in before.items() if node != name}
        return Outcome(True, f"{name} was gone, and nobody missed it, {took_s:.1f} s after it was asked for", (name,), left)
