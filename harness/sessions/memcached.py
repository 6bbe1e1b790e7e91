"""How do a workload's users talk to Memcached, which node has which key, and what do errors mean?

The client alone decides where a key is: it hashes keys and nodes onto one ring, as libketama does (Richard Jones, last.fm,
2007), 160 points for each node. The ring is uhashring's, which is held against libketama's own; pymemcache's own choice
(rendezvous) spreads keys as evenly, but differently. The ring knows nodes by their names, so that clients who reach a node by
different ways (directly, or through their zone's Toxiproxy) look for a key in the same place.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

from pymemcache.client.base import Client  # type: ignore[import-untyped]
from pymemcache.client.hash import HashClient  # type: ignore[import-untyped]
from pymemcache.exceptions import (  # type: ignore[import-untyped]
    MemcacheError,
    MemcacheServerError,
    MemcacheUnexpectedCloseError,
    MemcacheUnknownError,
)
from uhashring import HashRing  # type: ignore[import-untyped]

from harness.clock import SECOND_NS, now_ns
from harness.deadline import NEVER
from harness.probes.contract import network_error
from harness.probes.memcached import PREFIX as PROBED
from harness.recording import Outcome
from harness.sessions import Login, Session
from harness.sockets import SOCKETS

CONNECT_TIMEOUT_S = 0.25  # less than a workload's deadline: there must be time left for asking somebody else
TIMEOUT_S = 0.25
LISTED_WITHIN_S = 5
LOOK_AGAIN_NS = SECOND_NS // 2  # how often a session looks whether nodes have come or gone
AT_ONCE = 20_000  # keys in one piece of the final reads
REMEMBERED = 20_000  # keys whose node is known without hashing them again


@cache
def _ring(nodes: tuple[str, ...]) -> Callable[[str], str | None]:
    """Tells a key's node. Made once for all users of a process: of 40 nodes it takes 20 ms.

    A key that is asked for often is hashed once, which otherwise shows in what a user's read costs.
    """
    return lru_cache(REMEMBERED)(HashRing(list(nodes), hash_fn="ketama").get_node)


class Ketama:
    """A ring of nodes by their names, in the form that pymemcache asks for; made when it is first needed."""

    def __init__(self, nodes: Sequence[str] = ()) -> None:
        self._nodes = list(nodes)
        self._ring: Callable[[str], str | None] | None = None

    def add_node(self, node: str) -> None:
        self._nodes.append(node)
        self._ring = None

    def remove_node(self, node: str) -> None:
        self._nodes.remove(node)
        self._ring = None

    def get_node(self, key: str) -> str | None:
        """The node that keeps a key; None where there is no node."""
        if self._ring is None:
            self._ring = _ring(tuple(sorted(self._nodes)))
        return self._ring(key)


class Nodes(HashClient):  # type: ignore[misc]  # pymemcache comes without types
    """A client of all nodes. One that does not answer is left out for `dead_s`, and its keys are looked for on the next.

    With `dead_s` 0 none is ever left out: what is asked of a node that is gone fails until it is back.
    """

    def __init__(self, named: Mapping[tuple[str, int], str], dead_s: float) -> None:
        self._named = dict(named)
        super().__init__(
            list(named), hasher=Ketama, connect_timeout=CONNECT_TIMEOUT_S, timeout=TIMEOUT_S, no_delay=True,
            retry_attempts=0, dead_timeout=dead_s, default_noreply=False, socket_module=SOCKETS,
        )  # fmt: skip
        self._leaves_out = dead_s > 0

    def _make_client_key(self, server: Any) -> str:
        return self._named[tuple(server)]

    def _mark_failed_server(self, server: Any) -> None:
        if self._leaves_out:
            super()._mark_failed_server(server)
        else:
            self.clients[self._named[tuple(server)]].close()

    def keep(self, named: Mapping[tuple[str, int], str]) -> None:
        """Knows these nodes from now on, and no others."""
        for server in set(self._named) - set(named):
            name = self._named[server]
            if server not in self._dead_clients:
                self.hasher.remove_node(name)
            self._dead_clients.pop(server, None)
            self.clients.pop(name).close()
        gained = set(named) - set(self._named)
        self._named = dict(named)
        for server in gained:
            self.add_server(server)


class MemcachedSession(Session):
    """A client of all nodes, each of which it connects to when it is first asked."""

    def __init__(self, login: Login, reconnect_s: float) -> None:
        super().__init__(login, reconnect_s)
        self._members = Members(login)

    def open(self) -> Nodes:
        return Nodes(self._members.now(), self._login.get("dead_s", 0))

    def connect(self) -> str | None:
        """None: who is there shows when it is asked."""
        if self._connection is None:
            self._connection = self.open()
        elif changed := self._members.changed():
            self._connection.keep(changed)
        return None

    @property
    def connected(self) -> bool:
        return self._connection is not None and now_ns() <= self._members.known_until

    def fetch(self, key: str) -> tuple[Outcome, str, str | None]:
        """The outcome, the error's class, and what the cache holds of a key: None where it has nothing."""
        try:
            found = self._connection.get(key)
        except (MemcacheError, OSError) as error:
            return Outcome.FAILED, error_class(error), None
        return Outcome.OK, "", None if found is None else found.decode("ascii")

    def store(self, key: str, value: str, ttl_s: float = 0) -> tuple[Outcome, str]:
        """Keeps a value for `ttl_s`, in whole seconds; for ever with 0."""
        return self._changing("set", key, value, expire=_whole(ttl_s))

    def forget(self, key: str) -> tuple[Outcome, str]:
        """Removes a key, be it there or not."""
        return self._changing("delete", key)

    def _changing(self, what: str, *given: Any, **more: Any) -> tuple[Outcome, str]:
        try:
            getattr(self._connection, what)(*given, **more)
        except (MemcacheError, OSError) as error:
            told, known = told_of(error)
            return Outcome.FAILED if known else Outcome.UNKNOWN, told
        return Outcome.OK, ""


