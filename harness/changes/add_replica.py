"""What do clients notice when a replica is added while they write?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from harness.clock import SECOND_NS, now_ns, wait_until
from harness.errors import ClusterError
from harness.protocols import Cluster, Outcome, ScalesReplicas, Topology
from harness.units import MoreThan


@dataclass(frozen=True)
class AddReplica:
    """Lays out one replica more, in `zone` or where there are fewest nodes, starts it, and lets it catch up.

    It is verified when the new node itself says that it follows the primary and is in sync, and everybody is healthy, at most
    `within` after it was started. One that does not get there is taken away again.
    """

    changes_roles: ClassVar[bool] = False
    needs: ClassVar[type[Any]] = ScalesReplicas

    zone: str | None = None
    within_s: Annotated[float, MoreThan(0)] = 60

    def look(self, cluster: Cluster, topology: Topology) -> Mapping[str, str]:
        return topology.roles(cluster)

    def carry_out(self, cluster: Cluster, topology: Topology) -> Outcome:
        assert isinstance(topology, ScalesReplicas), "a scenario whose topology cannot is refused"
        began, before = now_ns(), topology.roles(cluster)
        try:
            name = topology.add_replica(cluster, self.zone)
        except ClusterError as problem:
            return Outcome(False, f"{problem}; nothing was changed")
        try:
            wait_until(lambda: topology.healthy(cluster) is None, self.within_s, f"{name} to be in sync")
        except ClusterError as problem:
            said = f"{problem}: {topology.healthy(cluster) or 'nothing is missing any more'}"
            topology.remove_replica(cluster, name)
            return Outcome(False, f"{said}; {name} was taken away again", (name,))
        took_s = (now_ns() - began) / SECOND_NS
        return Outcome(True, f"{name} was in sync {took_s:.1f} s after it was asked for", (name,), {**before, name: "replica"})
