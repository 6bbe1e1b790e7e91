"""What does a client do whose data simply vanish?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.clock import now_ns
from harness.toxiproxy_server.stage import Stage, milliseconds
from harness.toxiproxy_server.timer import Alarm
from harness.toxiproxy_server.toxics import attribute


class TimeoutStage(Stage):
    """Drops all data; what was dropped cannot be made good, so its connection does not outlive the toxic."""

    options: Timeout
    dropped = False

    def begin(self) -> None:
        self._quiet_since = now_ns()
        self._alarm: Alarm | None = None
        self._wait()

    def data(self, chunk: bytes, at: int) -> None:
        self.dropped = True
        self._quiet_since = at

    def release(self) -> None:
        self.discard()

    def withdraw(self) -> None:
        self.discard()
        if self.dropped:
            self._close()

    def discard(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()

    def _wait(self) -> None:
        if self.options.timeout_ms > 0:
            self._alarm = self.tools.timer.at(self._quiet_since + milliseconds(self.options.timeout_ms), self._ring)

    def _ring(self) -> None:
        if now_ns() < self._quiet_since + milliseconds(self.options.timeout_ms):
            self._wait()  # something came meanwhile
        else:
            self._close()

    def _close(self) -> None:
        self.path.cut()
        self.outlet.end()


@dataclass(frozen=True)
class Timeout:
    """Lets no data through, and closes the connection once nothing has come for `timeout_ms`; 0: never."""

    stage: ClassVar[type[Stage]] = TimeoutStage

    timeout_ms: int = attribute("timeout")
