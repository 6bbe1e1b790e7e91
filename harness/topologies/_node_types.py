"""How much memory and CPU has a cache node of a type, as its cloud would sell it, and what happens when it is full?

Names and proportions are ElastiCache's (each size has twice the memory of the one before; `t` nodes get part of a core, `r` ones
more memory for a core); the sizes are a laptop's, some two hundredths of the real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.errors import suggestion
from harness.protocols import Limits

RESERVED_SHARE = 0.25  # of a node's memory holds no data, but buffers and a fork's copies; ElastiCache's default
SERVER_MB = 24  # the server itself, empty
# What Valkey and Redis put out when their memory is full (`maxmemory-policy`).
Eviction = Literal[
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
]


@dataclass(frozen=True)
class NodeType:
    """A node's share of the machine."""

    memory_mb: int
    cpus: float

    @property
    def maxmemory_mb(self) -> int:
        """What data may take."""
        return int(self.memory_mb * (1 - RESERVED_SHARE))

    @property
    def limits(self) -> Limits:
        """What the whole node may take."""
        return Limits(self.cpus, self.memory_mb + SERVER_MB)


NODE_TYPES: Mapping[str, NodeType] = {
    "cache.t.micro": NodeType(16, 0.25),
    "cache.t.small": NodeType(32, 0.5),
    "cache.t.medium": NodeType(64, 0.5),
    "cache.m.large": NodeType(128, 1),
    "cache.m.xlarge": NodeType(256, 2),
    "cache.r.large": NodeType(256, 1),
    "cache.r.xlarge": NodeType(512, 2),
}


def node_type(name: str) -> NodeType:
    """The type of that name. Raises ValueError, with a suggestion, when there is none."""
    if name not in NODE_TYPES:
        raise ValueError(f"no node type called '{name}'{suggestion(name, NODE_TYPES)}")
    return NODE_TYPES[name]
