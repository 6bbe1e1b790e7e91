"""How much data passes in a second?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.toxiproxy_server.stage import NEVER, Holding, milliseconds
from harness.toxiproxy_server.toxics import attribute

PIECE_MS = 100  # a chunk that takes longer passes in pieces that take this long


class BandwidthStage(Holding):
    """A chunk is let go when its last byte would have come over a line of that rate."""

    options: Bandwidth

    def data(self, chunk: bytes, at: int) -> None:
        rate = self.options.rate_kb_per_s  # which is bytes per millisecond
        if rate <= 0:
            self.hold(chunk, NEVER)
            return
        length = rate * PIECE_MS
        for begin in range(0, len(chunk), length):
            piece = chunk[begin : begin + length]
            self.hold(piece, max(at, self.last_due) + milliseconds(len(piece) / rate))


@dataclass(frozen=True)
class Bandwidth:
    """Limits a connection to `rate_kb_per_s` kilobytes (1,000 bytes) per second; 0 lets nothing through."""

    stage: ClassVar[type[Holding]] = BandwidthStage

    rate_kb_per_s: int = attribute("rate")
