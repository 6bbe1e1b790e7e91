"""How much later does a connection close than its peer closed it?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.clock import now_ns
from harness.toxiproxy_server.stage import Holding, milliseconds
from harness.toxiproxy_server.toxics import attribute


class SlowCloseStage(Holding):
    """Holds nothing but the end."""

    options: SlowClose

    def end(self) -> None:
        self.hold(None, now_ns() + milliseconds(self.options.delay_ms))


@dataclass(frozen=True)
class SlowClose:
    """Passes data on at once, and the close `delay_ms` later."""

    stage: ClassVar[type[Holding]] = SlowCloseStage

    delay_ms: int = attribute("delay")
