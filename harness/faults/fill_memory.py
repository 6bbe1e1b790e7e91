"""What do clients see of a server whose memory for data is full?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from harness.clock import wait_until
from harness.errors import ClusterError
from harness.memory import asked, free, share
from harness.protocols import Cluster, Memory, Node, NodeSpec, Witness

# Big pieces while there is room for many, then such as leave none that an entry of a client would find.
PIECES = ((262_144, 64), (16_384, 64), (256, 512))
FULL_WITHIN_S, FREED_WITHIN_S = 30.0, 30.0
FULL = 0.98  # of a server that puts others out, and so never says that it is
WITNESSED = 0.95  # what clients delete, and big pieces that are put out, leave some room for a moment


@dataclass(frozen=True)
class FillMemory:
    """Fills what the node's server may keep in memory with entries of its own, until there is no room for more.

    What becomes of clients' entries then is the server's setting: it refuses new ones, or puts others out, which may be any
    client's. What clients delete meanwhile leaves room for others again. Replicas get these entries, too; healing takes them
    away on whichever node is primary then.
    """

    changes_roles: ClassVar[bool] = True

    def unfit(self, spec: NodeSpec) -> str:
        """What a node lacks, so that its memory cannot be filled; empty where it can."""
        return "" if spec.memory else "has a limit of memory that can be reached, as nodes of Redis with a node_type have"

    @contextmanager
    def on_host(self, cluster: Cluster, node: Node) -> Iterator[None]:
        memory = _memory(node)
        try:
            _fill(cluster, node, memory)
            yield
        finally:
            # A replica may be primary by now, and has all of it; or nobody is, for a moment.
            wait_until(lambda: free(cluster, node.spec.shard), FREED_WITHIN_S, "a primary to give the memory back")

    def witnesses_on_host(self, cluster: Cluster, node: Node) -> Sequence[Witness]:
        return [Filled(cluster, node)]


@dataclass(frozen=True)
class Filled:
    """How full a server says that its memory is."""

    cluster: Cluster
    node: Node
    normal: str = "has room"
    expected: str = "full"

    @property
    def vantage(self) -> str:
        return f"{self.node.spec.name} of its memory"

    def look(self) -> str:
        seen = share(self.cluster, self.node)
        return "silent" if seen is None else self.expected if seen >= WITNESSED else self.normal


def _fill(cluster: Cluster, node: Node, memory: Memory) -> None:
    """Fills the memory, with smaller and smaller pieces. Raises ClusterError where it does not get full."""

    def filled(size: int, pieces: int) -> bool:
        said = asked(cluster, node, memory.fill(size, pieces))
        if memory.full:
            return memory.full in said
        return (share(cluster, node) or 0.0) >= FULL

    for size, pieces in PIECES if memory.full else PIECES[:1]:
        wait_until(partial(filled, size, pieces), FULL_WITHIN_S, f"{node.spec.name} to be full", every_s=0.01)


def _memory(node: Node) -> Memory:
    """How the node's memory is filled. Raises ClusterError where nobody knows."""
    if node.spec.memory is None:
        raise ClusterError(f"{node.spec.name} has no limit of memory that can be reached")
    return node.spec.memory
