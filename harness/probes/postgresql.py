"""What does a PostgreSQL server answer to the cheapest write, read and question about its role?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.errors import Diagnostic
from psycopg.pq import TransactionStatus

from harness.probes.contract import Address, Answered
from harness.recording import Outcome

OK = Answered(Outcome.OK)
CONNECT_TIMEOUT_S = 10  # gives a login up that nobody answers; what waits until then is capped by the lane
# The session is ended by the server (class 57P) or the connection failed (class 08): a commit may have happened.
_UNSURE = ("57P", "08", "40003")


def error_class(error: psycopg.Error) -> str:
    """`25006 read_only_sql_transaction` with an SQLSTATE, else a word for what the network did."""
    if error.sqlstate:
        return f"{error.sqlstate} {_spaced(type(error).__name__)}"
    return network_error(str(error))


def network_error(text: str) -> str:
    """One of a few words for what the driver said about a connection without an SQLSTATE."""
    for said, word in (
        ("refused", "connection refused"),
        ("reset by peer", "connection reset"),
        ("closed the connection", "connection closed"),
        ("timeout", "timeout"),
        ("is closed", "connection closed"),
        ("consuming input failed", "connection reset"),
        ("starting up", "57P03 cannot_connect_now"),
        ("shutting down", "57P03 cannot_connect_now"),
    ):
        if said in text:
            return word
    return "connection failed"


def _spaced(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def outcome_of_failed_write(error: psycopg.Error) -> Answered:
    """Whether a write that ended with an error is known not to have happened."""
    state = error.sqlstate or ""
    known = bool(state) and not state.startswith(_UNSURE)
    return Answered(Outcome.FAILED if known else Outcome.UNKNOWN, error_class(error))


@dataclass
class PostgresqlConnection:
    """A session in autocommit; a warning during a write leaves its outcome unknown."""

    session: AsyncConnection[Any]
    _warned: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.session.add_notice_handler(self._notice)

    def _notice(self, diagnostic: Diagnostic) -> None:
        # A commit whose wait for the replica was cancelled is acknowledged, with a warning (class 01).
        if (diagnostic.sqlstate or "").startswith("01"):
            self._warned.append(f"{diagnostic.sqlstate} warning")

    @property
    def descriptor(self) -> int:
        return self.session.fileno()

    @property
    def usable(self) -> bool:
        return not self.session.closed and self.session.info.transaction_status is TransactionStatus.IDLE

    async def write(self, value: int) -> Answered:
        self._warned.clear()
        try:
            await self.session.execute("INSERT INTO probe (value) VALUES (%s)", (value,), prepare=True)
        except psycopg.Error as error:
            return outcome_of_failed_write(error)
        except OSError as error:
            return Answered(Outcome.UNKNOWN, network_error(str(error)))
        return Answered(Outcome.UNKNOWN, self._warned[0]) if self._warned else OK

    async def read(self) -> Answered:
        try:
            await self.session.execute("SELECT value FROM probe LIMIT 1", prepare=True)
        except psycopg.Error as error:
            return Answered(Outcome.FAILED, error_class(error))
        except OSError as error:
            return Answered(Outcome.FAILED, network_error(str(error)))
        return OK

    async def role(self) -> dict[str, Any]:
        try:
            cursor = await self.session.execute("SELECT pg_is_in_recovery()", prepare=True)
            row = await cursor.fetchone()
        except (psycopg.Error, OSError):
            return {"role": "unreachable"}
        assert row is not None, "a SELECT without FROM has one row"
        return {"role": "replica" if row[0] else "primary"}

    async def close(self) -> None:
        await self.session.close()


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
