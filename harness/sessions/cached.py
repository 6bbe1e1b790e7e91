"""How do a workload's users talk to a cache and to the database behind it?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple, Protocol, cast

from harness.recording import Outcome
from harness.sessions import Driver, Login, Session, driver_of


class CacheSession(Protocol):
    """What a protocol's session needs beside the rest, for its server to be a cache."""

    def fetch(self, key: str) -> tuple[Outcome, str, str | None]:
        """The outcome, the error's class, and what the cache holds of a key: None where it has nothing."""

    def store(self, key: str, value: str, ttl_s: float = 0) -> tuple[Outcome, str]:
        """Keeps a value for `ttl_s`; for ever with 0."""

    def forget(self, key: str) -> tuple[Outcome, str]:
        """Removes a key, be it there or not."""


class CacheDriver(Driver, Protocol):
    """What a protocol's driver needs beside the rest, for its server to be a cache."""

    def fill(self, connection: Any, entries: Iterable[tuple[str, str, float]]) -> None:
        """Puts (key, value, ttl in s) into the cache."""


class Connections(NamedTuple):
    """One to the cache and one to the origin, each of its own library, and who made them."""

    cache: Any
    origin: Any
    drivers: tuple[CacheDriver, Driver]


class CachedSession(Session):
    """Two sessions, each of which connects when it is needed: while one side is down, what needs the other goes on."""

    def __init__(self, login: Login, reconnect_s: float) -> None:
        super().__init__(login, reconnect_s)
        logins = _logins(login)
        self.parts: dict[str, Any] = {name: driver_of(one).session(one, reconnect_s) for name, one in logins.items()}
        self._used = "cache"

    def open(self) -> Any:
        """Both are tried; one that cannot be had is tried again when it is needed."""
        for part in self.parts.values():
            part.connect()
        return self.parts

    @property
    def connected(self) -> bool:
        return self._connection is not None

    def part(self, name: str) -> tuple[Any, str | None]:
        """One of the two, and why it cannot be used, if so."""
        self._used = name
        part = self.parts[name]
        return part, None if part.connected else part.connect()

    def drop(self) -> None:
        """Throws the connection away that was in use last."""
        self.parts[self._used].drop()


class Cached:
    """A cache through its protocol's library, and its origin through that one's; what is final is the origin's."""

    errors: ClassVar[tuple[type[Exception], ...]] = ()

    def session(self, login: Login, reconnect_s: float) -> CachedSession:
        return CachedSession(login, reconnect_s)

    @contextmanager
    def opened(self, login: Login) -> Iterator[Connections]:
        cache, origin = _logins(login).values()
        with driver_of(cache).opened(cache) as of_cache, driver_of(origin).opened(origin) as of_origin:
            yield Connections(of_cache, of_origin, (cast("CacheDriver", driver_of(cache)), driver_of(origin)))

    reading = opened  # final reads are the origin's own, by its own protocol

    def clear(self, connection: Connections) -> None:
        for driver, part in zip(connection.drivers, connection[:2], strict=True):
            driver.clear(part)

    def probed(self, connection: Connections) -> Iterator[list[int]]:
        yield from connection.drivers[1].probed(connection.origin)

    def told(self, error: Exception) -> tuple[str, bool]:
        return type(error).__name__, False

    def variables(self, login: Login) -> dict[str, str]:
        found: dict[str, str] = {}
        for part in ("cache", "origin"):
            found |= driver_of(login[part]).variables(login[part])
        return found


def _logins(login: Login) -> dict[str, Login]:
    """What each side is logged in to with; whoever tells of nodes that come and go, tells the cache's clients."""
    told = {"members": login["members"]} if "members" in login else {}
    return {"cache": {**login["cache"], **told}, "origin": login["origin"]}
