"""Does the system answer right now, asked on a schedule that waits for no answer?

Two kinds of lanes ask each target. A kept lane holds a few connections and asks every `cadence` on an absolute
schedule; a fresh lane connects anew each time. A deadline ends an operation's *record*; the connection is parked and
used again when its answer comes. What is unanswered is capped, so that probes never cause the outage they look for: at
the cap, and while the pace of reconnecting does not allow an attempt, a probe is recorded as not sent.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from harness.clock import MILLISECOND_NS, now_ns
from harness.probes.contract import Address, Answered, Client, Connection, FindsItsWay
from harness.recording import NOT_ARRIVED, Outcome, Recorder

_TCP_INFO_SIZE = 104
_UNACKNOWLEDGED_AT, _TOTAL_RETRANSMITS_AT = 24, 100  # struct tcp_info: tcpi_unacked (u32), tcpi_total_retrans (u32)
_UNACKNOWLEDGED, _CONNECT_DEADLINE = NOT_ARRIVED
# A kernel may put an acknowledgement off by 40 ms (tcp(7): delayed acknowledgements); twice that is no delay any more.
_ACKNOWLEDGED_WITHIN_NS = 80 * MILLISECOND_NS


@dataclass(frozen=True)
class Target:
    """One thing that is asked. Times in ms; `delay_ns` is after the common start of all schedules.

    `endpoint` is the name in the records (`writer`, `node:pg-az-a`), `kind` is `read`, or of writes
    `probe_write`, and `probe_cache` of what need not be there in the end.
    `unanswered_max` caps the questions, and so the server's sessions, that wait for an answer.
    """

    endpoint: str
    kind: str
    address: Address
    lane: str
    cadence_ms: float
    deadline_ms: float
    delay_ns: int
    unanswered_max: int
    reconnect_ms: float = 100

    @property
    def writes(self) -> bool:
        return self.kind != "read"


@dataclass
class Values:
    """Unique numbers for the writes of one process."""

    base: int
    _next: int = 0

    def take(self) -> int:
        self._next += 1
        return self.base + self._next


@dataclass(eq=False)  # one is not another, whatever their fields say
class _Question:
    """One operation under way."""

    at: int
    target: Target
    asked: int  # when, in ns
    connection: Connection | None = None
    retransmitted: int = 0
    late: bool = False
    reaching: bool = False  # it only tries whether TCP connects, which takes no session of the server's


@dataclass
class Lane:
    """Asks one target; `run` goes on until cancelled."""

    target: Target
    client: Client
    recorder: Recorder
    values: Values
    idle: list[Connection] = field(default_factory=list)
    unanswered: set[_Question] = field(default_factory=set)
    logging_in: set[_Question] = field(default_factory=set)
    next_attempt: int = 0
    refilling: bool = False
    between_ticks: bool = False
    wary: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._lane = self.recorder.name("lane", self.target.lane)
        self._kind = self.recorder.name("kind", self.target.kind)
        self._endpoint = self.recorder.name("endpoint", self.target.endpoint)

    async def open(self) -> None:
        """Opens the kept connections before the schedule begins; those that fail are tried again later."""
        if self.target.lane == "kept":
            for _ in range(self.target.unanswered_max):
                with suppress(ConnectionError):
                    self.idle.append(await self.client.connect(self.target.address))

    async def run(self, first_at: int) -> None:
        """Asks on schedule from `first_at` (ns, CLOCK_MONOTONIC). A late tick asks at once: its lateness is in the record."""
        for intended in count(first_at + self.target.delay_ns, int(self.target.cadence_ms * MILLISECOND_NS)):
            delay = (intended - now_ns()) / 1e9
            if delay > 0:
                await asyncio.sleep(delay)
            self._tick(intended)

    def _tick(self, intended: int) -> None:
        now = now_ns()
        if now > intended + self.target.deadline_ms * MILLISECOND_NS:
            return self._not_sent(intended, "probe late")
        if self.target.lane == "fresh":
            if len(self.unanswered) >= self.target.unanswered_max:
                return self._not_sent(intended, "too many unanswered")
            return self._start(intended, self._ask_anew)
        if self.idle:
            return self._start(intended, self._ask, self.idle.pop(0))
        if now < self.next_attempt:
            return self._not_sent(intended, "between attempts to connect")
        if self._full():
            return self._not_sent(intended, "no connection free")
        return self._attempt(intended)

    @property
    def connecting(self) -> bool:
        """Whether one logs in, for which others wait until its deadline: a lost packet is sent again only after a second."""
        return any(not question.late for question in self.logging_in)

    def _full(self) -> bool:
        """Whether one attempt more to connect could be too much for the server."""
        waiting = sum(not question.reaching for question in self.unanswered)
        most = self.target.unanswered_max
        return self.connecting or len(self.logging_in) >= most or (waiting >= most and not self._dead_path())

    def _attempt(self, intended: int) -> None:
        """Tries to connect; where the pace allows several attempts between two ticks, goes on until there is a connection."""
        self.next_attempt = now_ns() + int(self.target.reconnect_ms * MILLISECOND_NS)
        if self.target.reconnect_ms < self.target.cadence_ms and not self.between_ticks:
            self.between_ticks = True
            self._later(self._between_ticks)
        self._start(intended, self._ask_anew)

    def _later(self, call: Callable[[], None]) -> None:
        """At the next attempt: a loop's timers are no more exact than a millisecond, and may be early."""
        asyncio.get_running_loop().call_later(max(0.001, (self.next_attempt - now_ns()) / 1e9), call)

    def _between_ticks(self) -> None:
        """Tries again at its time, also after an attempt that broke off while another one would have been too much."""
        self.between_ticks = not self.idle
        if not self.between_ticks:
            return
        if now_ns() >= self.next_attempt and not self._full():
            self._attempt(now_ns())
        self._later(self._between_ticks)

    def _dead_path(self) -> bool:
        """Whether the server saw nothing of what is unanswered, as its silence says: then a new try costs it nothing."""
        waiting = [question for question in self.unanswered if question.connection is not None]
        if not waiting or now_ns() - min(question.asked for question in waiting) < _ACKNOWLEDGED_WITHIN_NS:
            return False
        return all(_tcp(question.connection)[0] for question in waiting if question.connection)

    def _not_sent(self, intended: int, why: str) -> None:
        self.recorder.not_sent(
            self._lane, self._kind, self._endpoint,
            client=0, intended=intended, error=self.recorder.name("error", why), ended=now_ns(),
        )  # fmt: skip

    def _start(self, intended: int, ask: Callable[..., Coroutine[Any, Any, None]], *given: Connection) -> None:
        value = self.values.take() if self.target.writes else -1
        at = self.recorder.begin(
            self._lane, self._kind, self._endpoint, client=0, intended=intended, started=now_ns(), value=value
        )
        question = _Question(at, self.target, now_ns())
        self.unanswered.add(question)
        task = asyncio.get_running_loop().create_task(ask(question, value, *given))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        late = asyncio.get_running_loop().call_later(self.target.deadline_ms / 1000, self._deadline, question)
        task.add_done_callback(lambda _: late.cancel())

    def _deadline(self, question: _Question) -> None:
        """Ends the record of what is not answered yet; what is asked stays asked."""
        if question not in self.unanswered:
            return  # its task is still opening or closing a connection, which is none of the question's business
        question.late = True
        outcome = Outcome.UNKNOWN if self.target.writes else Outcome.FAILED
        if question.connection is None:
            error = _CONNECT_DEADLINE
        else:
            error = _UNACKNOWLEDGED if _tcp(question.connection)[0] else "deadline"
        self.recorder.end(question.at, outcome, now_ns(), self.recorder.name("error", error))

    async def _ask(self, question: _Question, value: int, connection: Connection) -> None:
        question.connection = connection
        question.retransmitted = -1 if question.late else _tcp(connection)[1]
        answered = await (connection.write(value) if self.target.writes else connection.read())
        self._ended(question, answered)
        if self.target.lane == "kept" and connection.usable and len(self.idle) < self.target.unanswered_max:
            self.idle.append(connection)
            await self._refill()
        else:
            with suppress(Exception):  # it is being thrown away: whatever closing it says is no news
                await connection.close()

    async def _refill(self) -> None:
        """Opens one more kept connection where some were lost: the next outage shall find as many of them as the first one."""
        if self.refilling or self.connecting or len(self.idle) + len(self.unanswered) >= self.target.unanswered_max:
            return
        self.refilling = True
        try:
            with suppress(ConnectionError):
                self.idle.append(await self.client.connect(self.target.address))
        finally:
            self.refilling = False

    def _ended(self, question: _Question, answered: Answered) -> None:
        self.unanswered.discard(question)
        if not question.late:
            error = self.recorder.name("error", answered.error) if answered.error else 0
            self.recorder.end(question.at, answered.outcome, now_ns(), error, answered.seen)
        elif question.connection is not None and _tcp(question.connection)[1] == question.retransmitted:
            # Nothing was sent twice: the question had arrived, so until now it really was not answered. After a
            # retransmission, or a deadline that passed while it connected, the wait is partly TCP's own back-off, and
            # proves nothing about the server.
            self.recorder.answered(question.at, now_ns(), ok=answered.outcome is Outcome.OK)

    async def _ask_anew(self, question: _Question, value: int) -> None:
        """Connects, then asks. Where connections are kept, or after a failure, it first sees whether TCP connects at all.

        Of the tries that reach the server at once after it was gone, one connects; the others prove nothing.
        """
        kept = self.target.lane == "kept"
        question.reaching = kept or self.wary
        failure = await self._reachable() if question.reaching else None
        if kept and failure is None and self.connecting:
            self.unanswered.discard(question)
            if not question.late:
                self.recorder.end(question.at, Outcome.NOT_SENT, now_ns(), self.recorder.name("error", "no connection free"))
            return
        question.reaching = False
        self.logging_in.add(question)
        try:
            if failure is None:
                connection = await self.client.connect(self.target.address)
        except ConnectionError as problem:
            failure = str(problem)
        finally:
            self.logging_in.discard(question)
        self.wary = failure is not None
        if failure is not None:
            # The write was never sent, so it is known not to have happened.
            self._ended(question, Answered(Outcome.FAILED, failure))
            return
        await self._ask(question, value, connection)

    async def _reachable(self) -> str | None:
        """None when the address takes TCP connections, else why not. Costs a server without a listener nothing."""
        probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            to = self.client.where(self.target.address) if isinstance(self.client, FindsItsWay) else self.target.address
            async with asyncio.timeout(self.target.deadline_ms / 1000):
                await asyncio.get_running_loop().sock_connect(probe, (to.host, to.port))
        except TimeoutError:
            return _CONNECT_DEADLINE
        except ConnectionRefusedError:
            return "connection refused"
        except OSError as problem:
            return problem.strerror or "connection failed"
        finally:
            # Reset rather than closed in order: no socket stays in TIME_WAIT, no server waits for a login.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            probe.close()
        return None


def _tcp(connection: Connection) -> tuple[int, int]:
    """Of a connection's TCP: how many segments are not acknowledged, and how many were sent again since it was opened."""
    try:
        info = connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
    except OSError:
        return 0, -1  # closed: nothing is known
    return struct.unpack_from("=I", info, _UNACKNOWLEDGED_AT)[0], struct.unpack_from("=I", info, _TOTAL_RETRANSMITS_AT)[0]
