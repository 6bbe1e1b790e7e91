"""What a store that speaks DynamoDB's protocol says to a probe, to a session and to who reads it in the end; on moto's."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from harness.clock import wait_until
from harness.probes.contract import Address, Answered
from harness.probes.dynamodb import Dynamodb as Probes
from harness.recording import Outcome
from harness.sessions.dynamodb import Dynamodb, DynamodbSession, StoreError
from harness.topologies.dynamodb import SERVER

OK = (Outcome.OK, "")


@contextmanager
def running() -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, "-m", SERVER, "127.0.0.1", str(port)]) as process:
        try:
            wait_until(lambda: listens(port), 60, "the store to listen")
            yield port, process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with running() as (port, _):
        yield port


def login(port: int) -> dict[str, Any]:
    return {"protocol": "dynamodb", "host": "127.0.0.1", "port": port}


def test_a_probe_s_write_is_there_in_the_end_until_it_is_cleared(port: int) -> None:
    async def ask() -> list[Answered]:
        connection = await Probes().connect(Address("127.0.0.1", port))
        answered = [await connection.write(value) for value in (7, 8)] + [await connection.read()]
        assert await connection.role() == {"role": "primary"}
        assert connection.usable, "the store keeps connections open"
        await connection.close()
        return answered

    def there() -> list[int]:
        with Dynamodb().reading(login(port)) as store:
            return sorted(value for piece in Dynamodb().probed(store) for value in piece)

    async def clear() -> None:
        connection = await Probes().connect(Address("127.0.0.1", port))
        await connection.clear()
        await connection._request("DeleteTable", TableName="probe")
        await connection.clear()  # somebody who cleared was ended in the middle
        await connection.close()

    assert asyncio.run(ask()) == [Answered(Outcome.OK)] * 3
    assert there() == [7, 8]
    asyncio.run(clear())
    assert there() == []


def test_items_are_looked_up_and_changed_and_every_change_is_noted(port: int) -> None:
    driver, session = Dynamodb(), DynamodbSession(login(port), 0.1)
    with driver.opened(login(port)) as store:
        driver.clear(store)
        driver.stock(store, [(key, f"value {key}") for key in range(60)])
        assert driver.stocked(store) == 60
        assert session.connect() is None
        assert session.look_up(59) == (*OK, "value 59")
        assert session.look_up(60) == (*OK, None)
        assert session.change(59, "another", 1001) == OK
        assert session.look_up(59) == (*OK, "another")
        assert session.change(59, "another", 1001) == OK
        assert session.change(60, "a new one", 1002) == OK
        noted = sorted(value for piece in driver.changed(store) for value in piece)
        assert noted == [1001, 1001, 1002], "what is done twice is there twice"
        driver.clear(store)
        outcome, error, found = session.look_up(59)
        assert (outcome, error, found) == (Outcome.FAILED, "ResourceNotFoundException", None)
        assert session.connected, "who is refused goes on on the same connection"
        with pytest.raises(StoreError, match="ResourceNotFoundException") as refused:
            driver.stocked(store)
        assert driver.told(refused.value) == ("ResourceNotFoundException", True)
    session.drop()


def test_what_a_store_was_asked_that_died_is_unknown() -> None:
    async def ask(port: int, process: subprocess.Popen[bytes]) -> None:
        connection = await Probes().connect(Address("127.0.0.1", port))
        assert await connection.write(1) == Answered(Outcome.OK)
        process.send_signal(signal.SIGSTOP)
        asked = asyncio.create_task(connection.write(2))
        await asyncio.sleep(0.1)
        assert not connection.usable
        process.send_signal(signal.SIGCONT)
        assert await asked == Answered(Outcome.OK), "a late answer belongs to its question"
        process.send_signal(signal.SIGSTOP)
        asked = asyncio.create_task(connection.write(3))
        await asyncio.sleep(0.1)
        process.kill()
        process.wait()
        answered = await asked
        assert (answered.outcome, answered.error in ("connection closed", "connection reset")) == (Outcome.UNKNOWN, True)
        assert (await connection.write(4)).outcome is Outcome.FAILED, "it was never sent"
        with pytest.raises(ConnectionError, match="connection refused"):
            await Probes().connect(Address("127.0.0.1", port))

    with running() as (port, process):
        session = DynamodbSession(login(port), 0)
        assert session.connect() is None
        asyncio.run(ask(port, process))
        assert session.change(1, "x", 2)[0] is Outcome.UNKNOWN
        assert not session.connected
        assert session.connect() == "connection refused"
