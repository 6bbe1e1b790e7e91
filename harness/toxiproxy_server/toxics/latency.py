"""How long does a chunk take longer?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.toxiproxy_server.stage import KIBIBYTE, Holding, milliseconds
from harness.toxiproxy_server.toxics import attribute


class LatencyStage(Holding):
    """The delay counts from a chunk's arrival, so that a stream keeps its bandwidth."""

    # What is under way is bandwidth times delay: 50 ms of 5 Gbit/s. Toxiproxy holds 1,024 chunks of up to 32 KiB.
    holds_at_most: ClassVar[int] = 32 * KIBIBYTE * KIBIBYTE
    options: Latency

    def data(self, chunk: bytes, at: int) -> None:
        jitter = self.options.jitter_ms
        delay: float = self.options.latency_ms
        if jitter > 0:
            delay += self.tools.chance.uniform(-jitter, jitter)
        self.hold(chunk, at + milliseconds(delay))


@dataclass(frozen=True)
class Latency:
    """Delays what passes by `latency_ms`, give or take `jitter_ms`, evenly spread; order is kept."""

    stage: ClassVar[type[Holding]] = LatencyStage

    latency_ms: int = attribute("latency")
    jitter_ms: int = attribute("jitter")
