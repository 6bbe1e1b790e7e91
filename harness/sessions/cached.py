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


class OriginSession(Protocol):
    """What a protocol's session needs beside the rest, for its server to be what a cache stands in front of."""

    def look_up(self, key: int) -> tuple[Outcome, str, str | None]:
        """The outcome, the error's class, and an item's value: None where there is no such item."""

    def change(self, key: int, text: str, value: int) -> tuple[Outcome, str]:
        """Gives an item another value, and notes a number of its own for that, both or neither."""


class OriginDriver(Driver, Protocol):
    """What a protocol's driver needs beside the rest, for its server to be what a cache stands in front of."""

    def stock(self, connection: Any, items: Iterable[tuple[int, str]]) -> None:
        """Makes room for items and for changes, and puts items (key, value) there."""

    def changed(self, connection: Any) -> Iterator[list[int]]:
        """The number of every change that is there, in pieces."""

    def stocked(self, connection: Any) -> int:
        """How many items there are."""


class OriginError(Exception):
    """What an origin's library raised, as its driver tells it."""

    def __init__(self, name: str, refused: bool) -> None:
        super().__init__(name)
        self.name, self.refused = name, refused


class Origin(NamedTuple):
    """A connection to the origin, and who made it."""

    connection: Any
    driver: OriginDriver


class Connections(NamedTuple):
    """One to the cache and one to the origin, each of its own library, and who made them."""

    cache: Any
    of_cache: CacheDriver
    origin: Origin


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

    errors: ClassVar[tuple[type[Exception], ...]] = (OriginError,)

    def session(self, login: Login, reconnect_s: float) -> CachedSession:
        return CachedSession(login, reconnect_s)

    @contextmanager
    def opened(self, login: Login) -> Iterator[Connections]:
        cache, origin = _logins(login).values()
        with driver_of(cache).opened(cache) as of_cache, driver_of(origin).opened(origin) as of_origin:
            its = Origin(of_origin, cast("OriginDriver", driver_of(origin)))
            yield Connections(of_cache, cast("CacheDriver", driver_of(cache)), its)

    @contextmanager
    def reading(self, login: Login) -> Iterator[Origin]:
        """Final reads are the origin's alone."""
        driver = driver_of(login["origin"])
        try:
            with driver.reading(login["origin"]) as connection:
                yield Origin(connection, cast("OriginDriver", driver))
        except driver.errors as error:
            raise OriginError(*driver.told(error)) from None

    def clear(self, connection: Connections) -> None:
        connection.of_cache.clear(connection.cache)
        connection.origin.driver.clear(connection.origin.connection)

    def probed(self, connection: Origin) -> Iterator[list[int]]:
        yield from connection.driver.probed(connection.connection)

    def told(self, error: Exception) -> tuple[str, bool]:
        assert isinstance(error, OriginError), "one of our errors"
        return error.name, error.refused

    def variables(self, login: Login) -> dict[str, str]:
        found: dict[str, str] = {}
        for part in ("cache", "origin"):
            found |= driver_of(login[part]).variables(login[part])
        return found


def _logins(login: Login) -> dict[str, Login]:
    """What each side is logged in to with; whoever tells of nodes that come and go, tells the cache's clients."""
    told = {"members": login["members"]} if "members" in login else {}
    return {"cache": {**login["cache"], **told}, "origin": login["origin"]}
