"""How does a socket wait for an answer, but not for ever, without a timer for each answer?

With a timeout, gevent's sockets make, start and drop a timer for every wait, which shows in what a cheap operation costs.
"""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import gevent.socket
from gevent.hub import get_hub

from harness.clock import SECOND_NS, now_ns
from harness.deadline import Deadline


class PatientSocket(gevent.socket.socket):
    """One greenlet's socket."""

    _deadline: Deadline | None = None

    def recv(self, *given: Any) -> bytes:
        """Raises TimeoutError after the socket's timeout, as any socket does."""
        if not self.timeout:
            return super().recv(*given)
        received = self._there(*given)  # a server on another core may have answered before it is asked
        if received is None:
            if self._deadline is None:
                self._deadline = Deadline(lambda: TimeoutError("timed out"))
            with self._deadline.at(now_ns() + int(self.timeout * SECOND_NS)):
                while received is None:
                    get_hub().wait(getattr(self, "_read_event"))  # noqa: B009 (gevent's watcher; its stubs leave it out)
                    received = self._there(*given)
        return received

    def _there(self, *given: Any) -> bytes | None:
        """What has come already."""
        own: Any = getattr(self, "_sock")  # noqa: B009 (the plain socket; gevent's stubs leave it out)
        try:
            received: bytes = own.recv(*given)
        except BlockingIOError:
            return None
        return received

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Nearly always there is room for a question, so that nothing is to be waited for."""
        own: Any = getattr(self, "_sock")  # noqa: B009 (the plain socket; gevent's stubs leave it out)
        try:
            sent = own.send(data, flags)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            super().sendall(memoryview(data)[sent:], flags)


SOCKETS = SimpleNamespace(**vars(socket) | {"socket": PatientSocket})  # in place of the module, for libraries that take one
