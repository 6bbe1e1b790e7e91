"""What do clients notice when their path to the database gets slow?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

from harness.protocols import Cluster, Link, Witness
from harness.witnesses import Delayed


@dataclass(frozen=True)
class Latency:
    """Adds `delay_ms`, give or take `jitter_ms`, to what the client receives."""

    changes_roles: ClassVar[bool] = False

    delay_ms: float
    jitter_ms: float = 0

    def on_link(self, link: Link) -> AbstractContextManager[None]:
        return link.toxic("latency", {"latency": self.delay_ms, "jitter": self.jitter_ms})

    def witnesses_on_link(self, cluster: Cluster, link: Link) -> Sequence[Witness]:
        return [Delayed(cluster, link, at_least_ms=self.delay_ms - self.jitter_ms)]
