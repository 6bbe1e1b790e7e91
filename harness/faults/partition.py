"""What do clients on either side lose when the network between two groups of nodes is cut?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Literal

from harness.protocols import Cluster, Group, Network, Shape, Witness
from harness.witnesses import Answer, PacketsDropped, PacketsOneWay, PacketsShaped, across, askers, within


@dataclass(frozen=True)
class Partition:
    """Lets no packet pass between the target and the rest.

    `how` is `drop` (a black hole: nobody is refused, nobody is answered) or `reject` (as a firewall that says so: whoever
    sends gets a TCP reset, or ICMP's "port unreachable", as connections that are open do, too, when they send next).
    `direction` is seen from the target: `both`, `out` (what it sends is lost: it hears but is not heard) or
    `in` (what is sent to it is lost).
    """

    changes_roles: ClassVar[bool] = True

    direction: Literal["both", "out", "in"] = "both"
    how: Literal["drop", "reject"] = "drop"

    def between(self, network: Network, a: Group, b: Group) -> AbstractContextManager[None]:
        forth, back = self.direction != "in", self.direction != "out"
        if self.how == "reject":
            return network.shape(a, b, Shape(refuse=True), forth=forth, back=back)
        return network.drop(a, b, forth=forth, back=back)

    def witnesses_between(self, cluster: Cluster, a: Group, b: Group) -> Sequence[Witness]:
        if self.how == "reject":
            return [*self._refused(cluster, a, b), *within(cluster, a)]
        seen = [*across(cluster, a, b, expected="silent"), *within(cluster, a)]
        if self.direction == "both":
            return [*seen, PacketsDropped(cluster, a, b)]
        lost, heard = ((a, b), (b, a)) if self.direction == "out" else ((b, a), (a, b))
        return [*seen, PacketsOneWay(cluster, *lost, expected="dropped"), PacketsOneWay(cluster, *heard, expected="let through")]

    def _refused(self, cluster: Cluster, a: Group, b: Group) -> Sequence[Witness]:
        """Who sends into the cut is refused at once; who can send, but is not heard back, hears nothing."""
        cut = {"out": (a,), "in": (b,), "both": (a, b)}[self.direction]
        seen: list[Witness] = []
        for client, node in askers(cluster, a, b):
            refused = any(side.holds(client.spec.address) for side in cut)
            seen.append(Answer(cluster, client, node, "refused" if refused else "silent"))
        for source, target in ((a, b), (b, a)):
            seen.append(PacketsShaped(cluster, source, target, expected="carried" if source in cut else "untouched"))
        return seen
