"""What does a client do whose connection is reset?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.clock import now_ns
from harness.toxiproxy_server.stage import NEVER, Holding, milliseconds
from harness.toxiproxy_server.timer import Alarm
from harness.toxiproxy_server.toxics import attribute


class ResetPeerStage(Holding):
    """Holds what comes until the reset, which drops it; a toxic removed before lets it flow on."""

    options: ResetPeer

    def begin(self) -> None:
        super().begin()
        self._reset: Alarm | None = None

    def data(self, chunk: bytes, at: int) -> None:
        self.hold(chunk, NEVER)
        self._reset_soon()

    def end(self) -> None:
        self.hold(None, NEVER)
        self._reset_soon()

    def discard(self) -> None:
        super().discard()
        if self._reset is not None:
            self._reset.cancel()

    def _reset_soon(self) -> None:
        if self._reset is None:
            self._reset = self.tools.timer.at(now_ns() + milliseconds(self.options.timeout_ms), self.path.reset)


@dataclass(frozen=True)
class ResetPeer:
    """Resets the connection (RST, both ways) `timeout_ms` after something was to pass."""

    stage: ClassVar[type[Holding]] = ResetPeerStage

    timeout_ms: int = attribute("timeout")
