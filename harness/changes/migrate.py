"""What does it cost to move all data to a new cluster, and the clients after it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.clock import SECOND_NS, now_ns
from harness.errors import ClusterError
from harness.protocols import Cluster, Migrates, Outcome, Topology


@dataclass(frozen=True)
class Migrate:
    """Creates a new cluster beside the old one, copies everything over while clients write, compares, and cuts over.

    Writes wait from the comparison until the new cluster takes them. It is verified when every key of the old primary was in the
    new one with its value at the cut, and the new cluster is healthy without the old one. Where it stops before the cut, the old
    cluster goes on and the new one is taken away.
    """

    changes_roles: ClassVar[bool] = True
    needs: ClassVar[type[Any]] = Migrates

    def look(self, cluster: Cluster, topology: Topology) -> Mapping[str, str]:
        return topology.roles(cluster)

    def carry_out(self, cluster: Cluster, topology: Topology) -> Outcome:
        assert isinstance(topology, Migrates), "a scenario whose topology cannot is refused"
        began, before = now_ns(), topology.roles(cluster)
        try:
            keys = topology.migrate(cluster)
        except ClusterError as problem:
            missing = topology.healthy(cluster)
            serves = "the old cluster is healthy" if missing is None else f"of the cluster is to be said: {missing}"
            return Outcome(False, f"{problem}; {serves}", tuple(before))
        took_s = (now_ns() - began) / SECOND_NS
        said = f"{keys} keys were the same in both at the cut, the new cluster was healthy {took_s:.1f} s after it was asked for"
        return Outcome(True, said, tuple(before), topology.roles(cluster))
