"""How do a workload's users talk to PostgreSQL, and what do its errors mean?"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, TypeVar

import psycopg
from gevent.hub import get_hub

from harness.probes.postgresql import error_class, network_error, outcome_of_failed_write
from harness.recording import Outcome
from harness.sessions import Login, Session

FETCHED = 20_000  # values at once
_UNENCRYPTED = {"sslmode": "disable", "gssencmode": "disable"}
Answer = TypeVar("Answer")


class Connection(psycopg.Connection[Any]):
    """One on which the other users go on while it waits; a gevent.Timeout ends the waiting.

    psycopg waits by `select.poll`, of which gevent makes a new one, with a timer, whenever it is asked. This one keeps its
    watchers of gevent's event loop.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._watchers: dict[int, Any] = {}  # what is waited for → the watcher of it

    def wait(self, gen: Generator[Any, Any, Answer], *arguments: Any, **named: Any) -> Answer:
        """Carries out what psycopg does on the connection, and waits whenever it says so."""
        if named.get("timeout") is not None:
            return super().wait(gen, *arguments, **named)
        hub, watchers = get_hub(), self._watchers
        try:
            wanted = next(gen)
            while True:
                watcher = watchers.get(wanted)
                if watcher is None:
                    watcher = watchers[wanted] = hub.loop.io(self.pgconn.socket, wanted)
                hub.wait(watcher)
                # Who waits for either of two may be told both: reading what is not there does nothing.
                wanted = gen.send(wanted)
        except StopIteration as over:
            answer: Answer = over.value
            return answer

    def close(self) -> None:
        """Closes it, and forgets its socket, whose number the next connection may get."""
        for watcher in self._watchers.values():
            watcher.close()
        self._watchers.clear()
        super().close()


class PostgresqlSession(Session):
    """A session in autocommit."""

    def __init__(self, login: Login, reconnect_s: float) -> None:
        super().__init__(login, reconnect_s)
        self._warned: list[str] = []
        self._cursor: psycopg.Cursor[Any]  # one for all operations: a new one for each costs a tenth of what it asks

    def open(self) -> Connection:
        try:
            connection = Connection.connect(**_parameters(self._login), autocommit=True)
        except psycopg.Error as error:
            raise ConnectionError(error_class(error)) from None
        except OSError as error:
            raise ConnectionError(network_error(str(error))) from None
        connection.add_notice_handler(self._notice)
        self._cursor = connection.cursor()
        return connection

    def _notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        if (diagnostic.sqlstate or "").startswith("01"):
            self._warned.append(f"{diagnostic.sqlstate} warning")

    def execute(self, statement: str, parameters: tuple[Any, ...]) -> tuple[Outcome, str]:
        """Runs one statement in autocommit; a commit acknowledged with a warning stays unknown."""
        return self._execute(statement, parameters)[:2]

    def row(self, statement: str, parameters: tuple[Any, ...]) -> tuple[Outcome, str, tuple[Any, ...] | None]:
        """The same, and the first row that it returns."""
        outcome, error, cursor = self._execute(statement, parameters)
        return outcome, error, cursor.fetchone() if cursor is not None else None

    def look_up(self, key: int) -> tuple[Outcome, str, str | None]:
        """The outcome, the error's class, and an item's value: None where there is no such item."""
        outcome, error, row = self.row("SELECT value FROM items WHERE id = %s", (key,))
        return outcome, error, row[0] if row else None

    def change(self, key: int, text: str, value: int) -> tuple[Outcome, str]:
        """Gives an item another value, and notes a number of its own for that, both or neither."""
        return self.execute(
            "WITH changed AS (UPDATE items SET value = %s WHERE id = %s) INSERT INTO changes (value) VALUES (%s)",
            (text, key, value),
        )

    def _execute(self, statement: str, parameters: tuple[Any, ...]) -> tuple[Outcome, str, psycopg.Cursor[Any] | None]:
        assert self._connection is not None, "connect first"
        self._warned.clear()
        try:
            cursor = self._cursor.execute(statement, parameters, prepare=True)
        except psycopg.Error as error:
            reads = statement.startswith("SELECT")
            answered = outcome_of_failed_write(error)
            if self._connection.closed or self._connection.broken:
                self.drop()
            return (Outcome.FAILED if reads else answered.outcome), answered.error, None
        if self._warned:
            return Outcome.UNKNOWN, self._warned[0], None
        return Outcome.OK, "", cursor


class Postgresql:
    """PostgreSQL through psycopg. Workloads have a schema of their own, away from what others keep in the same database."""

    errors: ClassVar[tuple[type[Exception], ...]] = (psycopg.Error,)

    def session(self, login: Login, reconnect_s: float) -> PostgresqlSession:
        return PostgresqlSession(login, reconnect_s)

    def opened(self, login: Login) -> AbstractContextManager[psycopg.Connection[Any]]:
        return psycopg.connect(**_parameters(login), connect_timeout=5)

    @contextmanager
    def reading(self, login: Login) -> Iterator[psycopg.Connection[Any]]:
        with self.opened(login) as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection

    def clear(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute("DROP SCHEMA IF EXISTS workload CASCADE")
        connection.execute("CREATE SCHEMA workload")

    def probed(self, connection: psycopg.Connection[Any]) -> Iterator[list[int]]:
        with connection.cursor(name="probes") as cursor:
            cursor.execute("SELECT value FROM probe")
            while rows := cursor.fetchmany(FETCHED):
                yield [row[0] for row in rows]

    def told(self, error: Exception) -> tuple[str, bool]:
        assert isinstance(error, psycopg.Error), "one of our errors"
        return error_class(error), outcome_of_failed_write(error).outcome is Outcome.FAILED

    def variables(self, login: Login) -> dict[str, str]:
        # libpq's own: a schema for the workload, which is empty when a run begins, and no encryption, as everybody here.
        return {
            "HARNESS_DATABASE": login["dbname"],
            "PGOPTIONS": login["options"],
            "PGSSLMODE": "disable",
            "PGGSSENCMODE": "disable",
        }

    # --- as an origin ---

    def stock(self, connection: psycopg.Connection[Any], items: Iterable[tuple[int, str]]) -> None:
        """Makes the tables of items and of changes, and puts items (key, value) there.

        No unique constraint on changes: one would hide duplicates.
        """
        connection.execute("CREATE TABLE items (id int PRIMARY KEY, value text NOT NULL) WITH (fillfactor = 50)")
        connection.execute("CREATE TABLE changes (value bigint NOT NULL)")
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO items VALUES (%s, %s)", list(items))

    def changed(self, connection: psycopg.Connection[Any]) -> Iterator[list[int]]:
        """The number of every change that is there, in pieces."""
        with connection.cursor(name="final") as cursor:
            cursor.itersize = FETCHED
            cursor.execute("SELECT value FROM changes")
            while rows := cursor.fetchmany(FETCHED):
                yield [row[0] for row in rows]

    def stocked(self, connection: psycopg.Connection[Any]) -> int:
        """How many items there are."""
        row = connection.execute("SELECT count(*) FROM items").fetchone()
        return row[0] if row else 0


def _parameters(login: Login) -> dict[str, Any]:
    """A login as libpq's parameters."""
    return {key: value for key, value in login.items() if key != "protocol"} | _UNENCRYPTED
