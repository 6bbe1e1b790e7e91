"""What a probe is told by a real server: written once, refused, or lost on the way."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from harness.clock import wait_until
from harness.probes.contract import Answered
from harness.probes.redis import OK, Redis, RedisConnection
from harness.recording import Outcome
from harness.sessions.redis import Redis as Sessions
from harness.topologies.elasticache_redis import ElasticacheRedis
from tests.unit.valkey_server import Server

T = TypeVar("T")
Act = Callable[[RedisConnection, subprocess.Popen[bytes]], Awaitable[T]]


def asked(server: Server, popen: subprocess.Popen[bytes], act: Act[T]) -> T:
    """What becomes of an act on a fresh connection."""

    async def main() -> T:
        connection = await Redis(**server.probe).connect(server.address)
        try:
            return await act(connection, popen)
        finally:
            await connection.close()

    return asyncio.run(main())


def held(server: Server) -> list[int]:
    with Sessions().reading(server.login) as connection:
        return [value for values in Sessions().probed(connection) for value in values]


def test_each_value_is_there_once_until_they_are_cleared(tmp_path: Path) -> None:
    async def act(connection: RedisConnection, _: object) -> list[Answered]:
        return [await connection.write(7), await connection.write(8), await connection.read()]

    async def clear(connection: RedisConnection, _: object) -> None:
        await connection.clear()

    server = Server(tmp_path / "one")
    with server.running() as popen:
        assert asked(server, popen, act) == [OK, OK, Answered(Outcome.OK, seen=8)]
        assert held(server) == [7, 8]
        asked(server, popen, clear)
        assert held(server) == []


def test_an_answer_that_comes_late_is_the_answer_to_its_question(tmp_path: Path) -> None:
    async def act(connection: RedisConnection, popen: subprocess.Popen[bytes]) -> tuple[bool, Answered, bool]:
        popen.send_signal(signal.SIGSTOP)
        question = asyncio.create_task(connection.write(7))
        await asyncio.sleep(0.3)
        waits = not question.done() and not connection.usable
        popen.send_signal(signal.SIGCONT)
        return waits, await question, connection.usable

    server = Server(tmp_path / "one")
    with server.running() as popen:
        assert asked(server, popen, act) == (True, OK, True)
        assert held(server) == [7]


def test_a_server_that_dies_before_it_answers_leaves_a_write_unknown(tmp_path: Path) -> None:
    async def act(connection: RedisConnection, popen: subprocess.Popen[bytes]) -> list[object]:
        popen.send_signal(signal.SIGSTOP)
        question = asyncio.create_task(connection.write(7))
        await asyncio.sleep(0.1)
        popen.kill()
        first = await question
        return [first.outcome, connection.usable, (await connection.write(8)).outcome, await connection.role()]

    server = Server(tmp_path / "one")
    with server.running() as popen:
        # The second is known not to have been sent.
        assert asked(server, popen, act) == [Outcome.UNKNOWN, False, Outcome.FAILED, {"role": "unreachable"}]
        popen.wait()
        with pytest.raises(ConnectionError, match="connection refused"):
            asked(server, popen, act)


def test_a_connection_that_is_shut_from_outside_answers_at_once(tmp_path: Path) -> None:
    async def act(connection: RedisConnection, popen: subprocess.Popen[bytes]) -> Outcome:
        popen.send_signal(signal.SIGSTOP)
        question = asyncio.create_task(connection.write(7))
        await asyncio.sleep(0.1)
        connection.socket.shutdown(2)
        return (await asyncio.wait_for(question, 1)).outcome

    server = Server(tmp_path / "one")
    with server.running() as popen:
        assert asked(server, popen, act) is Outcome.UNKNOWN


def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    server = Server(tmp_path / "one")
    with server.running(), pytest.raises(ConnectionError, match="WRONGPASS"):
        asyncio.run(Redis("probe", "wrong").connect(server.address))


def test_a_login_that_a_frozen_server_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.probes._resp.CONNECT_TIMEOUT_S", 0.2)
    server = Server(tmp_path / "one")
    with server.running() as popen:
        popen.send_signal(signal.SIGSTOP)
        with pytest.raises(ConnectionError, match="timeout"):
            asyncio.run(Redis(**server.probe).connect(server.address))


def test_a_replica_says_what_it_is_and_refuses(tmp_path: Path) -> None:
    async def act(connection: RedisConnection, _: object) -> list[object]:
        return [await connection.role(), await connection.write(7), await connection.read()]

    topology = ElasticacheRedis()
    primary = Server(tmp_path / "primary", topology)
    with primary.running() as one:
        assert asked(primary, one, act)[0] == {"role": "primary"}
        replica = Server(tmp_path / "replica", topology, replica_of=primary.port)
        with replica.running() as two:
            in_sync = {"role": "replica", "link": "connected"}
            wait_until(lambda: asked(replica, two, act)[0] == in_sync, 20, "the replica to follow")
            assert asked(replica, two, act) == [in_sync, Answered(Outcome.FAILED, "READONLY"), Answered(Outcome.OK, seen=7)]


def test_the_probe_s_user_may_do_nothing_else(tmp_path: Path) -> None:
    server = Server(tmp_path / "one")
    probe = {**server.login, **server.probe}
    with server.running(), Sessions().opened(probe) as connection:
        for forbidden in (("SET", "workload:x", "1"), ("FLUSHALL",), ("CONFIG", "GET", "*")):
            with pytest.raises(Exception, match="permissions"):
                connection.execute_command(*forbidden)  # type: ignore[no-untyped-call]
