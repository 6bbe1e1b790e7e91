"""A Toxiproxy-compatible server: ours, or the one that `--toxiproxy URL|PATH` names."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.clock import wait_until
from tests.conformance.toxiproxy.wire import PATIENCE_S, Api, Pair, free_port, listening

OURS = [sys.executable, "-m", "harness.toxiproxy_server"]


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The server, whose proxies are this suite's to delete; one that we started ends with the session."""
    given = request.config.getoption("--toxiproxy")
    if given and "://" in given:
        url = urllib.parse.urlsplit(given)
        yield Api(url.hostname or "127.0.0.1", url.port or 8474)
        return
    command = [str(Path(given).resolve(strict=True))] if given else OURS
    log = tmp_path_factory.mktemp("toxiproxy") / "server.log"
    with started(command, log) as api:
        yield api


@contextlib.contextmanager
def started(command: list[str], log: Path) -> Iterator[Api]:
    api = Api("127.0.0.1", free_port())
    flags = ["-host", api.host, "-port", str(api.port), "-seed", "7", "-proxy-metrics"]
    with log.open("wb") as file, subprocess.Popen([*command, *flags], stdout=file, stderr=file) as process:
        try:
            wait_until(lambda: process.poll() is not None or api.answers(), PATIENCE_S, f"an answer of {command[0]}")
            assert process.poll() is None, f"{' '.join(command)} ended: {log.read_text()}"
            yield api
        finally:
            process.terminate()


@pytest.fixture
def api(server: Api) -> Iterator[Api]:
    """The server without a proxy, before and after."""
    server.delete_all()
    yield server
    server.delete_all()


@pytest.fixture
def connect(api: Api) -> Iterator[Callable[[], Pair]]:
    """Connects through the proxy `db`, which it makes."""
    with contextlib.ExitStack() as open_:
        upstream = open_.enter_context(listening())
        port = api.proxy(upstream.getsockname()[1])
        yield lambda: open_.enter_context(Pair.through(port, upstream))
