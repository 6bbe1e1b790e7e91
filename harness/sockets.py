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
    """One greenlet's socket. It waits before it asks what there is: whoever reads an answer has just sent the question."""

    _deadline: Deadline | None = None

    def recv(self, *given: Any) -> bytes:
        """Raises TimeoutError after the socket's timeout, as any socket does."""
        readable: Any = getattr(self, "_read_event", None)  # gevent's watcher; its stubs leave it out
        if self.timeout and readable is not None:
            if self._deadline is None:
                self._deadline = Deadline(lambda: TimeoutError("timed out"))
            with self._deadline.at(now_ns() + int(self.timeout * SECOND_NS)):
                get_hub().wait(readable)
        received: bytes = super().recv(*given)
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
