"""How is an operation ended when its time is up, without a timer for each?

A timer that is made, started and stopped for every operation (gevent.Timeout) shows in what a cheap operation costs, and one that
is left to ring for nothing wakes the process up. Most operations end long before their deadline: all of a thread share one timer,
which is set for the earliest that has not ended.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from types import TracebackType
from typing import Any

import gevent
from gevent import getcurrent
from gevent.hub import get_hub
from gevent.monkey import get_original

from harness.clock import now_ns

NEVER = 1 << 63
FORGOTTEN_AT_ONCE = 200  # of those that ended: nobody shall wait for the others to be forgotten


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
        self._alarm = _alarm()

    def at(self, instant_ns: int) -> Deadline:
        self._instant = instant_ns
        return self

    def __enter__(self) -> None:
        alarm, instant = self._alarm, self._instant
        heappush(alarm.waiting, (instant, next(alarm.numbers), self))
        if instant < alarm.rings_at:
            alarm.set(instant)

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self._instant = NEVER

    def over(self, instant_ns: int) -> bool:
        """Whether what should have ended at that instant has ended by itself."""
        return self._instant != instant_ns

    def end(self) -> None:
        self._greenlet.throw(self._why())


class _Alarm:
    """A thread's timer, and for whom it rings: the earliest first."""

    def __init__(self) -> None:
        self.waiting: list[tuple[int, int, Deadline]] = []
        self.numbers = count()  # two may have the same instant
        self.rings_at = NEVER
        self._timer: Any = None

    def set(self, instant: int) -> None:
        self._stop()
        self.rings_at = instant
        self._timer = get_hub().loop.timer(max(0, instant - now_ns()) / 1e9, priority=-1)
        self._timer.start(self._ring, update=True)

    def _stop(self) -> None:
        timer, self._timer, self.rings_at = self._timer, None, NEVER
        if timer is not None:
            timer.stop()
            timer.close()

    def _ring(self) -> None:
        self._stop()
        waiting, now, forgotten = self.waiting, now_ns(), 0
        ended: list[tuple[int, Deadline]] = []
        while waiting and forgotten < FORGOTTEN_AT_ONCE:
            instant, _, deadline = waiting[0]
            if deadline.over(instant):
                forgotten += 1
            elif instant <= now:
                ended.append((instant, deadline))
            else:
                break
            heappop(waiting)
        if waiting:
            self.set(waiting[0][0])
        for instant, deadline in ended:  # last: whoever is ended goes on at once, and may wait for something else
            if not deadline.over(instant):
                deadline.end()


# Where gevent has patched it, `threading.local` is each greenlet's own, and so would be the timer.
_OF_THREAD = get_original("threading", "local")()


def _alarm() -> _Alarm:
    """That of this thread, whose loop it is."""
    hub = get_hub()
    if getattr(_OF_THREAD, "hub", None) is not hub:
        _OF_THREAD.hub, _OF_THREAD.alarm = hub, _Alarm()
    alarm: _Alarm = _OF_THREAD.alarm
    return alarm
