"""How long does each kind of client wait for an answer, when it waits as long as its own settings let it?

Options are read on any machine; the rest runs in client nodes, where Locust and psycopg are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, product
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from harness.recording import Outcome
from harness.units import MoreThan

if TYPE_CHECKING:
    import locust
    import psycopg

    from harness.load import Context
    from harness.sessions.postgresql import PostgresqlSession

Kind = Literal["default", "keepalives", "tcp_user_timeout", "watchdog"]
Path = Literal["writer", "direct"]
LANE = "client:"  # before the kind of client, so that nobody takes it for a probe or for a workload that keeps a schedule
QUERY_S = 2  # how long the server works on a query


def settings(kind: Kind, deadline_s: int) -> dict[str, Any]:
    """What a kind of client tells its driver (libpq's parameters), to give up after `deadline_s` where it can.

    A watchdog has none but the one for connecting: it watches the clock itself, and shuts its socket.
    """
    connecting = {"connect_timeout": deadline_s}
    return {
        "default": {},
        "keepalives": connecting | {"keepalives_idle": max(1, deadline_s - 2), "keepalives_interval": 1, "keepalives_count": 2},
        "tcp_user_timeout": connecting | {"tcp_user_timeout": deadline_s * 1000},
        "watchdog": connecting,
    }[kind]


@dataclass(frozen=True)
class Patient:
    """Clients of several kinds that are never cut short by the harness: how long they wait is what is asked.

    `clients` are the kinds: `default` (libpq as it comes), `keepalives`, `tcp_user_timeout`, `watchdog` (its own clock, and
    it shuts its socket). All but the first mean to give up after `deadline`, which is also their `connect_timeout`.
    `paths` are how they connect: to the `writer` endpoint, or `direct` to the databases' own addresses, of which
    the driver chooses the one that takes writes. Of each kind and path one user appends entries, which the server answers at
    once, and one asks a query on which it works for two seconds, so that it waits for an answer at any moment. A zone's
    `users` are these in turn; all together they ask at most `rate` operations a second, one after the other.
    """

    protocols: ClassVar[tuple[str, ...]] = ("postgresql",)
    sets: ClassVar[dict[str, str]] = {"insert": "patient"}  # kind of operation → set of the final reads

    clients: tuple[Kind, ...] = ("default", "keepalives", "tcp_user_timeout", "watchdog")
    paths: tuple[Path, ...] = ("writer", "direct")
    users: Annotated[int, MoreThan(0)] = 48
    rate_per_s: Annotated[float, MoreThan(0)] = 48
    zones: str | tuple[str, ...] = "all"
    deadline_s: Annotated[int, MoreThan(2)] = 5  # libpq's parameters are whole seconds

    def __post_init__(self) -> None:
        if not self.clients or not self.paths:
            raise ValueError("clients and paths need at least one each")

    def invariants(self) -> dict[str, int]:
        """None but its entries."""
        return {}

    def deadlines(self) -> dict[str, float]:
        """Who answers to itself for never waiting longer: lane → seconds."""
        return {f"{LANE}{kind}": self.deadline_s for kind in self.clients if kind == "watchdog"}

    def prepare(self, connection: psycopg.Connection[Any]) -> None:
        """Makes the table. No unique constraint on the entries: one would hide duplicates."""
        connection.execute("CREATE TABLE patient (value bigint NOT NULL)")

    def final_reads(self, connection: psycopg.Connection[Any]) -> Iterator[tuple[str, list[int]]]:
        """Every value, in pieces."""
        with connection.cursor(name="final") as cursor:
            cursor.execute("SELECT value FROM patient")
            while rows := cursor.fetchmany(20_000):
                yield "patient", [row[0] for row in rows]

    def facts(self, connection: psycopg.Connection[Any]) -> dict[str, Any]:
        """None."""
        del connection
        return {}

    def user_class(self, context: Context) -> type[locust.User]:
        """A Locust user that asks, waits, and asks again at its next turn; what it waits for is all on record."""
        import gevent  # noqa: PLC0415 (not on the machines that read options)
        import locust  # noqa: PLC0415

        from harness.clock import now_ns  # noqa: PLC0415

        recorder = context.recorder
        numbers = count()  # whoever is started anew, by Locust's web UI, is a client of its own
        sorts = list(product(self.clients, self.paths, ("insert", "read")))
        patient = self

        class PatientUser(locust.User):
            def on_start(self) -> None:
                self.number = next(numbers)
                self.client, path, self.kind = sorts[self.number % len(sorts)]
                address = _everywhere(context.direct) if path == "direct" else context.login
                self.session: Any = context.driver.session(address | settings(self.client, patient.deadline_s), reconnect_s=0)
                self.lane = recorder.name("lane", f"{LANE}{self.client}")
                self.endpoint = recorder.name("endpoint", path)
                gevent.with_timeout(patient.deadline_s * 5, self.session.connect, timeout_value="deadline")
                context.connected += 1
                while not context.start.exists():
                    gevent.sleep(0.05)
                self.turn = int(context.start.read_text()) + context.slot(self.number)

            def on_stop(self) -> None:
                self.session.drop()

            def wait_time(self) -> float:
                while self.turn < now_ns():
                    self.turn += context.interval_ns
                return max(0, self.turn - now_ns()) / 1e9

            @locust.task
            def act(self) -> None:
                if not self.session.connected:
                    return self._record("connect", -1)
                return self._record(self.kind, context.unique() if self.kind == "insert" else -1)

            def _record(self, kind: str, value: int) -> None:
                started = now_ns()
                at = recorder.begin(
                    self.lane, recorder.name("kind", kind), self.endpoint,
                    client=self.number, intended=started, started=started, value=value,
                )  # fmt: skip
                expired = gevent.Timeout(patient.deadline_s if self.client == "watchdog" else None)
                outcome, error = Outcome.UNKNOWN if kind == "insert" else Outcome.FAILED, "deadline"
                try:
                    with expired:
                        outcome, error = _ask(self.session, kind, value)
                except gevent.Timeout as timeout:
                    if timeout is not expired:
                        raise
                    self.session.drop()
                ended = now_ns()
                recorder.end(at, outcome, ended, recorder.name("error", error))
                self.environment.events.request.fire(
                    request_type=kind, name=self.client, response_time=(ended - started) / 1e6, response_length=0,
                    exception=None if outcome is Outcome.OK else RuntimeError(error), context={},
                )  # fmt: skip

        return PatientUser


def _everywhere(direct: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A login at every database's own address, of which libpq takes the first that lets it write."""
    logins = list(direct.values())
    return logins[0] | {"host": ",".join(login["host"] for login in logins), "target_session_attrs": "read-write"}


def _ask(session: PostgresqlSession, kind: str, value: int) -> tuple[Outcome, str]:
    if kind == "connect":
        why = session.connect()
        return (Outcome.FAILED, why) if why else (Outcome.OK, "")
    if kind == "read":
        return session.execute(f"SELECT pg_sleep({QUERY_S})", ())
    return session.execute("INSERT INTO patient (value) VALUES (%s)", (value,))
