"""What do clients lose when a server's processes are killed at once?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from harness.protocols import Cluster, Node, Witness
from harness.witnesses import from_every_zone


@dataclass(frozen=True)
class Crash:
    """SIGKILL to all of the server's processes; healing starts the server again."""

    changes_roles: ClassVar[bool] = True

    @contextmanager
    def on_node(self, node: Node) -> Iterator[None]:
        node.kill()
        try:
            yield
        finally:
            node.start()

    def witnesses_on_node(self, cluster: Cluster, node: Node) -> Sequence[Witness]:
        return from_every_zone(cluster, node, expected="refused")
