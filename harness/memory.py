"""How full is the memory that a node's server has for data, and how is it emptied of what the harness put there?

Asked from the node's own zone, in the server's words (`Memory` of the node's description).
"""

from __future__ import annotations

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


def free(cluster: Cluster, shard: str | None = None) -> bool:
    """Takes away whatever was filled in, in one shard or in all; whether a server said that it is gone.

    Every node is asked: replicas hold it, too, and may be primaries by now. Those that are not refuse, and follow theirs.
    """
    nodes = [node for node in cluster.nodes.values() if shard is None or node.spec.shard == shard]
    asked = [(node, node.spec.memory) for node in nodes if node.spec.memory and node.running()]
    said = [(memory, talk(cluster, node, memory.free)) for node, memory in asked]
    return any(memory.freed in answer for memory, answer in said)
