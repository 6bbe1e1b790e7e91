"""An engine that can be taken away: a socket which leads to the real one until it is cut."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit


class Forwarder:
    """Passes on what comes in at `path`, both ways; `cut` breaks every connection and takes no new one until `restore`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: list[socket.socket] = []
        self._listening: socket.socket | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        return {"DOCKER_HOST": f"unix://{self._path}"}

    def __enter__(self) -> Forwarder:
        self.restore()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.cut()

    def restore(self) -> None:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(self._path))
        listening.listen(64)
        self._listening = listening
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def cut(self) -> None:
        if self._listening is not None:
            _shut(self._listening)
            self._listening = None
            self._path.unlink()
        while self._open:
            _shut(self._open.pop())

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):  # it was cut
            while True:
                client, _ = listening.accept()
                engine = _engine()
                self._open += [client, engine]
                for source, target in ((client, engine), (engine, client)):
                    threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _engine() -> socket.socket:
    """A connection to the engine of this machine, on a socket of either sort."""
    host = urlsplit(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    if host.scheme != "unix":
        return socket.create_connection((host.hostname or "127.0.0.1", host.port or 2375))
    engine = socket.socket(socket.AF_UNIX)
    engine.connect(host.path)
    return engine


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
