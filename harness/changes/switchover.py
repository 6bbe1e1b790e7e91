"""How long are clients without a writer when the primary is moved on purpose?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from harness.clock import SECOND_NS, now_ns, wait_until
from harness.errors import ClusterError
from harness.protocols import Cluster, Database, Outcome, SwitchesOver, Topology
from harness.units import MoreThan


@dataclass(frozen=True)
class Switchover:
    """Moves the primary through the cluster's own manager: to the node `to`, or to the replica that the manager chooses.

    It is verified when, by each member's own word, another node alone is primary, the others are replicas, and all are
    healthy, at most `within` after the manager answered.
    """

    changes_roles: ClassVar[bool] = True
    needs: ClassVar[type[Any]] = SwitchesOver

    to: Database | None = None
    within_s: Annotated[float, MoreThan(0)] = 60

    def look(self, cluster: Cluster, topology: Topology) -> Mapping[str, str]:
        return topology.roles(cluster)

    def carry_out(self, cluster: Cluster, topology: Topology) -> Outcome:
        assert isinstance(topology, SwitchesOver), "a scenario whose topology cannot is refused"
        began = now_ns()
        before = _primary(topology.roles(cluster))
        if before is None or before == self.to:
            why = f"{before} is the primary already" if before else "there is no one primary to move from"
            return Outcome(False, f"{why}; nothing was changed; {_state(cluster, topology)}")
        try:
            topology.switch_over(cluster, self.to)
            wanted = f"{self.to} to be primary" if self.to else f"another primary than {before}"
            moved = wait_until(lambda: self._moved(before, cluster, topology), self.within_s, f"{wanted}, and all healthy")
        except ClusterError as problem:
            return Outcome(False, f"{problem}; {_state(cluster, topology)}", (before,))
        took_s = (now_ns() - began) / SECOND_NS
        said = f"{_primary(moved)} took over from {before}, and all were healthy {took_s:.1f} s after it was asked for"
        return Outcome(True, said, (before,), moved)

    def _moved(self, before: str, cluster: Cluster, topology: Topology) -> Mapping[str, str]:
        """What every member says once the change is there; empty until then."""
        roles = topology.roles(cluster)
        primary = _primary(roles)
        moved = primary == self.to if self.to else primary not in (None, before)
        settled = all(
            role == "replica" for node, role in roles.items() if node != primary
        )  # none on its way from one to the other
        return roles if moved and settled and topology.healthy(cluster) is None else {}


def _primary(roles: Mapping[str, str]) -> str | None:
    """The one primary; None when there is none, or more than one."""
    primaries = [node for node, role in roles.items() if role == "primary"]
    return primaries[0] if len(primaries) == 1 else None


def _state(cluster: Cluster, topology: Topology) -> str:
    """What the members say where a change has stopped."""
    primary, missing = _primary(topology.roles(cluster)), topology.healthy(cluster)
    serves = f"the cluster serves, with {primary} as primary" if primary else "the cluster has no one primary"
    return serves if missing is None else f"{serves}, but {missing}"
