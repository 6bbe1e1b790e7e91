"""How do a workload's users talk to Redis or Valkey, and what do its errors mean?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from harness.probes.contract import network_error
from harness.recording import Outcome
from harness.sessions import Login, Session

FETCHED = 20_000  # values at once
PREFIX = "workload:"  # of every key of a workload, away from what others keep in a server that lives on
# redis-py takes the code off an error's text where it has a class for it.
_CODES = (
    (redis.exceptions.ReadOnlyError, "READONLY"),
    (redis.exceptions.BusyLoadingError, "LOADING"),
    (redis.exceptions.MasterDownError, "MASTERDOWN"),
    (redis.exceptions.OutOfMemoryError, "OOM"),
    (redis.exceptions.NoPermissionError, "NOPERM"),
    (redis.exceptions.AuthenticationError, "WRONGPASS"),
    (redis.exceptions.MaxConnectionsError, "ERR max number of clients reached"),
)


class Answer(NamedTuple):
    """How a command ended: its outcome, the error's class, and the reply."""

    outcome: Outcome
    error: str = ""
    reply: Any = None


class RedisSession(Session):
    """One connection, through redis-py without its retries."""

    def open(self) -> redis.Redis:
        try:
            return client(self._login)
        except (redis.RedisError, OSError) as error:
            raise ConnectionError(told(error)[0]) from None

    def execute(self, *command: str | int, reads: bool = False) -> Answer:
        """Carries one command out. What was sent and not answered is unknown, or merely failed if it `reads`."""
        assert self._connection is not None, "connect first"
        try:
            return Answer(Outcome.OK, "", self._connection.execute_command(*command))
        except redis.RedisError as error:
            name, refused = told(error)
            if not isinstance(error, redis.ResponseError):
                self.drop()  # it would connect again by itself
            return Answer(Outcome.FAILED if reads or refused else Outcome.UNKNOWN, name)

    def fetch(self, key: str) -> tuple[Outcome, str, str | None]:
        """The outcome, the error's class, and what the cache holds of a key: None where it has nothing."""
        said = self.execute("GET", f"{PREFIX}{key}", reads=True)
        return said.outcome, said.error, said.reply

    def store(self, key: str, value: str, ttl_s: float = 0) -> tuple[Outcome, str]:
        """Keeps a value for `ttl_s`; for ever with 0."""
        said = self.execute("SET", f"{PREFIX}{key}", value, *(("PX", int(ttl_s * 1000)) if ttl_s else ()))
        return said.outcome, said.error

    def forget(self, key: str) -> tuple[Outcome, str]:
        """Removes a key, be it there or not."""
        said = self.execute("DEL", f"{PREFIX}{key}")
        return said.outcome, said.error


class Redis:
    """Redis or Valkey through redis-py. Every key of a workload begins with `workload:`."""

    errors: ClassVar[tuple[type[Exception], ...]] = (redis.RedisError,)

    def session(self, login: Login, reconnect_s: float) -> RedisSession:
        return RedisSession(login, reconnect_s)

    @contextmanager
    def opened(self, login: Login) -> Iterator[redis.Redis]:
        connection = client(login, timeout_s=5)
        try:
            yield connection
        finally:
            connection.close()

    reading = opened  # there is no view of one moment; nobody writes any more when final reads are made

    def clear(self, connection: redis.Redis) -> None:
        for names in batches(connection, f"{PREFIX}*"):
            connection.unlink(*names)

    def fill(self, connection: redis.Redis, entries: Iterable[tuple[str, str, float]]) -> None:
        """Puts (key, value, ttl in s) into the cache."""
        with connection.pipeline(transaction=False) as asked:
            for key, value, ttl_s in entries:
                asked.set(f"{PREFIX}{key}", value, px=int(ttl_s * 1000) if ttl_s else None)
            asked.execute()

    def probed(self, connection: redis.Redis) -> Iterator[list[int]]:
        first = 0
        while values := connection.lrange("probe", first, first + FETCHED - 1):
            yield [int(value) for value in values]
            first += FETCHED

    def told(self, error: Exception) -> tuple[str, bool]:
        return told(error)

    def variables(self, login: Login) -> dict[str, str]:
        del login
        return {"HARNESS_DATABASE": "0"}


def client(login: Login, timeout_s: float | None = None) -> redis.Redis:
    """A client with one connection, which is open and logged in; it never tries again."""
    return redis.Redis(
        host=login["host"], port=login["port"], username=login["user"], password=login["password"], protocol=2,
        decode_responses=True, single_connection_client=True, retry=Retry(NoBackoff(), 0), health_check_interval=0,
        socket_timeout=timeout_s, socket_connect_timeout=timeout_s,
    )  # fmt: skip


def batches(connection: redis.Redis, pattern: str) -> Iterator[list[str]]:
    """The names of all keys that match, some thousand at once."""
    cursor = 0
    while True:
        cursor, names = connection.scan(cursor, match=pattern, count=5000)
        if names:
            yield [str(name) for name in names]
        if not cursor:
            return


def told(error: Exception) -> tuple[str, bool]:
    """The class of an error, and whether the server itself said it, which means that nothing was done."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code, True
    if isinstance(error, redis.ResponseError):
        text = str(error).removeprefix("ERR ")
        word = text.partition(" ")[0]
        return (word if word.isupper() else f"ERR {text}"[:64]), True
    if isinstance(error, redis.TimeoutError):
        return "timeout", False
    return network_error(str(error).lower()), False
