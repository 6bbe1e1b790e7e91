"""A Memcached of this machine, for tests of what talks to it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.clock import wait_until
from harness.namespaces import servers


@contextmanager
def running(memory_mb: int = 16) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Its port on loopback, and its process, which is ended in the end."""
    program = shutil.which("memcached", path=servers.path())
    assert program, "apt-get install memcached brings it"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = (program, "-u", "nobody", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", str(memory_mb))
    process = subprocess.Popen(argv)
    try:
        wait_until(lambda: _answers(port), 10, "Memcached to answer", every_s=0.02)
        yield port, process
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def signalled(process: int, number: int) -> None:
    """Sends a child a signal, and returns when all of its threads that were to stop, or to end, have done so.

    The first thread alone tells too little: the others may still answer, and keep the listening socket open.
    """
    os.kill(process, number)
    if number == signal.SIGSTOP:
        wait_until(lambda: set(_states(process)) == {"T"}, 5, "the process to stop", every_s=0.01)
    elif number == signal.SIGKILL:
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)  # reported when its last thread has closed its files


def _states(process: int) -> list[str]:
    threads = Path(f"/proc/{process}/task").glob("*/stat")
    return [thread.read_text().rpartition(")")[2].split()[0] for thread in threads]
