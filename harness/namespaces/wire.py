"""How does a process ask something of a node, or of the keeper of all nodes?

One connection to a Unix socket is one question: a line of JSON there, a line of JSON back. Open files may come along.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import ClusterError

LONGEST = 64 << 20  # bytes of one question, or one answer
FILES_MAX = 64


@contextmanager
def connected(path: Path, within_s: float | None) -> Iterator[socket.socket]:
    """A connection to the socket of that path. Raises OSError."""
    # The kernel takes 107 bytes for a socket's name, which a run folder's path may well exceed; a folder's number is short.
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
            one.settimeout(within_s)
            one.connect(f"/proc/self/fd/{folder}/{path.name}")
            yield one
    finally:
        os.close(folder)


def ask(path: Path, what: str, /, within_s: float | None = 120, along: Sequence[int] = (), **about: Any) -> dict[str, Any]:
    """Asks, and returns the answer. Raises ClusterError, with the reason that was given or that there is no answer."""
    try:
        with connected(path, within_s) as one:
            question = json.dumps({"ask": what, **about}).encode() + b"\n"
            if along:
                socket.send_fds(one, [question[:1]], list(along))
                question = question[1:]
            one.sendall(question)
            one.shutdown(socket.SHUT_WR)
            said = b"".join(iter(lambda: one.recv(1 << 16), b""))
    except OSError as problem:
        raise ClusterError(f"{path.stem} does not answer ({problem.strerror or problem})") from None
    return _answer(path, said)


def _answer(path: Path, said: bytes) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(said)
    except ValueError:
        raise ClusterError(f"{path.stem} ended while it was asked") from None
    if refused := answer.get("refused"):
        raise ClusterError(str(refused))
    return answer


def question(one: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """What is asked on a connection that was accepted, and the files that came along. Raises ValueError, OSError."""
    said, files, _, _ = socket.recv_fds(one, 1 << 16, FILES_MAX)
    while not said.endswith(b"\n"):
        chunk = one.recv(1 << 16)
        if not chunk or len(said) > LONGEST:
            raise ValueError("a question without an end")
        said += chunk
    return json.loads(said), files


def answered(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def process_of(one: socket.socket) -> int:
    """The process that listens at the other end, as this one calls it."""
    return int(struct.unpack("=iII", one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
