"""Do clients notice when a shard is added, and the others' data is shared out anew, under load?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from harness.clock import SECOND_NS, now_ns
from harness.errors import ClusterError
from harness.protocols import Cluster, Outcome, Reshards, Topology
from harness.units import MoreThan

Way = Literal["fastest", "native", "keys"]


@dataclass(frozen=True)
class AddShard:
    """One shard more: its nodes come, and every other shard gives it an equal part of its data.

    `way`: `native` is the engine's own (CLUSTER MIGRATESLOTS of Valkey 9), `keys` goes slot by slot and key by key, `fastest` is
    the first where the engine has it. It is verified when, at most `within` after its begin, all data has one owner, every key is
    with its owner, and all members are healthy.
    """

    changes_roles: ClassVar[bool] = True
    adds_nodes: ClassVar[bool] = True
    needs: ClassVar[type[Any]] = Reshards

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
            done = topology.add_shard(cluster, self.way, self.within_s)
        except ClusterError as problem:
            return Outcome(False, f"{problem}; {serving(cluster, topology)}")
        took_s = (now_ns() - began) / SECOND_NS
        said, measured = f"{done.said}; all was verified after {took_s:.1f} s", {"begun_anew": done.begun_anew}
        return Outcome(True, said, done.touched, topology.owned(cluster), measured)


def serving(cluster: Cluster, topology: Topology) -> str:
    """Whether a cluster whose change stopped still serves, in words."""
    missing = topology.healthy(cluster)
    return "the cluster serves" if missing is None else f"the cluster is not whole: {missing}"
