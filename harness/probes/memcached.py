"""What does a Memcached node answer to the cheapest write, read and question about itself?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.probes._stream import Stream, connected
from harness.probes.contract import Address, Answered
from harness.recording import Outcome

OK = Answered(Outcome.OK)
PREFIX = "probe:"  # of every key that a probe writes: the value itself comes after it, so that keys tell what is there
_READ = f"get {PREFIX}0\r\n".encode()


class MemcachedConnection(Stream[bytes]):
    """One connection that speaks the text protocol, whose answers end with a line: there is nothing to log in to."""

    def _whole(self, received: bytes) -> bytes | None:
        return received[:-2] if received.endswith(b"\r\n") else None

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


def error_of(said: bytes) -> str:
    """The class of what a server says instead of an acknowledgement: `SERVER_ERROR out of memory storing object`."""
    return said.decode("ascii", "replace") or "error"


@dataclass(frozen=True)
class Memcached:
    """Opens connections, without retries."""

    async def connect(self, address: Address) -> MemcachedConnection:
        return await connected(MemcachedConnection, address)
