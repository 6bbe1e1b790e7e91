"""What time is it on the run's one time line, and has the condition come true yet?

All processes of a run on one host read CLOCK_MONOTONIC, which containers and
network namespaces share with their host, so that their records need no correction.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import TypeVar

from harness.errors import ClusterError

T = TypeVar("T")
SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000

# CLOCK_MONOTONIC in nanoseconds: on Linux, Python's monotonic clock is that one (PEP 418). An operation asks it several times.
now_ns = time.monotonic_ns


def cpu_s() -> float:
    """The CPU time that this process has used so far, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def wait_until(
    condition: Callable[[], T],
    within_s: float,
    awaiting: str,
    every_s: float = 0.1,
    told: Callable[[], str] | None = None,
) -> T:
    """Returns the first truthy value of `condition`.

    Raises ClusterError, naming what was awaited and what is `told` of it then, when `within_s` seconds have passed.
    """
    deadline = now_ns() + int(within_s * SECOND_NS)
    while True:
        value = condition()
        if value:
            return value
        if now_ns() >= deadline:
            raise ClusterError(f"waited {within_s:g} s for {awaiting}, in vain{f': {told()}' if told else ''}")
        time.sleep(every_s)
