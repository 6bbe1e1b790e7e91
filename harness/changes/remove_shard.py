"""Do clients notice when a shard is removed, and its data goes to the others, under load?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from harness.changes.add_shard import Way, serving
from harness.clock import SECOND_NS, now_ns
from harness.errors import ClusterError
from harness.protocols import Cluster, Outcome, Reshards, Topology
from harness.units import MoreThan


@dataclass(frozen=True)
class RemoveShard:
    """One shard fewer: its data goes to the others in equal parts, then its nodes go.

    `shard` is which one, the last one if not said; `way` and `within` are those of `add_shard`.
    """

    changes_roles: ClassVar[bool] = True
    adds_nodes: ClassVar[bool] = False
    needs: ClassVar[type[Any]] = Reshards

    shard: str | None = None
    way: Way = "fastest"
    within_s: Annotated[float, MoreThan(0)] = 180

    def look(self, cluster: Cluster, topology: Topology) -> Mapping[str, str]:
        assert isinstance(topology, Reshards), "a scenario whose topology cannot is refused"
        return topology.owned(cluster)

    def moved(self, cluster: Cluster, topology: Topology) -> float | None:
        assert isinstance(topology, Reshards), "a scenario whose topology cannot is refused"
        return topology.moved(cluster)

    def carry_out(self, cluster: Cluster, topology: Topology) -> Outcome:
        assert isinstance(topology, Reshards), "a scenario whose topology cannot is refused"
        began = now_ns()
        try:
            done = topology.remove_shard(cluster, self.shard, self.way, self.within_s)
        except ClusterError as problem:
            return Outcome(False, f"{problem}; {serving(cluster, topology)}")
        took_s = (now_ns() - began) / SECOND_NS
        said, measured = f"{done.said}; all was verified after {took_s:.1f} s", {"begun_anew": done.begun_anew}
        return Outcome(True, said, done.touched, topology.owned(cluster), measured)
