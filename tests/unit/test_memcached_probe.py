"""What a Memcached says to a probe and to a session, and what they make of it, on real servers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

import pytest

from harness.probes.contract import Address, Answered
from harness.probes.memcached import Memcached as Probes
from harness.recording import Outcome
from harness.sessions.memcached import Memcached as Sessions
from harness.sessions.memcached import MemcachedSession
from tests.unit import memcached_server

OK = (Outcome.OK, "")


@pytest.fixture
def port() -> Iterator[int]:
    with memcached_server.running() as (port, _):
        yield port


def test_a_write_is_acknowledged_and_is_among_what_is_read_in_the_end(port: int) -> None:
    async def write() -> list[Answered]:
        connection = await Probes().connect(Address("127.0.0.1", port))
        answered = [await connection.write(value) for value in (7, 8)] + [await connection.read()]
        assert await connection.role() == {"role": "primary"}
        await connection.close()
        return answered

    assert asyncio.run(write()) == [Answered(Outcome.OK)] * 3
    driver = Sessions()
    with driver.reading({"servers": [["mc-1", "127.0.0.1", port]]}) as connection:
        assert sorted(value for piece in driver.probed(connection) for value in piece) == [7, 8]


def test_what_a_frozen_server_was_asked_is_unknown_and_its_late_answer_belongs_to_its_question() -> None:
    async def ask(process: int, port: int) -> None:
        connection = await Probes().connect(Address("127.0.0.1", port))
        assert await connection.write(1) == Answered(Outcome.OK)
        memcached_server.signalled(process, signal.SIGSTOP)
        asked = asyncio.create_task(connection.write(2))
        await asyncio.sleep(0.1)
        assert not asked.done()
        assert not connection.usable
        memcached_server.signalled(process, signal.SIGCONT)
        assert await asked == Answered(Outcome.OK)
        assert connection.usable
        memcached_server.signalled(process, signal.SIGSTOP)
        asked = asyncio.create_task(connection.write(3))
        await asyncio.sleep(0.1)
        memcached_server.signalled(process, signal.SIGKILL)
        answered = await asked
        assert answered.outcome is Outcome.UNKNOWN
        assert answered.error in ("connection closed", "connection reset")
        assert (await connection.write(4)).outcome is Outcome.FAILED  # it was never sent
        await connection.close()
        with pytest.raises(ConnectionError, match="connection re(fused|set)"):
            await Probes().connect(Address("127.0.0.1", port))

    with memcached_server.running() as (port, process):
        asyncio.run(ask(process.pid, port))


def session(*ports: int, dead_s: float = 0) -> MemcachedSession:
    servers = [[f"mc-{number}", "127.0.0.1", port] for number, port in enumerate(ports, 1)]
    made = Sessions().session({"servers": servers, "dead_s": dead_s}, 0.5)
    assert made.connect() is None
    return made


def test_a_value_is_kept_until_it_is_removed_or_its_time_is_over(port: int) -> None:
    one = session(port)
    assert one.fetch("a") == (Outcome.OK, "", None)
    assert one.store("a", "1") == OK
    assert one.fetch("a") == (Outcome.OK, "", "1")
    assert one.forget("a") == OK
    assert one.forget("a") == OK
    assert one.fetch("a") == (Outcome.OK, "", None)


@pytest.mark.parametrize("dead_s", [0, 60])
def test_a_lost_node_takes_its_own_keys_along_and_no_others(dead_s: float) -> None:
    keys = [f"key:{number}" for number in range(300)]
    with memcached_server.running() as (first, _), memcached_server.running() as (second, process):
        one = session(first, second, dead_s=dead_s)
        for key in keys:
            assert one.store(key, key) == OK
        process.kill()
        process.wait()
        found = [one.fetch(key) for key in keys]
        kept = [key for key, (_, _, value) in zip(keys, found, strict=True) if value == key]
        with Sessions().reading({"servers": [["mc-1", "127.0.0.1", first]]}) as connection:
            assert sorted(kept) == sorted(key for key in keys if connection.get(key))
        failed = [error for outcome, error, _ in found if outcome is Outcome.FAILED]
        assert 0 < len(kept) < len(keys)
        # Left out once its connection is closed and a new one refused, or asked again and again.
        assert len(failed) == (2 if dead_s else len(keys) - len(kept))
        if dead_s:
            assert one.store(next(key for key in keys if key not in kept), "again") == OK
