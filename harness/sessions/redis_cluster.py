"""How do a workload's users talk to a Redis Cluster, and what do its errors mean?

Through redis-py's cluster client as an application would have it, which follows MOVED and ASK and learns the slots anew when a
connection is lost; but nothing is sent a second time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import redis
import redis.cluster
from redis._parsers import CommandsParser
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.exceptions import RedisClusterException
from redis.retry import Retry

from harness.clock import SECOND_NS, now_ns
from harness.recording import Outcome
from harness.sessions import Login
from harness.sessions import redis as one_server
from harness.sessions.redis import PREFIX, Answer, RedisSession, batches, client
from harness.slots import slot_of
from harness.ways import way

LOOK_AGAIN_NS = SECOND_NS // 2
CONNECTS_WITHIN_S = 0.5  # then another member is asked: a host that is gone refuses nothing


_parser: Any = CommandsParser


class Commands(_parser):  # type: ignore[misc]  # typed by no annotations
    """What commands the servers know, asked once a process: it takes most of the time that a client takes to begin."""

    told: ClassVar[dict[str, Any]] = {}
    commands: dict[str, Any]

    def initialize(self, r: Any) -> None:
        if not Commands.told:
            super().initialize(r)
            Commands.told = self.commands
        self.commands = dict(Commands.told)


# Each user has a client of its own, where an application has one for all; redis-py lets nobody hand this one over.
redis.cluster.CommandsParser = Commands  # type: ignore[attr-defined]


class Cluster(redis.RedisCluster):
    """redis-py's client, which fails when it is sent (ASK) to a member that it has never heard of: a shard that is new."""

    def get_node(self, host: Any = None, port: Any = None, node_name: Any = None) -> Any:
        known = self.nodes_manager.get_node(host, port, node_name)
        if known is None and node_name:
            host, _, port = node_name.rpartition(":")
            known = self.nodes_manager.nodes_cache.setdefault(node_name, _node(host, int(port)))
        return known


def _node(host: str, port: int) -> Any:
    made: Any = ClusterNode
    return made(host, port, "primary")


class RedisClusterSession(RedisSession):
    """A user's own client: a connection to each member that it was led to.

    Once the file `members` of the login says that the cluster is another one, it begins anew there.
    """

    def __init__(self, login: Login, reconnect_s: float) -> None:
        super().__init__(login, reconnect_s)
        self._members = Path(login["members"]) if login.get("members") else None
        self._looked = self._written = 0

    @property
    def connected(self) -> bool:
        if self._members is not None and now_ns() - self._looked > LOOK_AGAIN_NS:
            self._looked = now_ns()
            if self._members.exists() and (written := self._members.stat().st_mtime_ns) != self._written:
                self._written = written
                self._login = {**self._login, "seeds": json.loads(self._members.read_text())}
                super().drop()
        return super().connected

    def drop(self) -> None:
        """Closes every connection, as one of them waits for an answer; who owns which slots need not be learned anew."""
        if self._connection is not None:
            for node in list(self._connection.nodes_manager.nodes_cache.values()):
                if node.redis_connection is not None:
                    node.redis_connection.connection_pool.disconnect()

    def open(self) -> Any:
        try:
            return cluster_client(self._login)
        except (redis.RedisError, RedisClusterException, OSError) as error:
            raise ConnectionError(told(error)[0]) from None

    def execute(self, *command: str | int, reads: bool = False) -> Answer:
        """Carries one command out, wherever it leads. What was not answered is unknown, or merely failed if it `reads`."""
        assert self._connection is not None, "connect first"
        try:
            return Answer(Outcome.OK, "", self._connection.execute_command(*command))
        except (redis.RedisError, RedisClusterException) as error:
            name, refused = told(error)
            return Answer(Outcome.FAILED if reads or refused else Outcome.UNKNOWN, name)


class RedisCluster:
    """A cluster of Redis or Valkey through redis-py. Every key of a workload begins with `workload:`."""

    errors: ClassVar[tuple[type[Exception], ...]] = (redis.RedisError, RedisClusterException)

    def session(self, login: Login, reconnect_s: float) -> RedisClusterSession:
        return RedisClusterSession(login, reconnect_s)

    @contextmanager
    def opened(self, login: Login) -> Iterator[Any]:
        connection = cluster_client(login)
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def reading(self, login: Login) -> Iterator[Any]:
        """One node's own connection, on which a replica answers, too."""
        connection: Any = client(login, timeout_s=5)
        try:
            connection.execute_command("READONLY")
            yield connection
        finally:
            connection.close()

    def clear(self, connection: Any) -> None:
        for node in connection.get_primaries():
            for names in batches(connection.get_redis_connection(node), f"{PREFIX}*"):
                for name in names:
                    connection.unlink(name)

    def probed(self, connection: redis.Redis) -> Iterator[list[int]]:
        for names in batches(connection, "probe:*"):
            for name in names:
                yield [int(value) for value in connection.lrange(name, 0, -1)]

    def told(self, error: Exception) -> tuple[str, bool]:
        return told(error)

    def variables(self, login: Login) -> dict[str, str]:
        return {"HARNESS_DATABASE": "0", "HARNESS_CLUSTER": " ".join(f"{host}:{port}" for host, port in login["seeds"])}

    def shard_of(self, login: Login, key: str) -> str:
        """The shard that kept a key when the cluster was formed; empty where that is not known."""
        slot = slot_of(key.encode())
        return next((shard for shard, (first, last) in login.get("shards", {}).items() if first <= slot <= last), "")


def told(error: Exception) -> tuple[str, bool]:
    """The class of an error, and whether a server said it, which means that nothing was done."""
    if isinstance(error, redis.exceptions.ClusterDownError):
        return "CLUSTERDOWN", True
    if isinstance(error, RedisClusterException):
        return "no member of the cluster answers", False
    return one_server.told(error)


def cluster_client(login: Login) -> Any:
    """A client of a whole cluster, which knows its members; it never tries again."""
    through = login.get("through", "")

    plain: Any = redis.Connection

    class Led(plain):  # type: ignore[misc]  # typed by no annotations
        host: str
        port: int

        """Connects to where an announced address is reached. `address_remap` would not do: it leaves out MOVED and ASK."""

        def _connect(self) -> Any:
            announced = self.host, self.port
            self.host, self.port = way(through, *announced)
            try:
                return super()._connect()
            finally:
                self.host, self.port = announced

    (host, port), *others = login["seeds"]
    # By its URL, as the client takes a class of connections in no other way.
    return Cluster(
        url=f"redis://{host}:{port}", startup_nodes=[_node(host, port) for host, port in others],
        connection_class=Led, username=login["user"], password=login["password"], protocol=2, decode_responses=True,
        retry=Retry(NoBackoff(), 0), require_full_coverage=False,
        socket_connect_timeout=CONNECTS_WITHIN_S,
    )  # fmt: skip
