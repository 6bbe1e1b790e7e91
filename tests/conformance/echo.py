"""The smallest topology: one TCP server a zone that answers a byte, and notes datagrams and that it was asked to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness.clock import wait_until
from harness.protocols import AddressPlan, Cluster, Command, Endpoint, Greeting, NodeSpec, Paths
from harness.witnesses import LOOK

PORT = 7000
QUESTION = b"?"
ENDED = "asked to end"
SERVER = f"""
import os, signal, socket, threading
signal.signal(signal.SIGTERM, lambda *_: (print("{ENDED}", flush=True), os._exit(0)))
def datagrams():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("0.0.0.0", {PORT}))
        while True:
            print("datagram", heard.recv(100).decode(), flush=True)
threading.Thread(target=datagrams, daemon=True).start()
def answer(connection):
    with connection:
        while connection.recv(1):
            connection.sendall(b"!")
with socket.create_server(("0.0.0.0", {PORT})) as server:
    print("listening", flush=True)
    while True:
        threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
"""


@dataclass(frozen=True)
class Echo:
    """One echo server a zone; the first zone's is the writer."""

    zones: ClassVar[tuple[str, ...]] = ("az-a", "az-b", "az-c")
    endpoint_names: ClassVar[tuple[str, ...]] = ("writer",)
    protocol: ClassVar[str] = "echo"

    _specs: dict[str, NodeSpec] = field(default_factory=dict, init=False, repr=False, compare=False)

    def nodes(self, plan: AddressPlan) -> Sequence[NodeSpec]:
        return [self.came(f"echo-{zone}", zone, plan.take(zone), {}) for zone in plan.zones]

    def came(self, name: str, zone: str, address: str, made: Mapping[str, str]) -> NodeSpec:
        spec = NodeSpec(name, zone, "client", "database", address, _server, Greeting(PORT, QUESTION), made=made)
        self._specs[name] = spec
        return spec

    def went(self, name: str) -> None:
        self._specs.pop(name, None)

    def form(self, cluster: Cluster, progress: Callable[[str], None]) -> None:
        for zone in self.zones:
            cluster.nodes[f"echo-{zone}"].start()
        wait_until(lambda: self.healthy(cluster) is None, 20, "every server to answer")

    def healthy(self, cluster: Cluster) -> str | None:
        silent = [zone for zone in self.zones if seen(cluster, zone, zone) != "answers"]
        return f"silent: {', '.join(silent)}" if silent else None

    def roles(self, cluster: Cluster) -> Mapping[str, str]:
        return {f"echo-{zone}": "replica" if number else "primary" for number, zone in enumerate(self.zones)}

    def versions(self, cluster: Cluster) -> Mapping[str, str]:
        return {}

    def rejoin_way(self, log: str) -> str | None:
        return None

    def endpoints(self, zone: str) -> Mapping[str, Endpoint]:
        return {"writer": Endpoint("writer", self._specs["echo-az-a"].address, PORT, QUESTION)}

    @property
    def secrets(self) -> dict[str, str]:
        return {}

    def dsn(self, host: str, port: int) -> str:
        return f"tcp://{host}:{port}"

    def login(self, host: str, port: int) -> Mapping[str, Any]:
        return {"protocol": self.protocol, "host": host, "port": port}

    def client_config(self, zone: str) -> Mapping[str, Any]:
        return {}


def _server(paths: Paths) -> Command:
    path = f"{paths.config}/echo.py"
    return Command(("python3", path), files={path: SERVER})


def seen(cluster: Cluster, zone: str, of: str) -> str:
    """What the client node of `zone` sees of the server in zone `of`: answers, refused, silent."""
    address = cluster.nodes[f"echo-{of}"].spec.address
    return cluster.client(zone).run(*LOOK, "greet", address, str(PORT), QUESTION.hex(), "0.6").out.strip()


def send_datagram(cluster: Cluster, zone: str, to: str, word: str) -> None:
    """Sends a datagram from the server's node of one zone to that of another; nobody answers."""
    address = cluster.nodes[f"echo-{to}"].spec.address
    script = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'{word}', ('{address}', {PORT}))"
    cluster.nodes[f"echo-{zone}"].run("python3", "-c", script)
