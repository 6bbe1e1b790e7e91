"""A real server in a thread of its own, with real sockets on loopback, for each test that asks for one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.toxiproxy_server.__main__ import Options, loop_factory, serving
from tests.conformance.toxiproxy.wire import PATIENCE_S, Api, Pair, listening


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
    with listening() as listener:
        yield listener


@pytest.fixture
def connect(api: Api, upstream: socket.socket) -> Iterator[Callable[[], Pair]]:
    """Connects through the proxy `db` of the server, which it makes."""
    port = api.proxy(upstream.getsockname()[1])
    with contextlib.ExitStack() as open_:
        yield lambda: open_.enter_context(Pair.through(port, upstream))