class Members:
    """Which nodes there are: those of the login or, once it is there, those of the file that it names.

    The service tells its clients of nodes that come and go by a command of its own, which they ask now and then; Memcached
    itself has no such command, so a file takes its place.
    """

    def __init__(self, login: Login) -> None:
        self._login = login
        self._file = Path(login["members"]) if login.get("members") else None
        self._version = 0
        self.known_until = 0 if self._file else NEVER  # then it is time to look again

    def now(self) -> dict[tuple[str, int], str]:
        return self.changed() or _named(self._login["servers"])

    def changed(self) -> dict[tuple[str, int], str] | None:
        """All nodes, when they are others than when it was last looked; else None."""
        if self._file is None:
            return None
        self.known_until = now_ns() + LOOK_AGAIN_NS
        try:
            version = self._file.stat().st_mtime_ns
        except FileNotFoundError:
            version = 0
        if version == self._version:
            return None
        self._version = version
        return _named(json.loads(self._file.read_text()))


def _whole(ttl_s: float) -> int:
    """Memcached counts in seconds, and takes 0 for ever."""
    return max(1, round(ttl_s)) if ttl_s else 0


def _named(servers: Sequence[Sequence[Any]]) -> dict[tuple[str, int], str]:
    return {(host, port): name for name, host, port in servers}


def error_class(error: Exception) -> str:
    """A word for what the network did, or what the server said."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, MemcacheUnexpectedCloseError):
        return "connection closed"
    said = " ".join(str(error).split())
    return said or type(error).__name__ if isinstance(error, MemcacheError) else network_error(said.lower())


def told_of(error: Exception) -> tuple[str, bool]:
    """The class of an error, and whether a write that ended so is known not to have happened."""
    unsure = isinstance(error, MemcacheUnexpectedCloseError | MemcacheUnknownError)
    refused = isinstance(error, MemcacheError | ConnectionRefusedError)
    return error_class(error), refused and not unsure


class Memcached:
    """Memcached through pymemcache. Workloads and probes share each node's one room of keys, and are told apart by prefixes."""

    errors: ClassVar[tuple[type[Exception], ...]] = (MemcacheError, OSError)

    def session(self, login: Login, reconnect_s: float) -> MemcachedSession:
        return MemcachedSession(login, reconnect_s)

    @contextmanager
    def opened(self, login: Login) -> Iterator[Nodes]:
        nodes = Nodes(Members(login).now(), 0)
        try:
            yield nodes
        finally:
            nodes.close()

    reading = opened  # of one node, which has no moment that could be held fast

    def clear(self, connection: Nodes) -> None:
        connection.flush_all()

    def fill(self, connection: Nodes, entries: Iterable[tuple[str, str, float]]) -> None:
        """Puts (key, value, ttl in s) into the cache."""
        for key, value, ttl_s in entries:
            connection.set(key, value, expire=_whole(ttl_s))

    def probed(self, connection: Nodes) -> Iterator[list[int]]:
        yield from numbered(connection, PROBED)

    def told(self, error: Exception) -> tuple[str, bool]:
        return told_of(error)

    def variables(self, login: Login) -> dict[str, str]:
        return {"HARNESS_SERVERS": ",".join(f"{host}:{port}" for _, host, port in login["servers"])}


def numbered(connection: Nodes, prefix: str) -> Iterator[list[int]]:
    """The numbers in the keys `<prefix><number>` that the nodes hold, in pieces. Raises as `keys` does."""
    for client in connection.clients.values():
        found = [int(key.removeprefix(prefix)) for key in keys(client) if key.startswith(prefix)]
        for at in range(0, len(found), AT_ONCE):
            yield found[at : at + AT_ONCE]


def keys(client: Client) -> Iterator[str]:
    """Every key that a node holds. Raises MemcacheError when it will not say, OSError when it cannot be asked.

    Asked on a connection of its own: pymemcache loses its place in an answer of more than one piece.
    """
    with socket.create_connection(client.server, LISTED_WITHIN_S) as own, own.makefile("rb") as lines:
        own.sendall(b"lru_crawler metadump all\r\n")
        for line in lines:
            said = line.decode("ascii").strip()
            if said == "END":
                return
            if not said.startswith("key="):
                raise MemcacheServerError(said)
            yield unquote(said.partition(" ")[0].removeprefix("key="))
    raise MemcacheUnexpectedCloseError


def remapped_share(before: Sequence[str], after: Sequence[str], asked: int = 10_000) -> float:
    """The share of so many keys that are on another node of `after` than of `before`."""
    old, new = Ketama(before), Ketama(after)
    return sum(old.get_node(f"item:{key}") != new.get_node(f"item:{key}") for key in range(asked)) / asked


if __name__ == "__main__":  # a change asks what clients think: [[nodes before], [nodes after]]
    sys.stdout.write(f"{remapped_share(*json.loads(sys.argv[1]))}\n")
