"""What does the open-loop engine need of a protocol?"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from harness.recording import NOTHING, Outcome


@dataclass(frozen=True)
class Answered:
    """How a question ended: its outcome and, unless ok, the error's class; a read may tell the value that it has `seen`."""

    outcome: Outcome
    error: str = ""
    seen: int = NOTHING


@dataclass(frozen=True)
class Address:
    """Where a probe connects to.

    Where data is in parts and clients find their way to each by themselves, it is where they begin to ask: `leads` says what they
    look for, the `writer` or the `reader` of a `shard`; empty is the very node at the address.
    """

    host: str
    port: int
    leads: str = ""
    shard: str = ""


_WORDS = (
    ("refused", "connection refused"),
    ("reset by peer", "connection reset"),
    ("closed the connection", "connection closed"),
    ("closed by server", "connection closed"),
    ("timeout", "timeout"),
    ("is closed", "connection closed"),
    ("consuming input failed", "connection reset"),
)


def network_error(text: str) -> str:
    """One of a few words for what a driver said about a connection, where the server itself said nothing."""
    return next((word for said, word in _WORDS if said in text), "connection failed")


class Connection(Protocol):
    """A connection to a server, with one question under way at most."""

    @property
    def socket(self) -> socket.socket:
        """A second handle on its socket, by which TCP can be asked or the session shut from outside its driver."""

    async def write(self, value: int) -> Answered:
        """Writes one unique value; never raises for what a server or a network does."""

    async def read(self) -> Answered:
        """Reads something cheap; where it is the newest value of all, it tells how far behind a replica is."""

    async def clear(self) -> None:
        """Removes everything that probes wrote. Raises ConnectionError, its text the error's class."""

    @property
    def usable(self) -> bool:
        """Whether another question can be asked on it."""

    async def role(self) -> dict[str, Any]:
        """What the server says of its own role: `role` is primary or replica; more keys as it likes."""

    async def close(self) -> None: ...


class Client(Protocol):
    """Opens connections of one protocol. Raises ConnectionError, its text the error's class."""

    async def connect(self, address: Address) -> Connection: ...


@runtime_checkable
class FindsItsWay(Protocol):
    """A client that learns from the system itself where to connect to."""

    def where(self, address: Address) -> Address:
        """Where a connection to an address would lead now."""
