"""What do clients notice when the network between nodes gets slow, lossy or narrow?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Literal

from harness.protocols import Cluster, Group, Network, Shape, Witness
from harness.witnesses import EchoesDelayed, EchoesLost, EchoesNarrowed, PacketsShaped, askers


@dataclass(frozen=True)
class Degrade:
    """Packets between the target and the rest take `delay` (± `jitter`) longer, are lost at `loss`, flow at `rate` at most.

    All for each direction by itself, so a `delay` of 10 ms both ways is a round trip of 20 ms. `direction` is seen from the
    target: `both`, `out` (what it sends) or `in` (what is sent to it). Packets between two addresses keep their order.
    """

    changes_roles: ClassVar[bool] = True  # a network that is bad enough is an outage

    delay_ms: float = 0
    jitter_ms: float = 0
    loss_share: float = 0
    rate_bytes_per_s: float | None = None
    direction: Literal["both", "out", "in"] = "both"

    def __post_init__(self) -> None:
        if self.rate_bytes_per_s == 0:
            raise ValueError("a network at no rate is cut: inject partition")
        if not (self.delay_ms or self.loss_share or self.rate_bytes_per_s):
            raise ValueError("nothing would be degraded: give a delay, a loss or a rate")
        if self.jitter_ms > self.delay_ms:
            raise ValueError("a jitter is at most the delay: no packet arrives before it was sent")
        if self.loss_share == 1:
            raise ValueError("a network that loses everything is cut: inject partition")

    def between(self, network: Network, a: Group, b: Group) -> AbstractContextManager[None]:
        shape = Shape(self.delay_ms, self.jitter_ms, self.loss_share, self.rate_bytes_per_s)
        return network.shape(a, b, shape, forth=self.direction != "in", back=self.direction != "out")

    def witnesses_between(self, cluster: Cluster, a: Group, b: Group) -> Sequence[Witness]:
        ways = 2 if self.direction == "both" else 1
        asking = askers(cluster, a, b)
        seen: list[Witness] = []
        if self.delay_ms:
            seen += [EchoesDelayed(client, node, ways * self.delay_ms) for client, node in asking]
        if self.loss_share:
            seen += [EchoesLost(client, node, 1 - (1 - self.loss_share) ** ways) for client, node in asking]
        if self.rate_bytes_per_s:
            seen += [EchoesNarrowed(client, node, self.rate_bytes_per_s) for client, node in asking]
        for source, target, shaped in ((a, b, self.direction != "in"), (b, a, self.direction != "out")):
            seen.append(PacketsShaped(cluster, source, target, expected="carried" if shaped else "untouched"))
        return seen
