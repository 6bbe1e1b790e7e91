"""What is an endpoint for: `writer`, or where each shard has a writer of its own, `writer:1`, `writer:2`, …?"""

from __future__ import annotations

from collections.abc import Iterable


def role_of(endpoint: str) -> str:
    """What it leads to: `writer` for `writer:2`, `node` for `node:pg-az-a`."""
    return endpoint.partition(":")[0]


def shard_of(endpoint: str) -> str:
    """The shard that it leads to: `2` for `writer:2`; empty where one endpoint serves all."""
    return endpoint.partition(":")[2]


def with_role(names: Iterable[str], role: str) -> list[str]:
    """Those of the endpoints that have a role, in their order."""
    return [name for name in names if role_of(name) == role]
