"""What does a PostgreSQL server answer to the cheapest write, read and question about its role?"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.errors import Diagnostic
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult

from harness.probes import contract
from harness.probes.contract import Address, Answered
from harness.recording import Outcome

OK = Answered(Outcome.OK)
CONNECT_TIMEOUT_S = 10  # gives a login up that nobody answers; what waits until then is capped by the lane
# The session is ended by the server (class 57P) or the connection failed (class 08): a commit may have happened.
_UNSURE = ("57P", "08", "40003")


def error_class(error: psycopg.Error) -> str:
    """`25006 read_only_sql_transaction` with an SQLSTATE, else a word for what the network did."""
    return _state_class(error.sqlstate) if error.sqlstate else network_error(str(error))


def _state_class(state: str) -> str:
    try:
        return f"{state} {_spaced(psycopg.errors.lookup(state).__name__)}"
    except KeyError:
        return state


def network_error(text: str) -> str:
    """One of a few words for what the driver said about a connection without an SQLSTATE."""
    word = contract.network_error(text)
    at_work = word == "connection failed" and ("starting up" in text or "shutting down" in text)
    return "57P03 cannot_connect_now" if at_work else word


def _spaced(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def outcome_of_failed_write(error: psycopg.Error) -> Answered:
    """Whether a write that ended with an error is known not to have happened."""
    state = error.sqlstate or ""
    known = bool(state) and not state.startswith(_UNSURE)
    return Answered(Outcome.FAILED if known else Outcome.UNKNOWN, error_class(error))


class PostgresqlConnection:
    """A session in autocommit, asked through libpq itself: a probe every 20 ms must cost its machine little.

    A warning during a write leaves its outcome unknown. Statements are prepared when they are asked a second time, so
    that a connection which is used once pays for no round trip more.
    """

    def __init__(self, session: AsyncConnection[Any]) -> None:
        self._session = session
        self._libpq = session.pgconn
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[PGresult | str] | None = None
        self._result: PGresult | None = None
        self._broken: str | None = None
        self._times_asked: dict[bytes, int] = {}
        self._warned: list[str] = []
        session.add_notice_handler(self._notice)
        # libpq closes its own descriptor when the session breaks, while ours keeps the socket open: were the loop watching
        # libpq's, it would go on telling of a socket that is dead to whoever opens the next one, under the same number.
        self.socket = socket.socket(fileno=os.dup(self._libpq.socket))
        self._loop.add_reader(self.socket, self._readable)

    def _notice(self, diagnostic: Diagnostic) -> None:
        # A commit whose wait for the replica was cancelled is acknowledged, with a warning (class 01).
        if (diagnostic.sqlstate or "").startswith("01"):
            self._warned.append(f"{diagnostic.sqlstate} warning")

    def _readable(self) -> None:
        try:
            self._read()
            # An answer and a reset may come together. libuv then tells of both at once, and never again.
            self._read()
        except psycopg.OperationalError as error:
            self._break(network_error(str(error)))

    def _read(self) -> None:
        """Takes what has come, and hands a whole answer on. Raises OperationalError when nothing more will come."""
        self._libpq.consume_input()
        while not self._libpq.is_busy():
            result = self._libpq.get_result()
            if result is None:
                break
            self._result = result
        else:
            return
        if self._result is not None and self._answer is not None:
            answer, self._answer, result, self._result = self._answer, None, self._result, None
            answer.set_result(result)

    def _break(self, why: str) -> None:
        """Nothing more will come: whoever waits is told so."""
        self._loop.remove_reader(self.socket)
        self._broken = why
        if self._answer is not None:
            answer, self._answer = self._answer, None
            answer.set_result(self._error_of(self._result) or why)

    def _error_of(self, result: PGresult | None) -> str:
        """The class of the error that a server sent before it closed the session; empty when it sent none."""
        state = result.error_field(DiagnosticField.SQLSTATE) if result is not None else None
        return _state_class(state.decode()) if state else ""

    async def _ask(self, statement: bytes, *parameters: bytes) -> PGresult | str:
        """The server's result, or the class of the error with which the session ended."""
        times = self._times_asked[statement] = self._times_asked.get(statement, 0) + 1
        if times == 2:
            prepared = await self._send(lambda: self._libpq.send_prepare(statement, statement))
            if isinstance(prepared, str) or prepared.status != ExecStatus.COMMAND_OK:
                return prepared
        if times == 1:
            return await self._send(lambda: self._libpq.send_query_params(statement, parameters))
        return await self._send(lambda: self._libpq.send_query_prepared(statement, parameters))

    async def _send(self, send: Callable[[], None]) -> PGresult | str:
        answer: asyncio.Future[PGresult | str] = self._loop.create_future()
        self._answer = answer
        try:
            send()
            self._libpq.flush()
        except psycopg.OperationalError as error:
            self._break(network_error(str(error)))
        return await answer

    @property
    def usable(self) -> bool:
        """Whether another question can be asked on it."""
        return self._broken is None and self._answer is None

    async def write(self, value: int) -> Answered:
        """Writes one unique value."""
        if self._broken is not None:  # it was closed while nothing was under way: nothing is sent
            return Answered(Outcome.FAILED, self._broken)
        self._warned.clear()
        result = await self._ask(b"INSERT INTO probe (value) VALUES ($1)", str(value).encode())
        if isinstance(result, str):
            return Answered(Outcome.UNKNOWN, result)
        if result.status != ExecStatus.COMMAND_OK:
            error = self._error_of(result) or "error"
            return Answered(Outcome.UNKNOWN if error.startswith(_UNSURE) else Outcome.FAILED, error)
        return Answered(Outcome.UNKNOWN, self._warned[0]) if self._warned else OK

    async def read(self) -> Answered:
        """Reads one value."""
        if self._broken is not None:
            return Answered(Outcome.FAILED, self._broken)
        result = await self._ask(b"SELECT value FROM probe LIMIT 1")
        if isinstance(result, str):
            return Answered(Outcome.FAILED, result)
        return OK if result.status == ExecStatus.TUPLES_OK else Answered(Outcome.FAILED, self._error_of(result) or "error")

    async def role(self) -> dict[str, Any]:
        """What the server says of itself."""
        result = self._broken or await self._ask(b"SELECT pg_is_in_recovery()")
        if isinstance(result, str) or result.status != ExecStatus.TUPLES_OK:
            return {"role": "unreachable"}
        return {"role": "replica" if result.get_value(0, 0) == b"t" else "primary"}

    async def clear(self) -> None:
        """Removes every value that probes wrote."""
        result = self._broken or await self._ask(b"TRUNCATE probe")
        if isinstance(result, str) or result.status != ExecStatus.COMMAND_OK:
            raise ConnectionError(result if isinstance(result, str) else self._error_of(result))

    async def close(self) -> None:
        """Ends the session."""
        if self._broken is None:
            self._break("connection closed")
        await self._session.close()
        self.socket.close()


@dataclass(frozen=True)
class Postgresql:
    """Opens sessions as one user, without retries and without TLS."""

    user: str
    password: str = field(repr=False)
    database: str

    async def connect(self, address: Address) -> PostgresqlConnection:
        try:
            session = await AsyncConnection.connect(
                host=address.host, port=address.port, user=self.user, password=self.password, dbname=self.database,
                autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, sslmode="disable", gssencmode="disable",
                application_name="harness probe",
            )  # fmt: skip
        except psycopg.Error as error:
            raise ConnectionError(error_class(error)) from None
        except (OSError, asyncio.IncompleteReadError) as error:
            raise ConnectionError(network_error(str(error))) from None
        return PostgresqlConnection(session)
