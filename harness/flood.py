"""Who holds so many connections to a server that nobody else finds room?

Runs in a client node: `python3 -m harness.flood HOST PORT CONNECTIONS STOP`, until there is a file called STOP. It connects and
says nothing, as a pool does that was set too large, or a client that leaks; what the server closes is opened again. With nothing
but the standard library.
"""

from __future__ import annotations

import errno
import resource
import select
import socket
import sys
import time
from pathlib import Path

EVERY_S = 0.02
OPENED_AT_ONCE = 100  # 5,000 a second: a server's own queue of new connections is not what is to be tested
# Of a server that is full: what it refuses costs it time, which is not what is to be tested either.
AGAIN_AFTER_S, AGAIN_AT_ONCE = 0.25, 20
SPARE_FILES = 64
# A port whose connection was ended lately, or a server's full queue: it is tried again.
_LATER = (errno.EADDRNOTAVAIL, errno.EAGAIN, errno.ENETUNREACH, errno.EHOSTUNREACH)


class Flood:
    """Connections to one address, as many as are asked for, or as the server takes."""

    def __init__(self, host: str, port: int, connections: int) -> None:
        self._address, self._wanted = (host, port), connections
        self._held: dict[int, socket.socket] = {}
        self._watch = select.epoll()
        self._full, self._again = False, 0.0

    def tend(self) -> None:
        """Lets go of what was closed or refused, and opens what is missing."""
        for descriptor, event in self._watch.poll(0):
            if event & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP):
                self._held.pop(descriptor).close()  # an epoll forgets what is closed
                self._full = True
        if self._full and time.monotonic() < self._again:
            return
        self._again = time.monotonic() + AGAIN_AFTER_S
        for _ in range(min(AGAIN_AT_ONCE if self._full else OPENED_AT_ONCE, self._wanted - len(self._held))):
            if not self._open():
                return

    def _open(self) -> bool:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        problem = connection.connect_ex(self._address)
        if problem not in (0, errno.EINPROGRESS):
            connection.close()
            if problem not in _LATER and problem != errno.ECONNREFUSED:
                raise OSError(problem, f"{self._address[0]}:{self._address[1]} cannot be connected to")
            return False
        self._watch.register(connection.fileno(), select.EPOLLRDHUP)
        self._held[connection.fileno()] = connection
        return True

    def close(self) -> None:
        for connection in self._held.values():
            connection.close()
        self._watch.close()


def main(argv: list[str]) -> int:
    """Holds the connections until the file is there."""
    host, port, connections, stop = argv
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    room = most - SPARE_FILES if most != resource.RLIM_INFINITY else int(connections)
    if int(connections) > room:
        print(f"{connections} connections are more than the {room} files that a process may open here", file=sys.stderr)
        return 1
    flood = Flood(host, int(port), int(connections))
    try:
        while not Path(stop).exists():
            flood.tend()
            time.sleep(EVERY_S)
    finally:
        flood.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
