"""A probe's session that breaks leaves nothing behind that another one could take for its own, and nobody waiting."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from harness.probes.contract import Address
from harness.probes.postgresql import Postgresql, PostgresqlConnection
from harness.recording import Outcome

PATIENCE_S = 5


class Libpq:
    """A libpq whose server goes away: it notices when it reads, and closes its descriptor at once, as libpq does."""

    def __init__(self, descriptor: int) -> None:
        self.socket = descriptor

    def consume_input(self) -> None:
        os.close(self.socket)
        self.socket = -1
        raise psycopg.OperationalError("server closed the connection unexpectedly")


async def spurious() -> tuple[bool, bool]:
    """Whether a session broke, and whether a new socket under its number is then told of what was the old one's."""
    ours, server = socket.socketpair()
    number = ours.detach()
    session: Any = SimpleNamespace(pgconn=Libpq(number), add_notice_handler=lambda handler: None)
    connection = PostgresqlConnection(session)
    server.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            while connection.usable:  # noqa: ASYNC110 (a connection that breaks tells nobody)
                await asyncio.sleep(0.001)
    broke = not connection.usable
    told: list[bool] = []
    new, other = socket.socketpair()
    again = new.fileno() if new.fileno() == number else os.dup2(other.fileno(), number)
    assert again == number
    loop = asyncio.get_running_loop()
    loop.add_reader(number, lambda: told.append(True))
    await asyncio.sleep(0.05)  # nothing may come meanwhile
    loop.remove_reader(number)
    for one in (new, other):
        one.close()
    return broke, bool(told)


def on(loop: str, what: Coroutine[Any, Any, Any]) -> Any:
    if loop == "uvloop":
        import uvloop

        return uvloop.run(what)
    return asyncio.run(what)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_next_socket_under_the_number_of_a_broken_session_is_not_taken_for_it(loop: str) -> None:
    assert on(loop, spurious()) == (True, False)


class Resetting(threading.Thread):
    """A server that lets anybody in, answers one statement, and resets the connection with the answer."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.over = threading.Event()

    def run(self) -> None:
        client, _ = self.listener.accept()
        client.recv(1000)  # the startup message: AuthenticationOk and ReadyForQuery follow
        client.sendall(message(b"R", bytes(4)) + message(b"Z", b"I"))
        client.recv(1000)  # Parse, Bind, Describe, Execute and Sync
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(b"".join([
            message(b"1"), message(b"2"), message(b"n"), message(b"C", b"INSERT 0 1\0"), message(b"Z", b"I")
        ]))  # fmt: skip
        client.close()
        self.over.set()


def message(kind: bytes, body: bytes = b"") -> bytes:
    """PostgreSQL's frontend/backend protocol 3.0: a letter, the length without it, and the rest."""
    return kind + struct.pack("!I", 4 + len(body)) + body


async def two_writes(server: Resetting) -> list[Outcome]:
    """The second one is asked after the answer to the first one and the reset have come together."""
    connection = await Postgresql("probe", "", "harness").connect(Address(*server.listener.getsockname()))
    first = asyncio.create_task(connection.write(1))
    await asyncio.sleep(0)  # no time passes: the task has its turn, and sends
    assert server.over.wait(PATIENCE_S)  # this loop looks at nothing meanwhile
    async with asyncio.timeout(PATIENCE_S):
        return [(await first).outcome, (await connection.write(2)).outcome]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_reset_that_comes_with_an_answer_is_noticed(loop: str) -> None:
    server = Resetting()
    server.start()
    assert on(loop, two_writes(server)) == [Outcome.OK, Outcome.FAILED]
    server.listener.close()
