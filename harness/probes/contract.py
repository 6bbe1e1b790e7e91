"""What does the open-loop engine need of a protocol?"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any, Protocol

from harness.recording import Outcome


@dataclass(frozen=True)
class Answered:
    """How a question ended: its outcome and, unless ok, the error's class."""

    outcome: Outcome
    error: str = ""


@dataclass(frozen=True)
class Address:
    """Where a probe connects to."""

    host: str
    port: int


class Connection(Protocol):
    """A connection to a server, with one question under way at most."""

    @property
    def socket(self) -> socket.socket:
        """A second handle on its socket, by which TCP can be asked or the session shut from outside its driver."""

    async def write(self, value: int) -> Answered:
        """Writes one unique value; never raises for what a server or a network does."""

    async def read(self) -> Answered:
        """Reads something cheap."""

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
