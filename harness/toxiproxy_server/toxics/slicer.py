"""Does the receiver cope with data that comes in small pieces?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from harness.toxiproxy_server.stage import Holding, milliseconds
from harness.toxiproxy_server.toxics import attribute


class SlicerStage(Holding):
    """Cuts chunks up; each piece leaves by a write of its own."""

    together: ClassVar[bool] = False
    options: Slicer

    def begin(self) -> None:
        super().begin()
        self._next_due = 0

    def data(self, chunk: bytes, at: int) -> None:
        delay = milliseconds(self.options.delay_us / 1000)
        for piece in self.options.pieces(chunk, self.tools.chance):
            due = max(at, self._next_due)
            self._next_due = due + delay
            self.hold(piece, due)


@dataclass(frozen=True)
class Slicer:
    """Cuts data into pieces of `average_bytes`, give or take `variation_bytes`, `delay_us` apart."""

    stage: ClassVar[type[Holding]] = SlicerStage

    average_bytes: int = attribute("average_size", "int")
    variation_bytes: int = attribute("size_variation", "int")
    delay_us: int = attribute("delay", "int")

    def pieces(self, chunk: bytes, chance: Random) -> Iterator[bytes]:
        """Halves the chunk, roughly, until its parts are small enough, so that no end of it is favoured."""
        variation = max(0, self.variation_bytes)
        if len(chunk) <= max(1, self.average_bytes + variation):
            yield chunk
            return
        middle = len(chunk) // 2 + (chance.randrange(-variation, variation) if variation else 0)
        middle = min(max(1, middle), len(chunk) - 1)  # a variation beyond the average must not cut nothing off
        yield from self.pieces(chunk[:middle], chance)
        yield from self.pieces(chunk[middle:], chance)
