"""A probe's session that breaks leaves nothing behind that another one could take for its own."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from harness.probes.postgresql import PostgresqlConnection


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


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_next_socket_under_the_number_of_a_broken_session_is_not_taken_for_it(loop: str) -> None:
    if loop == "uvloop":
        import uvloop

        assert uvloop.run(spurious()) == (True, False)
    else:
        assert asyncio.run(spurious()) == (True, False)
