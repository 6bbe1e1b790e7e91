"""How do the users of a workload talk to a system, whatever it speaks?

One protocol a file: `harness/sessions/redis.py` is all of the load that knows Redis, and the only one of it that imports its
driver. The file's class (`Redis`) is a Driver; load processes choose it by the `protocol` of what they log in with.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NamedTuple, Protocol

from harness import registry
from harness.clock import SECOND_NS, now_ns
from harness.recording import Outcome

Login = Mapping[str, Any]  # what a topology's `login` says: `protocol`, `host`, `port`, and what else the protocol needs
PAUSING = "between attempts to connect"


class Done(NamedTuple):
    """How an operation ended: its outcome, the error's class, and, of a read, the number that was seen (-1: none)."""

    outcome: Outcome
    error: str = ""
    seen: int = -1


class Session(ABC):
    """One user's session: connects at a pace, classifies what the driver says, and is thrown away after a timeout.

    What can be asked on it is its protocol's matter: a statement of PostgreSQL, a command of Redis. No driver may try again.
    """

    def __init__(self, login: Login, reconnect_s: float) -> None:
        self._login = login
        self._pace = int(reconnect_s * SECOND_NS)
        self._next_attempt = 0
        self._connection: Any = None

    @abstractmethod
    def open(self) -> Any:
        """A connection that is logged in. Raises ConnectionError, its text the error's class."""

    @property
    def connected(self) -> bool:
        return self._connection is not None

    def connect(self) -> str | None:
        """None when connected, else why not. Attempts keep to the pace."""
        if self._connection is not None:
            return None
        if now_ns() < self._next_attempt:
            return PAUSING
        self._next_attempt = now_ns() + self._pace
        try:
            self._connection = self.open()
        except ConnectionError as problem:
            return str(problem)
        return None

    def drop(self) -> None:
        """Throws the connection away: after a timeout inside the driver it cannot be used again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self.close(connection)

    def close(self, connection: Any) -> None:
        """Closes a connection, whatever state it is in."""
        connection.close()


class Driver(Protocol):
    """What one protocol's library does for a load process."""

    errors: ClassVar[tuple[type[Exception], ...]]  # what the library raises for whatever a server or a network does

    def session(self, login: Login, reconnect_s: float) -> Session: ...
    def opened(self, login: Login) -> AbstractContextManager[Any]:
        """A connection of the library's own, on which a workload prepares; what was done counts once it is left."""

    def reading(self, login: Login) -> AbstractContextManager[Any]:
        """A connection for the final reads of one node: where the protocol can, all of them see one moment."""

    def clear(self, connection: Any) -> None:
        """Removes whatever workloads wrote before, and makes room for those to come."""

    def probed(self, connection: Any) -> Iterator[list[int]]:
        """Every value that the probes wrote and that the node holds, in pieces."""

    def told(self, error: Exception) -> tuple[str, bool]:
        """The class of one of `errors`, and whether a write that ended so is known not to have happened."""

    def variables(self, login: Login) -> dict[str, str]:
        """What else a program finds in its environment to log in with, beside HARNESS_USER and HARNESS_PASSWORD."""


def driver_of(login: Login) -> Driver:
    """Who speaks the protocol of a login."""
    driver: Driver = registry.find("sessions", login["protocol"])()
    return driver
