"""Which servers does a benchmark ask? One of each kind, alone on loopback, gone when the benchmark is over."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmarks.toxiproxy import HOST, free_port, postgres_bin, running
from harness.namespaces import servers

CLIENTS = 1100  # a thousand users, and who prepares for them
Login = dict[str, Any]


class NotHereError(Exception):
    """There is no such server on this machine."""


def served(protocol: str) -> AbstractContextManager[Login]:
    """The login to what speaks a protocol. Raises NotHereError on entering."""
    return _SERVED[protocol]()


@contextlib.contextmanager
def postgresql(*, durable: bool = False) -> Iterator[Login]:
    """It keeps the load waiting less where it is not `durable`."""
    programs, port = postgres_bin(), free_port()
    if programs is None:
        raise NotHereError("PostgreSQL")
    user = 65534 if os.geteuid() == 0 else None  # it refuses to run as root
    with tempfile.TemporaryDirectory(prefix="harness-benchmark-") as folder:
        Path(folder).chmod(0o777)
        data = Path(folder, "data")
        made: list[str | Path] = [programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres"]
        subprocess.run(made, check=True, capture_output=True, user=user, cwd="/")
        settings = {
            "port": port, "listen_addresses": HOST, "unix_socket_directories": folder, "fsync": "on" if durable else "off",
            "max_connections": CLIENTS,
        }  # fmt: skip
        options = [f"-c{name}={value}" for name, value in settings.items()]
        with running([programs / "postgres", "-D", data, *options], port, user):
            yield {
                "protocol": "postgresql", "host": HOST, "port": port, "user": "postgres", "dbname": "postgres",
                "options": "-c search_path=workload",
            }  # fmt: skip


@contextlib.contextmanager
def valkey() -> Iterator[Login]:
    program, port = _program("valkey-server"), free_port()
    with running([program, "--port", str(port), "--bind", HOST, "--save", "", "--dir", tempfile.gettempdir()], port):
        yield {"protocol": "redis", "host": HOST, "port": port, "user": None, "password": None}


@contextlib.contextmanager
def memcached() -> Iterator[Login]:
    program, port = _program("memcached"), free_port()
    with running([program, "-l", HOST, "-p", str(port), "-c", str(CLIENTS), "-u", "nobody"], port):
        yield {"protocol": "memcached", "servers": [["cache-1", HOST, port]]}


@contextlib.contextmanager
def cached() -> Iterator[Login]:
    with valkey() as cache, postgresql() as origin:
        yield {"protocol": "cached", "cache": cache, "origin": origin}


def _program(name: str) -> str:
    found = shutil.which(name, path=servers.path())
    if found is None:
        raise NotHereError(name)
    return found


_SERVED: dict[str, Callable[[], AbstractContextManager[Login]]] = {
    "postgresql": postgresql, "redis": valkey, "memcached": memcached, "cached": cached,
}  # fmt: skip
