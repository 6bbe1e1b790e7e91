"""How long are clients without their data when it goes into a new cluster with other shards, and is all of it there?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from harness.changes.add_shard import serving
from harness.clock import SECOND_NS, now_ns
from harness.errors import ClusterError
from harness.protocols import Cluster, Outcome, ReshardsOffline, Topology
from harness.units import MoreThan


@dataclass(frozen=True)
class ReshardOffline:
    """Makes a new cluster of `shards` shards (and nodes of `node_type`), backs up, restores, compares, and leads clients there.

    With another `engine` the new cluster is of that one, or of its version: `redis` to `valkey`. A server refuses what a newer
    one backed up; the old cluster goes on then.

    Writes are refused from the backup on until clients are led to the new cluster. It is verified when every key of the backup
    was found in the new cluster as it was, and all its members are healthy. Where it stops before, the old cluster goes on.
    """

    changes_roles: ClassVar[bool] = True
    adds_nodes: ClassVar[bool] = True
    needs: ClassVar[type[Any]] = ReshardsOffline

    shards: int
    node_type: str = ""
    engine: Literal["", "valkey", "redis"] = ""
    within_s: Annotated[float, MoreThan(0)] = 180

    @property
    def brings(self) -> tuple[str, ...]:
        """The families of servers that the cluster need not have had before."""
        return (self.engine,) if self.engine else ()

    def look(self, cluster: Cluster, topology: Topology) -> Mapping[str, str]:
        assert isinstance(topology, ReshardsOffline), "a scenario whose topology cannot is refused"
        return topology.owned(cluster)

    def carry_out(self, cluster: Cluster, topology: Topology) -> Outcome:
        assert isinstance(topology, ReshardsOffline), "a scenario whose topology cannot is refused"
        began = now_ns()
        try:
            done = topology.reshard_offline(cluster, self.shards, self.node_type, self.engine, self.within_s)
        except ClusterError as problem:
            return Outcome(False, f"{problem}; {serving(cluster, topology)}")
        took_s = (now_ns() - began) / SECOND_NS
        return Outcome(True, f"{done.said}; all was verified after {took_s:.1f} s", done.touched, topology.owned(cluster))
