"""How is a server asked in RESP, Redis's protocol, on one connection that nothing opens anew?

redis-py's own connections connect again when they are used after an error, and time answers out by themselves; a probe must
know of both. Only its parser (hiredis) is used here.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any, cast

import hiredis

from harness.probes.contract import Address, network_error

CONNECT_TIMEOUT_S = 10  # gives a login up that nobody answers; what waits until then is capped by the lane


class Lost(Exception):
    """The connection ended before the answer came; its text is the error's class."""


class Said(Exception):
    """The server answered with an error; its text is the error's class, `whole` all that it said."""

    def __init__(self, whole: str) -> None:
        super().__init__(word_of(whole))
        self.whole = whole


def word_of(error: str) -> str:
    """The class of an error that a server sent: its first word, in capitals, or what it says where that is only `ERR`."""
    word, _, rest = error.partition(" ")
    return f"ERR {rest[:60]}".rstrip() if word == "ERR" else word


class Resp(asyncio.Protocol):
    """A connection with one question under way at most."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._answer: asyncio.Future[Any] | None = None
        self.broken: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self.socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        reply = self._reader.gets()
        if reply is not False:
            self._answered(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(network_error(str(exc).lower()) if exc else "connection closed")

    def _break(self, why: str) -> None:
        """Nothing more will come: whoever waits is told so."""
        self.broken = self.broken or why
        self._answered(Lost(self.broken))

    def _answered(self, reply: Any) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():  # a login that took too long waits no more
            answer.set_result(reply)

    @property
    def idle(self) -> bool:
        return self.broken is None and self._answer is None

    async def ask(self, *words: bytes) -> Any:
        """The reply: int, bytes, None or a list. Raises Said for an error that the server sent, Lost when none came."""
        self._answer = asyncio.get_running_loop().create_future()
        waiting = self._answer
        self._transport.write(packed(words))
        reply = await waiting
        if isinstance(reply, Lost):
            raise reply
        if isinstance(reply, hiredis.ReplyError):
            raise Said(str(reply))
        return reply

    def close(self) -> None:
        """Ends it at once, whatever is under way."""
        self._break("connection closed")
        self._transport.abort()
        self.socket.close()


def packed(words: Sequence[bytes]) -> bytes:
    """A command as it is sent."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


async def connected(address: Address, user: str, password: str) -> Resp:
    """A connection that is logged in. Raises ConnectionError, its text the error's class."""
    made: list[Resp] = []

    def protocol() -> Resp:
        made.append(Resp())
        return made[-1]

    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await asyncio.get_running_loop().create_connection(protocol, address.host, address.port)
            await connection.ask(b"AUTH", user.encode(), password.encode())
    except (Said, Lost, TimeoutError, OSError) as problem:
        for one in made:
            if hasattr(one, "socket"):
                one.close()
        raise ConnectionError(_why(problem)) from None
    return connection


def _why(problem: Exception) -> str:
    if isinstance(problem, Said | Lost):
        return str(problem)
    if isinstance(problem, TimeoutError):
        return "timeout"
    return "connection refused" if isinstance(problem, ConnectionRefusedError) else network_error(str(problem).lower())
