"""How is an operation ended when its time is up, without a timer for each?

A timer that is made, started and stopped for every operation (gevent.Timeout) shows in what a cheap operation costs.
Most operations end long before their deadline: one timer, set once, looks now and then whether there is anything to end.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

import gevent
from gevent import getcurrent
from gevent.hub import get_hub

from harness.clock import now_ns

NEVER = 1 << 63


class Expired(gevent.Timeout):
    """The time is up."""


class Deadline:
    """Ends what the greenlet that made it waits for: `with deadline.at(instant): …` raises Expired at that instant.

    Another `why` makes what is raised instead.
    """

    def __init__(self, why: Callable[[], BaseException] = Expired) -> None:
        self._greenlet = getcurrent()
        self._why = why
        self._instant = NEVER  # at which what is under way expires
        self._rings_at = NEVER
        self._timer: Any = None

    def at(self, instant_ns: int) -> Deadline:
        self._instant = instant_ns
        return self

    def __enter__(self) -> None:
        if self._instant < self._rings_at:  # else the timer rings before it, and is set again then
            self._set()

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self._instant = NEVER

    def _set(self) -> None:
        self.close()
        self._rings_at = self._instant
        self._timer = get_hub().loop.timer(max(0, self._instant - now_ns()) / 1e9, priority=-1)
        self._timer.start(self._ring, update=True)

    def _ring(self) -> None:
        self.close()
        if self._instant == NEVER:
            return  # nothing is under way; whatever comes next sets the timer
        if self._instant > now_ns():
            self._set()
        else:
            self._greenlet.throw(self._why())

    def close(self) -> None:
        """Forgets the timer, which would ring once more."""
        timer, self._timer, self._rings_at = self._timer, None, NEVER
        if timer is not None:
            timer.stop()
            timer.close()
