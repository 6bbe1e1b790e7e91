"""What a workload is told of a Redis command: it was done, it was refused, or nobody knows."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from harness.clock import wait_until
from harness.recording import Outcome
from harness.sessions.redis import Redis, RedisSession, told
from harness.topologies.elasticache_redis import ElasticacheRedis
from tests.unit.valkey_server import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Server, subprocess.Popen[bytes]]]:
    one = Server(tmp_path / "one")
    with one.running() as popen:
        yield one, popen


def connected(server: Server) -> RedisSession:
    session = Redis().session(server.login, reconnect_s=0)
    assert session.connect() is None
    return session


def test_a_command_is_done_and_answered(server: tuple[Server, object]) -> None:
    session = connected(server[0])
    assert session.execute("SET", "workload:a", "1") == (Outcome.OK, "", True)
    assert session.execute("GET", "workload:a", reads=True).reply == "1"


def test_what_the_server_refuses_has_failed_and_leaves_the_session_usable(server: tuple[Server, object]) -> None:
    session = connected(server[0])
    session.execute("SET", "workload:a", "x")
    assert session.execute("INCR", "workload:a")[:2] == (Outcome.FAILED, "ERR value is not an integer or out of range")
    assert session.connected


def test_a_server_that_dies_leaves_a_write_unknown_and_a_read_failed(server: tuple[Server, subprocess.Popen[bytes]]) -> None:
    one, popen = server
    writing, reading = connected(one), connected(one)
    popen.kill()
    popen.wait()
    assert writing.execute("SET", "workload:a", "1")[:2] == (Outcome.UNKNOWN, "connection closed")
    assert reading.execute("GET", "workload:a", reads=True).outcome is Outcome.FAILED
    assert (writing.connected, reading.connected) == (False, False), "neither connects again by itself"
    assert Redis().session(one.login, reconnect_s=0).connect() == "connection refused"


def test_a_login_that_is_wrong_is_told(server: tuple[Server, object]) -> None:
    session = Redis().session(server[0].login | {"password": "wrong"}, reconnect_s=0)
    assert session.connect() == "WRONGPASS"


def test_a_paused_server_is_waited_for_as_long_as_the_user_waits(server: tuple[Server, subprocess.Popen[bytes]]) -> None:
    one, popen = server
    popen.send_signal(signal.SIGSTOP)
    session = RedisSession(one.login, reconnect_s=0)
    with pytest.raises(redis.TimeoutError), Redis().opened(one.login | {"port": one.port}):
        pytest.fail("nobody answers")
    popen.send_signal(signal.SIGCONT)
    assert session.connect() is None


def test_a_replica_refuses_and_a_primary_without_enough_replicas_too(tmp_path: Path) -> None:
    topology = ElasticacheRedis(min_replicas_to_write=1)
    primary = Server(tmp_path / "primary", topology)
    with primary.running():
        assert connected(primary).execute("SET", "workload:a", "1")[:2] == (Outcome.FAILED, "NOREPLICAS")
        replica = Server(tmp_path / "replica", topology, replica_of=primary.port)
        with replica.running():
            wait_until(lambda: connected(primary).execute("SET", "workload:a", "1").outcome is Outcome.OK, 20, "the replica")
            assert connected(replica).execute("SET", "workload:a", "1")[:2] == (Outcome.FAILED, "READONLY")


def test_only_what_workloads_wrote_is_cleared(server: tuple[Server, object]) -> None:
    with Redis().opened(server[0].login) as connection:
        connection.mset({f"workload:{number}": number for number in range(12_000)} | {"mine": 1})
        connection.rpush("probe", *range(45_000))
        Redis().clear(connection)
        assert sorted(connection.keys()) == ["mine", "probe"]
        assert [len(values) for values in Redis().probed(connection)] == [20_000, 20_000, 5_000]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (redis.exceptions.ReadOnlyError("You can't write against a read only replica."), ("READONLY", True)),
        (redis.exceptions.BusyLoadingError("Redis is loading the dataset in memory"), ("LOADING", True)),
        (redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), ("OOM", True)),
        (redis.ResponseError("NOREPLICAS Not enough good replicas to write."), ("NOREPLICAS", True)),
        (redis.ResponseError("MISCONF Valkey is configured to save"), ("MISCONF", True)),
        (redis.TimeoutError("Timeout reading from socket"), ("timeout", False)),
        (redis.ConnectionError("Error 111 connecting to 1.2.3.4:6379. Connection refused."), ("connection refused", False)),
        (redis.ConnectionError("Error while reading from x : (104, 'Connection reset by peer')"), ("connection reset", False)),
        (redis.ConnectionError("Connection closed by server."), ("connection closed", False)),
    ],
)
def test_what_an_error_means(error: Exception, expected: tuple[str, bool]) -> None:
    assert told(error) == expected
