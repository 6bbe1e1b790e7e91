"""When is a held chunk due, to a fraction of a millisecond?

The event loops' own timers count in whole milliseconds and round twice, which makes
a delay of 50 ms one of 51 on average. A timerfd wakes the loop within about 0.1 ms.
"""

from __future__ import annotations

import asyncio
import ctypes
import heapq
import os
from collections.abc import Callable

from harness.clock import SECOND_NS, now_ns

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME
# Python has os.timerfd_create from 3.13 on; the C library has it everywhere on Linux.
_libc = ctypes.CDLL(None, use_errno=True)


class _TimerSpec(ctypes.Structure):
    """struct itimerspec: the interval, then the time of the first expiry."""

    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "first_s", "first_ns")]


class Alarm:
    """A call that is due at a time; `cancel` makes it never happen."""

    __slots__ = ("call", "due")

    def __init__(self, due: int, call: Callable[[], None]) -> None:
        self.due = due
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None

    def __lt__(self, other: Alarm) -> bool:
        return self.due < other.due


class Timer:
    """Calls back on the running loop at times in nanoseconds of CLOCK_MONOTONIC, never early.

    Raises OSError when the kernel gives no timerfd.
    """

    def __init__(self) -> None:
        self._alarms: list[Alarm] = []
        self._fd = _libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._fire)

    def at(self, due: int, call: Callable[[], None]) -> Alarm:
        """Calls `call` when `due` (ns) has come; at the next turn of the loop when it has already."""
        alarm = Alarm(due, call)
        heapq.heappush(self._alarms, alarm)
        if self._alarms[0] is alarm:
            self._arm(due)
        return alarm

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _arm(self, due: int) -> None:
        seconds, nanoseconds = divmod(max(due, 1), SECOND_NS)  # a time of 0 would disarm it
        spec = _TimerSpec(0, 0, seconds, nanoseconds)
        if _libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(spec), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def _fire(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # armed anew since the loop saw it
            pass
        now = now_ns()
        ripe = []
        while self._alarms and (self._alarms[0].due <= now or self._alarms[0].call is None):
            ripe.append(heapq.heappop(self._alarms))
        for alarm in ripe:
            # asked again here, since an earlier call may have cancelled a later one
            if alarm.call is not None:
                self._run(alarm.call)
        if self._alarms:
            self._arm(self._alarms[0].due)

    def _run(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 (as loops do with their own callbacks: one must not stop the others)
            self._loop.call_exception_handler({"message": f"in {call}", "exception": error})
