"""Do this machine's cores sleep between two packets, so that the next one waits until they are awake?

An idle machine's do, and whatever is measured there holds their waking up. A machine at work has no such time. Who measures the
stopwatch itself therefore keeps them awake, as cyclictest does, which measures latencies on real-time kernels.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

# PM QoS (the kernel's Documentation/power/pm_qos_interface.rst): a request lasts as long as the file is open, so that it
# ends with its process, too.
REQUESTS = Path("/dev/cpu_dma_latency")


@contextmanager
def kept_awake(requests: Path = REQUESTS) -> Iterator[bool]:
    """Tells idle cores to spin instead of sleeping meanwhile; False where this user or this machine does not allow that."""
    with ExitStack() as held:
        try:
            request = held.enter_context(requests.open("r+b", buffering=0))
            request.write(struct.pack("=i", 0))  # the latency that is wanted, in µs
            told = True
        except OSError:
            told = False
        yield told
