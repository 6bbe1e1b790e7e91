"""A real server in a thread of its own, with real sockets on loopback, for each test that asks for one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from harness.toxiproxy_server.__main__ import Options, loop_factory, serving

PATIENCE_S = 10  # for what should come at once; only a failing test waits as long


@dataclass
class Api:
    """The server's API, as plain HTTP."""

    host: str
    port: int

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
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

    def proxy(self, upstream: int, name: str = "db") -> int:
        """Makes a proxy to a local port; returns the port at which it listens."""
        asked = {"name": name, "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{upstream}"}
        status, made = self.ask("POST", "/proxies", asked)
        assert status == 201, made
        return int(made["listen"].rpartition(":")[2])

    def toxic(self, type_: str, stream: str = "downstream", **attributes: int) -> str:
        """Adds a toxic to the proxy `db`; returns the path of the toxic."""
        asked = {"type": type_, "stream": stream, "attributes": attributes}
        status, made = self.ask("POST", "/proxies/db/toxics", asked)
        assert status == 200, made
        return f"/proxies/db/toxics/{made['name']}"


@contextlib.contextmanager
def server(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[Api]:
    """A server on any free port."""
    ready, end = threading.Event(), asyncio.Event()
    started: dict[str, Any] = {}

    async def serve() -> None:
        started["loop"] = asyncio.get_running_loop()
        async with serving(Options("127.0.0.1", 0, seed=7)) as address:
            started["address"] = address
            ready.set()
            await end.wait()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=make_loop) as runner:
                runner.run(serve())
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(PATIENCE_S)
    try:
        yield Api(*started["address"])
    finally:
        started["loop"].call_soon_threadsafe(end.set)
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the server did not end"


@pytest.fixture(params=[loop_factory(), asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """The server, on uvloop and on asyncio's own loop."""
    with server(request.param) as api:
        yield api


@pytest.fixture
def two_apis() -> Iterator[tuple[Api, Api]]:
    with server(loop_factory()) as one, server(loop_factory()) as other:
        yield one, other


@pytest.fixture
def upstream() -> Iterator[socket.socket]:
    """A listening socket that a proxy can lead to; the test accepts by hand."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        yield listener


@dataclass
class Pair:
    """Both ends of a connection through the proxy."""

    client: socket.socket
    server: socket.socket


@pytest.fixture
def connect(api: Api, upstream: socket.socket) -> Iterator[Callable[[], Pair]]:
    """Connects through the proxy `db` of the server, which it makes."""
    port = api.proxy(upstream.getsockname()[1])
    with contextlib.ExitStack() as open_:

        def connect() -> Pair:
            client = open_.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
            server = open_.enter_context(upstream.accept()[0])
            server.settimeout(PATIENCE_S)
            return Pair(client, server)

        yield connect


def received(from_: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes, or fewer when the connection ends before."""
    data = bytearray()
    while len(data) < count and (chunk := from_.recv(count - len(data))):
        data += chunk
    return bytes(data)
