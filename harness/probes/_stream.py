"""How does a probe ask one question after the other on a connection of its own, and hear each answer whole?"""

from __future__ import annotations

import asyncio
import os
import socket
from abc import abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from harness.probes.contract import Address, network_error

CONNECT_TIMEOUT_S = 10  # gives up what nobody answers; what waits until then is capped by the lane
Answer = TypeVar("Answer")


class Stream(asyncio.Protocol, Generic[Answer]):
    """One connection with one question under way at most; a protocol says where its answers end.

    Once it is broken, `_broken` is the class of the error.
    """

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[Answer | str] | None = None
        self._broken: str | None = None
        self._transport: asyncio.Transport
        self.socket: socket.socket

    @abstractmethod
    def _whole(self, received: bytes) -> Answer | None:
        """The answer; None while more of it must come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of a class of its own
        own = transport.get_extra_info("socket")
        self.socket = socket.socket(fileno=os.dup(own.fileno()))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if (answer := self._whole(self._received)) is not None:
            self._received = b""
            self._end(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        why = network_error(str(exc)) if exc else "connection closed"
        self._broken = self._broken or why
        self._end(self._broken)

    def _end(self, answer: Answer | str) -> None:
        waiting, self._answer = self._answer, None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    async def _ask(self, question: bytes) -> Answer | str:
        """The answer, or the class of the error with which the connection ended."""
        if self._broken is not None:
            return self._broken
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(question)
        return await self._answer

    @property
    def usable(self) -> bool:
        """Whether another question can be asked on it."""
        return self._broken is None and self._answer is None

    async def close(self) -> None:
        """Ends the connection."""
        self._broken = self._broken or "connection closed"
        self._transport.abort()
        self.socket.close()


Connection = TypeVar("Connection", bound=asyncio.Protocol)


async def connected(made: Callable[[], Connection], address: Address) -> Connection:
    """A connection to an address. Raises ConnectionError, its text the error's class."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await loop.create_connection(made, address.host, address.port)
    except TimeoutError:
        raise ConnectionError("timeout") from None
    except ConnectionRefusedError:
        raise ConnectionError("connection refused") from None
    except ConnectionResetError:  # asyncio's own text does not say it
        raise ConnectionError("connection reset") from None
    except OSError as error:
        raise ConnectionError(network_error(str(error))) from None
    return connection
