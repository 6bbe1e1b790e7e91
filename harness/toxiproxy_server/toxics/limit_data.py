"""What does a client do whose answer breaks off in the middle?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.toxiproxy_server.stage import Stage
from harness.toxiproxy_server.toxics import attribute


class LimitDataStage(Stage):
    """Counts what has passed; an update of the toxic does not forget it."""

    options: LimitData
    passed = 0

    def data(self, chunk: bytes, at: int) -> None:
        left = max(0, self.options.limit_bytes - self.passed)
        chunk = chunk[:left]
        if chunk:
            self.passed += len(chunk)
            self.outlet.data(chunk, at)
        if self.passed >= self.options.limit_bytes:
            self.path.cut()
            self.outlet.end()


@dataclass(frozen=True)
class LimitData:
    """Closes the connection when `limit_bytes` have passed."""

    stage: ClassVar[type[Stage]] = LimitDataStage

    limit_bytes: int = attribute("bytes")
