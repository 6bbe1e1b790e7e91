"""How is a Redis or Valkey server asked in its own protocol (RESP 2), with nothing but the standard library?

For what operators do, in client nodes and from the harness: neither as exact as a probe nor as tolerant as a driver.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import IO, Any

Word = str | int | bytes


class Refused(Exception):
    """The server answered with an error; its text is the server's."""


def packed(words: Sequence[Word]) -> bytes:
    """A command as it is sent."""
    encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


def reply(source: IO[bytes], *, raw: bool = False) -> Any:
    """The next reply: str (bytes of a string if `raw`), int, None or a list; an error is a Refused.

    Raises EOFError when there is no whole one.
    """
    line = source.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError("the connection ended before the answer did")
    kind, rest = line[:1], line[1:-2].decode("utf-8", "replace")
    if kind == b"+":
        return rest
    if kind == b"-":
        return Refused(rest)
    if kind == b":":
        return int(rest)
    if kind not in (b"$", b"*"):
        raise ValueError(f"no reply of RESP 2: {line!r}")
    length = int(rest)
    if length < 0:
        return None
    if kind == b"*":
        return [reply(source, raw=raw) for _ in range(length)]
    told = source.read(length + 2)
    if len(told) < length + 2:
        raise EOFError("the connection ended before the answer did")
    return told[:-2] if raw else told[:-2].decode("utf-8", "replace")


def replies(text: str) -> list[Any]:
    """Every whole reply of what was heard."""
    source, found = io.BytesIO(text.encode()), []
    with suppress(EOFError):
        while True:
            found.append(reply(source))
    return found


class Server:
    """A connection to one server, logged in. Raises OSError or EOFError when the server is gone, Refused for its errors."""

    def __init__(self, host: str, port: int, user: str, password: str, timeout_s: float = 5) -> None:
        self.host, self.port = host, port
        self._socket = socket.create_connection((host, port), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._heard = self._socket.makefile("rb")
        self.ask("AUTH", user, password)

    def ask(self, *words: Word) -> Any:
        return self.ask_all([words])[0]

    def ask_all(self, commands: Iterable[Sequence[Word]], *, raw: bool = False) -> list[Any]:
        """The replies to several commands, which are sent at once."""
        return self.heard(self.send(commands), raw=raw)

    def send(self, commands: Iterable[Sequence[Word]]) -> int:
        """How many replies there are to be heard now."""
        asked = [packed(words) for words in commands]
        self._socket.sendall(b"".join(asked))
        return len(asked)

    def heard(self, count: int, *, raw: bool = False) -> list[Any]:
        told = [reply(self._heard, raw=raw) for _ in range(count)]
        for one in told:
            if isinstance(one, Refused):
                raise one
        return told

    def close(self) -> None:
        self._heard.close()
        self._socket.close()
