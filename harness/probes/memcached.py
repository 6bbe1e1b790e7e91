"""What does a Memcached node answer to the cheapest write, read and question about itself?"""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from typing import Any, cast

from harness.probes.contract import Address, Answered, network_error
from harness.recording import Outcome

OK = Answered(Outcome.OK)
CONNECT_TIMEOUT_S = 10  # gives up what nobody answers; what waits until then is capped by the lane
PREFIX = "probe:"  # of every key that a probe writes: the value itself comes after it, so that keys tell what is there
_READ = f"get {PREFIX}0\r\n".encode()


class MemcachedConnection(asyncio.Protocol):
    """One connection that speaks the text protocol, whose answers end with a line: there is nothing to log in to."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[bytes | str] | None = None
        self._broken: str | None = None
        self._transport: asyncio.Transport
        self.socket: socket.socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of a class of its own
        own = transport.get_extra_info("socket")
        self.socket = socket.socket(fileno=os.dup(own.fileno()))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"\r\n"):
            received, self._received = self._received, b""
            self._end(received[:-2])

    def connection_lost(self, exc: Exception | None) -> None:
        why = network_error(str(exc)) if exc else "connection closed"
        self._broken = self._broken or why
        self._end(self._broken)

    def _end(self, answer: bytes | str) -> None:
        waiting, self._answer = self._answer, None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    async def _ask(self, question: bytes) -> bytes | str:
        """The last line of the answer, or the class of the error with which the connection ended."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(question)
        return await self._answer

    @property
    def usable(self) -> bool:
        """Whether another question can be asked on it."""
        return self._broken is None and self._answer is None

    async def write(self, value: int) -> Answered:
        """Writes one unique value."""
        if self._broken is not None:  # it was closed while nothing was under way: nothing is sent
            return Answered(Outcome.FAILED, self._broken)
        said = await self._ask(f"set {PREFIX}{value} 0 0 1\r\n1\r\n".encode())
        if said == b"STORED":
            return OK
        if isinstance(said, str):
            return Answered(Outcome.UNKNOWN, said)
        return Answered(Outcome.FAILED, error_of(said))  # the server says that it did not: out of memory, for one

    async def read(self) -> Answered:
        """Reads a key that is not there."""
        if self._broken is not None:
            return Answered(Outcome.FAILED, self._broken)
        said = await self._ask(_READ)
        if said == b"END":
            return OK
        return Answered(Outcome.FAILED, said if isinstance(said, str) else error_of(said))

    async def role(self) -> dict[str, Any]:
        """A node that answers is the only one that keeps its part of the keys, so it is that part's primary."""
        said = self._broken or await self._ask(b"version\r\n")
        return {"role": "primary" if isinstance(said, bytes) and said.startswith(b"VERSION") else "unreachable"}

    async def clear(self) -> None:
        """Removes everything that the node holds."""
        said = self._broken or await self._ask(b"flush_all\r\n")
        if said != b"OK":
            raise ConnectionError(said if isinstance(said, str) else error_of(said))

    async def close(self) -> None:
        """Ends the connection."""
        self._broken = self._broken or "connection closed"
        self._transport.abort()
        self.socket.close()


def error_of(said: bytes) -> str:
    """The class of what a server says instead of an acknowledgement: `SERVER_ERROR out of memory storing object`."""
    return said.decode("ascii", "replace") or "error"


@dataclass(frozen=True)
class Memcached:
    """Opens connections, without retries."""

    async def connect(self, address: Address) -> MemcachedConnection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(MemcachedConnection, address.host, address.port)
        except TimeoutError:
            raise ConnectionError("timeout") from None
        except ConnectionRefusedError:
            raise ConnectionError("connection refused") from None
        except ConnectionResetError:  # asyncio's own text does not say it
            raise ConnectionError("connection reset") from None
        except OSError as error:
            raise ConnectionError(network_error(str(error))) from None
        return connection
