"""What do clients on either side lose when the network between two groups of nodes is cut?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Literal

from harness.protocols import Cluster, Group, Network, Witness
from harness.witnesses import PacketsDropped, PacketsOneWay, across, within


@dataclass(frozen=True)
class Partition:
    """Drops every packet between the target and the rest: nobody is refused, nobody is answered.

    `direction` is seen from the target: `both`, `out` (what it sends is lost: it hears but is not heard) or
    `in` (what is sent to it is lost).
    """

    changes_roles: ClassVar[bool] = True

    direction: Literal["both", "out", "in"] = "both"

    def between(self, network: Network, a: Group, b: Group) -> AbstractContextManager[None]:
        return network.drop(a, b, forth=self.direction != "in", back=self.direction != "out")

    def witnesses_between(self, cluster: Cluster, a: Group, b: Group) -> Sequence[Witness]:
        seen = [*across(cluster, a, b, expected="silent"), *within(cluster, a)]
        if self.direction == "both":
            return [*seen, PacketsDropped(cluster, a, b)]
        lost, heard = ((a, b), (b, a)) if self.direction == "out" else ((b, a), (a, b))
        return [*seen, PacketsOneWay(cluster, *lost, expected="dropped"), PacketsOneWay(cluster, *heard, expected="let through")]
