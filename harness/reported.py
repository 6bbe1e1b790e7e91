"""How does what a Locust user reports of a request become an operation?

A request is reported when it has ended, so its beginning is reckoned back; and it was meant to begin when it did, since
such a user keeps no schedule.
"""

from __future__ import annotations

import sys
import time
import weakref
from typing import Any

import gevent

from harness.clock import MILLISECOND_NS, SECOND_NS, now_ns
from harness.probes.contract import network_error
from harness.recording import Outcome, Recorder
from harness.sessions import Driver

READS = ("GET", "HEAD", "OPTIONS", "SELECT", "READ")
WORDS_MAX = 200  # kinds and error classes that are told apart: a recording numbers its kinds in one byte
WORD_LENGTH_MAX = 120
UNANSWERED = "no answer before the end"


class Requests:
    """Writes what the users report as operations of the lane `workload`, kind `read TYPE name` or `write TYPE name`."""

    def __init__(self, recorder: Recorder, reads: list[str], deadline_s: float, driver: Driver) -> None:
        self._recorder, self._driver = recorder, driver
        self._deadline = int(deadline_s * SECOND_NS)
        self._reads = {word.upper() for word in (*READS, *reads)}
        self._lane, self._endpoint = recorder.name("lane", "workload"), recorder.name("endpoint", "writer")
        self._words: dict[str, set[str]] = {"kind": set(), "error": set()}
        self._clients: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._last: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()  # when each reported last
        self._failing: weakref.WeakSet[Any] = weakref.WeakSet()  # those whose last report was a failure
        self.count = 0

    def on_request(
        self,
        request_type: Any = "",
        name: Any = "",
        response_time: float | None = None,
        exception: Any = None,
        start_time: float | None = None,
        response: Any = None,
        **_: Any,
    ) -> None:
        """Locust's listener."""
        now, current = now_ns(), gevent.getcurrent()
        exception = exception or _passing()
        took = max(0, int((response_time or 0) * MILLISECOND_NS))
        started = now - _ago(took, start_time)
        if isinstance(exception, gevent.GreenletExit) and now - started < self._deadline:
            self._last[current] = now
            return  # its user was ended before it was due: that proves nothing
        reads = self._is_read(str(request_type), str(name))
        outcome, error = judged(exception, response, reads, self._driver)
        kind = f"{'read' if reads else 'write'} {request_type} {name}".rstrip()
        self._write(kind, current, started, min(now, started + took), outcome, error)
        self.count += 1
        self._last[current] = now
        (self._failing.discard if outcome is Outcome.OK else self._failing.add)(current)

    def on_task_error(self, user: str, exception: BaseException, said: str, since: int) -> None:
        """An exception that a task let out counts as an operation, unless the request behind it was reported as failed."""
        current = gevent.getcurrent()
        if current in self._failing:
            self._failing.discard(current)
            return
        outcome, error = judged(exception, None, reads=False, driver=self._driver)
        place = said.partition(": ")[0]
        began = max(since, self._last.get(current, 0))
        self._write(f"write task of {user}", current, began, now_ns(), outcome, f"{error} at {place}")

    def unanswered(self, greenlet: Any, since: int, at: int) -> bool:
        """Records a request that was under way at `at`, past its deadline, and was not reported; False when there is none."""
        began = max(since, self._last.get(greenlet, 0))
        if began > at - self._deadline:
            return False
        self._write("write request that was not answered", greenlet, began, now_ns(), Outcome.UNKNOWN, UNANSWERED)
        return True

    def _is_read(self, request_type: str, name: str) -> bool:
        return not self._reads.isdisjoint(word.upper() for word in (request_type, name, f"{request_type} {name}"))

    def _write(self, kind: str, greenlet: Any, started: int, ended: int, outcome: Outcome, error: str) -> None:
        client = self._clients.setdefault(greenlet, len(self._clients))
        otherwise = f"{kind.partition(' ')[0]} others"
        at = self._recorder.begin(
            self._lane, self._word("kind", kind, otherwise), self._endpoint, client=client, intended=started, started=started
        )
        self._recorder.end(at, outcome, ended, self._word("error", error, "others") if error else 0)

    def _word(self, column: str, text: str, otherwise: str) -> int:
        text, known = text[:WORD_LENGTH_MAX], self._words[column]
        if text not in known and len(known) >= WORDS_MAX:
            return self._recorder.name(column, otherwise)
        known.add(text)
        return self._recorder.name(column, text)


def _passing() -> BaseException | None:
    """What is on its way out of the request, and what `measure` takes for success: a gevent.Timeout, or the user's end."""
    error = sys.exc_info()[1]
    return None if isinstance(error, Exception) else error


def _ago(took: int, start_time: float | None) -> int:
    """How many ns ago a request began: `start_time` is Unix time, where it was given and can be meant so."""
    if start_time is None:
        return took
    since = int((time.time() - start_time) * SECOND_NS)
    return since if took <= since <= took + 60 * SECOND_NS else took


def judged(exception: Any, response: Any, reads: bool, driver: Driver) -> tuple[Outcome, str]:
    """What is known of a request that was reported with `exception`, and the class of its error.

    What the `driver` of the system under test raised is told by it.
    A read that failed is failed. A write is failed when its error proves that nothing happened, else unknown.
    """
    if not exception:
        return Outcome.OK, ""
    proven = False
    if isinstance(exception, driver.errors):
        error, proven = driver.told(exception)
    elif status := _status(response) or _status(getattr(exception, "response", None)):
        error, proven = f"HTTP {status}", 400 <= status < 500 and status != 408
    else:
        error = _word_of(exception)
    proven |= error == "connection refused"
    return (Outcome.FAILED if reads or proven else Outcome.UNKNOWN), error


def _status(response: Any) -> int | None:
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) and status >= 100 else None


def _word_of(exception: Any) -> str:
    text = str(exception)
    if isinstance(exception, gevent.GreenletExit):
        return UNANSWERED
    if isinstance(exception, (TimeoutError, gevent.Timeout)) or "timed out" in text:
        return "timeout"
    word = network_error(text)
    if word != "connection failed":
        return word
    return type(exception).__name__ if isinstance(exception, BaseException) else text
