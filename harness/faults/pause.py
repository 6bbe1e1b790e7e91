"""What do clients see of a server that stands still, without ever closing a connection?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from harness.protocols import Cluster, Node, Witness
from harness.witnesses import from_every_zone


@dataclass(frozen=True)
class Pause:
    """Freezes every process of the node: its kernel still acknowledges packets, nobody answers. Healing thaws it."""

    changes_roles: ClassVar[bool] = True

    @contextmanager
    def on_node(self, node: Node) -> Iterator[None]:
        node.pause()
        try:
            yield
        finally:
            node.resume()

    def witnesses_on_node(self, cluster: Cluster, node: Node) -> Sequence[Witness]:
        return from_every_zone(cluster, node, expected="silent")
