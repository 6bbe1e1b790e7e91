"""What happens to the data of one direction of one connection on its way through a toxic?

A link's toxics form a chain of stages; the last leads to the socket. Everything here runs on one
event loop and never waits, so that stages can be added, changed and removed between two chunks.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from harness.clock import MILLISECOND_NS, now_ns
from harness.toxiproxy_server.timer import Alarm, Timer

NEVER = 2**63 - 1  # due when the toxic is removed, not before
KIBIBYTE = 1024


class Outlet(Protocol):
    """What a stage passes things on to: the next stage, or the end of the link."""

    def data(self, chunk: bytes, at: int) -> None:
        """A chunk that came at `at` (ns of CLOCK_MONOTONIC), which may lie a little in the past."""

    def end(self) -> None:
        """No data will follow."""


class Path(Outlet, Protocol):
    """The link that a stage belongs to, seen as what it can do to its connection."""

    def cut(self) -> None:
        """The end that follows closes the destination both ways, instead of passing a half-close on."""

    def reset(self) -> None:
        """Both sockets of the connection end with RST, now."""

    def flow(self) -> None:
        """Something was let go; the source may perhaps be read again."""


@dataclass(frozen=True)
class Tools:
    """What stages share: the timer, and the source of chance."""

    timer: Timer
    chance: random.Random


class Stage:
    """A toxic at work on one link; as it stands, it passes everything on.

    `held` is how many bytes wait here; beyond `holds_at_most` the source is no longer read.
    """

    holds_at_most: ClassVar[int] = 64 * KIBIBYTE

    def __init__(self, options: Any, path: Path, tools: Tools) -> None:
        self.options = options
        self.path = path
        self.tools = tools
        self.outlet: Outlet = path
        self.held = 0
        self.begin()

    def begin(self) -> None:
        """The stage begins its work, or goes on with other options."""

    def data(self, chunk: bytes, at: int) -> None:
        self.outlet.data(chunk, at)

    def end(self) -> None:
        self.outlet.end()

    def release(self) -> None:
        """Lets go at once, in order, of all that it holds; the toxic is removed or changes."""

    def update(self, options: Any) -> None:
        """The toxic's options change; what is held is let go, what was counted stays counted."""
        self.release()
        self.options = options
        self.begin()

    def withdraw(self) -> None:
        """The toxic is removed, from a living connection."""
        self.release()

    def discard(self) -> None:
        """The connection is gone; nothing may be passed on any more."""


class Holding(Stage):
    """A stage that holds chunks, and the end, until each is due; always in order."""

    together: ClassVar[bool] = True  # whether chunks that are due at one time may leave at one time

    def begin(self) -> None:
        self._queue: deque[tuple[int, bytes | None]] = deque()
        self._alarm: Alarm | None = None
        self.last_due = 0

    def hold(self, chunk: bytes | None, due: int) -> None:
        """Holds a chunk, or the end (None), until `due`, but not before what was held earlier."""
        due = self.last_due = max(due, self.last_due)
        self._queue.append((due, chunk))
        if chunk is not None:
            self.held += len(chunk)
        if len(self._queue) == 1:
            self._wait()

    def end(self) -> None:
        if self._queue:
            self.hold(None, self.last_due)
        else:
            self.outlet.end()

    def release(self) -> None:
        self.last_due = 0
        queue = self._queue
        self.discard()
        for due, chunk in queue:
            self._pass(chunk, min(due, now_ns()))

    def discard(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._queue = deque()
        self.held = 0

    def _wait(self) -> None:
        due = self._queue[0][0]
        self._alarm = None if due == NEVER else self.tools.timer.at(due, self._let_go)

    def _let_go(self) -> None:
        now = now_ns()
        while self._queue and self._queue[0][0] <= now:
            due, chunk = self._queue.popleft()
            if chunk is not None:
                self.held -= len(chunk)
            self._pass(chunk, due)
            if not self.together:
                break
        if self._queue:
            self._wait()
        self.path.flow()

    def _pass(self, chunk: bytes | None, due: int) -> None:
        if chunk is None:
            self.outlet.end()
        else:
            self.outlet.data(chunk, due)


def milliseconds(count: float) -> int:
    """In nanoseconds; what a timer can wait for, so neither negative nor beyond `NEVER`."""
    return min(max(0, int(count * MILLISECOND_NS)), NEVER // 4)
