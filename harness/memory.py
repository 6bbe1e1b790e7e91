"""How full is the memory that a node's server has for data, and how is it emptied of what the harness put there?

Asked from the node's own zone, in the server's words (`Memory` of the node's description).
"""

from __future__ import annotations

from harness.protocols import Cluster, Node
from harness.talk import Question, talk

ANSWERS_WITHIN_S = 5


def asked(cluster: Cluster, node: Node, said: bytes) -> str:
    """What the node's server answers; empty where it is silent, or has no such memory."""
    memory = node.spec.memory
    return talk(cluster, [Question(node.spec, memory.port, said)], ANSWERS_WITHIN_S)[0] if memory else ""


def share(cluster: Cluster, node: Node) -> float | None:
    """How much of it is taken: 1 is full; None where it cannot be told."""
    memory = node.spec.memory
    return memory.share(asked(cluster, node, memory.used)) if memory else None


def free(cluster: Cluster, shard: str | None = None) -> bool:
    """Takes away whatever was filled in, in one shard or in all; whether a server said that it is gone.

    Every node is asked: replicas hold it, too, and may be primaries by now. Those that are not refuse, and follow theirs.
    """
    nodes = [node for node in cluster.nodes.values() if shard is None or node.spec.shard == shard]
    there = [(node.spec, node.spec.memory) for node in nodes if node.spec.memory and node.running()]
    said = talk(cluster, [Question(spec, memory.port, memory.free) for spec, memory in there], ANSWERS_WITHIN_S)
    return any(memory.freed in answer for (_, memory), answer in zip(there, said, strict=True))
