"""How far is a node's wall clock from this run's monotonic one, and how surely is that known?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from harness.clock import SECOND_NS, now_ns
from harness.protocols import Node

ASKED = 3
LOG_ERROR_S = 0.001  # a log's times have milliseconds


@dataclass(frozen=True)
class Offset:
    """Wall time of a node less this process's CLOCK_MONOTONIC, in ns, to within `error_s`; and the node's time zone."""

    ns: int
    error_s: float
    zone: tzinfo

    def here(self, at: float) -> int:
        """CLOCK_MONOTONIC in ns when the node's clock showed `at`, Unix time in seconds."""
        return int(at * SECOND_NS) - self.ns


def offset(node: Node) -> Offset | None:
    """Asks a node what time it is, and takes the quickest of a few answers (Cristian, 1989); None when it gives none."""
    best: Offset | None = None
    for _ in range(ASKED):
        before = now_ns()
        said = node.run("date", "+%s%N %Y-%m-%dT%H:%M:%S%z").out.split()
        after = now_ns()
        try:
            wall, zone = int(said[0]), datetime.fromisoformat(said[1]).tzinfo
        except (IndexError, ValueError):
            continue
        error_s = (after - before) / 2 / SECOND_NS + LOG_ERROR_S
        if zone is not None and (best is None or error_s < best.error_s):
            best = Offset(wall - (before + after) // 2, error_s, zone)
    return best
