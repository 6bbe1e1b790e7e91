"""How do tests speak to a Toxiproxy's API, and through its proxies?"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import statistics
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

PATIENCE_S = 20  # for what should come at once; only a failing test waits as long


@dataclass(frozen=True)
class Api:
    """The server's API, as plain HTTP."""

    host: str
    port: int

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; a body that is bytes is sent as it is."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.host}:{self.port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and parsed body, None when there is none."""
        status, _, text = self.call(method, path, body)
        return status, json.loads(text) if text else None

    def answers(self) -> bool:
        try:
            return self.call("GET", "/version")[0] == 200
        except OSError:
            return False

    def delete_all(self) -> None:
        for name in self.ask("GET", "/proxies")[1]:
            assert self.ask("DELETE", f"/proxies/{urllib.parse.quote(name, safe='')}")[0] == 204

    def proxy(self, upstream: int, name: str = "db") -> int:
        """Makes a proxy to a local port; returns the port at which it listens."""
        asked = {"name": name, "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{upstream}"}
        status, made = self.ask("POST", "/proxies", asked)
        assert status == 201, made
        return int(made["listen"].rpartition(":")[2])

    def toxic(self, type_: str, stream: str = "downstream", toxicity: float = 1, name: str = "", **attributes: int) -> str:
        """Adds a toxic to the proxy `db`; returns the path of the toxic."""
        asked = {"type": type_, "stream": stream, "toxicity": toxicity, "name": name, "attributes": attributes}
        status, made = self.ask("POST", "/proxies/db/toxics", asked)
        assert status == 200, made
        return f"/proxies/db/toxics/{made['name']}"


@dataclass
class Pair:
    """Both ends of a connection through a proxy."""

    client: socket.socket
    server: socket.socket

    @classmethod
    @contextlib.contextmanager
    def through(cls, port: int, upstream: socket.socket) -> Iterator[Pair]:
        with contextlib.ExitStack() as open_:
            client = open_.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
            server = open_.enter_context(upstream.accept()[0])
            server.settimeout(PATIENCE_S)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield cls(client, server)

    def along(self, stream: str) -> tuple[socket.socket, socket.socket]:
        """Who sends and who receives in that direction."""
        return (self.client, self.server) if stream == "upstream" else (self.server, self.client)


def listening() -> socket.socket:
    """A server's socket, at which a test accepts by hand."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(PATIENCE_S)
    return listener


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        return int(nobody.getsockname()[1])


def is_refused(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE_S).close()
    except ConnectionRefusedError:
        return True
    return False


def received(from_: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes, or fewer when the connection ends before."""
    data = bytearray()
    while len(data) < count and (chunk := from_.recv(count - len(data))):
        data += chunk
    return bytes(data)


def all_of(receiver: socket.socket) -> bytes:
    """What comes until the end."""
    data = bytearray()
    while chunk := receiver.recv(1 << 16):
        data += chunk
    return bytes(data)


def is_silent(receiver: socket.socket, within_s: float = 0.3) -> bool:
    """Whether nothing comes, neither data nor an end."""
    return not select.select([receiver], [], [], within_s)[0]


def trip_ms(sender: socket.socket, receiver: socket.socket) -> float:
    """From sending a byte to its receipt."""
    since = time.monotonic()
    sender.sendall(b"x")
    assert receiver.recv(1) == b"x"
    return (time.monotonic() - since) * 1000


def measures(low: float, high: float, times: int, measure: Callable[[], float]) -> bool:
    """Whether the median of some measurements lies there, of one series in four.

    A machine that does other things makes measurements late now and then, and at times half of a series; a server that
    is wrong is so in every one. What was measured is printed, for who reads a failure.
    """
    for _ in range(4):
        median = statistics.median(measure() for _ in range(times))
        if low <= median <= high:
            return True
        print(f"median of {times}: {median:.3f}, not within {low} … {high}")
    return False
