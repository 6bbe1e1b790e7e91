"""Does a bank's ledger survive: every acknowledged entry there once, no money made or lost?

Options are read on any machine; the rest runs in client nodes, where Locust and psycopg are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from harness.sessions import Done
from harness.units import MoreThan

if TYPE_CHECKING:
    import psycopg

    from harness.load import Context
    from harness.sessions.postgresql import PostgresqlSession

BALANCE = 1000  # what each account holds at first


@dataclass(frozen=True)
class Ledger:
    """Unique numbered entries (60 %), transfers that keep a total (15 %) and reads (25 %), at a fixed arrival rate.

    `users` are spread evenly over `zones` (`all`, or a list); together they intend `rate` operations a second on an absolute
    schedule. An operation that could not begin before `deadline` has passed is not sent; `reconnect` is the least time
    between a user's attempts to connect; `accounts` is the number of accounts.
    """

    protocols: ClassVar[tuple[str, ...]] = ("postgresql",)
    sets: ClassVar[dict[str, str]] = {"write": "ledger"}  # kind of operation → set of the final reads
    mix: ClassVar[dict[str, float]] = {"write": 0.60, "transfer": 0.15, "read": 0.25}

    users: Annotated[int, MoreThan(0)] = 60
    rate_per_s: Annotated[float, MoreThan(0)] = 300
    zones: str | tuple[str, ...] = "all"
    deadline_s: Annotated[float, MoreThan(0)] = 1
    reconnect_s: Annotated[float, MoreThan(0)] = 0.5
    accounts: Annotated[int, MoreThan(1)] = 1000  # a transfer needs two

    def invariants(self) -> dict[str, int]:
        """What the final reads' facts must say."""
        return {"accounts_total": self.accounts * BALANCE}

    def prepare(self, connection: psycopg.Connection[Any]) -> None:
        """Makes the tables. No unique constraint on the entries: one would hide duplicates."""
        connection.execute("CREATE TABLE ledger (value bigint NOT NULL)")
        connection.execute("CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL) WITH (fillfactor = 50)")
        connection.execute(
            "INSERT INTO accounts SELECT number, %s FROM generate_series(0, %s) AS number", (BALANCE, self.accounts - 1)
        )

    def plan(self, kind: str, context: Context) -> tuple[int, int, Any]:
        """An operation's key, unique value and payload, drawn before it is sent."""
        random = context.random
        if kind == "transfer":
            source, target = sorted(random.sample(range(self.accounts), 2))  # one order: no deadlocks of our own making
            return source, -1, {"from": source, "to": target, "amount": random.randint(1, 5)}
        return random.randrange(self.accounts), context.unique() if kind == "write" else -1, None

    def perform(self, kind: str, session: PostgresqlSession, key: int, value: int, payload: Any) -> Done:
        """Carries one operation out; driver errors are the session's to classify."""
        if kind == "write":
            return Done(*session.execute("INSERT INTO ledger (value) VALUES (%s)", (value,)))
        if kind == "read":
            return Done(*session.execute("SELECT balance FROM accounts WHERE id = %s", (key,)))
        # One statement, hence one transaction and one round trip: a user's transfer never holds locks while it waits.
        moved = "UPDATE accounts SET balance = balance + CASE id WHEN %s THEN -%s::bigint ELSE %s::bigint END WHERE id IN (%s,%s)"
        amount, source, target = payload["amount"], payload["from"], payload["to"]
        return Done(*session.execute(moved, (source, amount, amount, source, target)))

    def final_reads(self, connection: psycopg.Connection[Any]) -> Iterator[tuple[str, list[int]]]:
        """Every value of every set, in pieces."""
        with connection.cursor(name="final") as cursor:
            cursor.itersize = 20_000
            cursor.execute("SELECT value FROM ledger")
            while rows := cursor.fetchmany(20_000):
                yield "ledger", [row[0] for row in rows]

    def facts(self, connection: psycopg.Connection[Any]) -> dict[str, Any]:
        """The invariants as a node has them."""
        row = connection.execute("SELECT sum(balance)::bigint FROM accounts").fetchone()
        return {"accounts_total": row[0] if row else None}
