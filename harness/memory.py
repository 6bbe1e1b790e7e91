"""How full is the memory that a node's server has for data, and how is it emptied of what the harness put there?

Asked from the node's own zone, in the server's words (`Memory` of the node's description).
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.protocols import Cluster, Node
from harness.witnesses import LOOK


def talk(cluster: Cluster, node: Node, said: bytes) -> str:
    """What the node's server answers; empty where it is silent, or has no such memory."""
    memory = node.spec.memory
    if memory is None:
        return ""
    return cluster.client(node.spec.zone).run(*LOOK, "talk", node.spec.address, str(memory.port), said.hex(), "5").out


def share(cluster: Cluster, node: Node) -> float | None:
    """How much of it is taken: 1 is full; None where it cannot be told."""
    memory = node.spec.memory
    return memory.share(talk(cluster, node, memory.used)) if memory else None


def filled(cluster: Cluster) -> Sequence[Node]:
    """The nodes that may hold what was filled into one of them: replicas do, too, and may be primaries by now."""
    return [node for node in cluster.nodes.values() if node.spec.memory and node.running()]


def free(cluster: Cluster) -> bool:
    """Takes away whatever was filled in, wherever it is by now; whether a primary said that it is gone. Replicas follow it."""
    said = [(node.spec.memory, talk(cluster, node, node.spec.memory.free)) for node in filled(cluster) if node.spec.memory]
    return any(memory.freed in answer for memory, answer in said)
