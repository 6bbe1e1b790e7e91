"""A flood holds as many connections as it was told, opens again what was closed, and lets go of all in the end."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.clock import wait_until
from harness.flood import Flood, main


class Server:
    """Takes connections and keeps them, unless it is told to close what it has."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port: int = self._listening.getsockname()[1]
        self.held: list[socket.socket] = []
        self.taken = 0
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.taken += 1
            self.held.append(connection)

    def drop(self) -> None:
        while self.held:
            self.held.pop().close()

    def ended(self) -> bool:
        """Whether every connection was closed by the other side."""
        for connection in self.held:
            connection.setblocking(False)
            try:
                if connection.recv(1):
                    return False
            except BlockingIOError:
                return False
        return True

    def close(self) -> None:
        self._listening.close()
        self.drop()


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.close()


def reaches(server: Server, flood: Flood, taken: int) -> None:
    def tended() -> bool:
        flood.tend()
        return server.taken >= taken

    wait_until(tended, 5, f"{taken} connections", every_s=0.01)


def test_it_opens_what_it_was_told_and_again_what_was_closed(server: Server) -> None:
    flood = Flood("127.0.0.1", server.port, 150)
    reaches(server, flood, 150)
    flood.tend()
    assert server.taken == 150
    server.drop()
    reaches(server, flood, 300)
    flood.close()


def test_a_server_that_is_not_there_is_tried_until_it_is(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flood = Flood("127.0.0.1", port, 3)
    for _ in range(3):
        flood.tend()
    with socket.create_server(("127.0.0.1", port)) as late:
        late.settimeout(0.01)
        taken: list[socket.socket] = []

        def tended() -> bool:
            flood.tend()
            try:
                taken.append(late.accept()[0])
            except TimeoutError:
                return False
            return len(taken) == 3

        wait_until(tended, 5, "all three", every_s=0.001)
        for connection in taken:
            connection.close()
    flood.close()


@contextmanager
def flooding(server: Server, stop: Path) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-m", "harness.flood", "127.0.0.1", str(server.port), "40", str(stop)]
    with subprocess.Popen(argv) as popen:
        yield popen


def test_as_a_program_it_lets_go_once_it_is_told_to(server: Server, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    with flooding(server, stop) as popen:
        wait_until(lambda: server.taken == 40, 10, "the connections", every_s=0.02)
        stop.touch()
        assert popen.wait(10) == 0
    assert server.ended()


def test_more_connections_than_files_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert main(["127.0.0.1", "1", "99999999", str(tmp_path / "stop")]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert "99999999 connections are more than the" in capsys.readouterr().err
