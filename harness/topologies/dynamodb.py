"""What is a key-value store like, that a cache can stand in front of instead of a relational database?

One server in one zone, which clients reach directly and which answers to DynamoDB's protocol (moto's). It keeps everything in
memory: what it is for is standing behind a cache, not being broken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness.clock import wait_until
from harness.protocols import AddressPlan, Cluster, Command, Endpoint, Greeting, NodeSpec, Paths
from harness.witnesses import LOOK

NODE, PORT = "dynamodb-az-a", 8000  # the port of Amazon's own local edition
HEALTH = b"GET /moto-api/ HTTP/1.0\r\n\r\n"
SERVER = "harness.dynamodb_server"


@dataclass(frozen=True)
class Dynamodb:
    """One store that answers to DynamoDB's protocol, without replicas and without failover; its data is in memory."""

    zones: ClassVar[tuple[str, ...]] = ("az-a",)
    endpoint_names: ClassVar[tuple[str, ...]] = ("writer", "reader")
    protocol: ClassVar[str] = "dynamodb"
    probed_slower: ClassVar[float] = 5  # a request takes the store some milliseconds of a core

    _specs: dict[str, NodeSpec] = field(default_factory=dict, init=False, repr=False, compare=False)

    def nodes(self, plan: AddressPlan) -> Sequence[NodeSpec]:
        (zone,) = plan.zones
        spec = NodeSpec(NODE, zone, "moto", "database", plan.take(zone), self._server, greeting=Greeting(PORT, HEALTH))
        self._specs[NODE] = spec
        return [spec]

    def _server(self, paths: Paths) -> Command:
        del paths  # it writes no file
        return Command(("python3", "-m", SERVER, "0.0.0.0", str(PORT)))

    def endpoints(self, zone: str) -> Mapping[str, Endpoint]:
        return {name: Endpoint(name, self._specs[NODE].address, PORT, HEALTH) for name in self.endpoint_names}

    @property
    def secrets(self) -> dict[str, str]:
        return {}

    def dsn(self, host: str, port: int) -> str:
        return f"http://{host}:{port}"

    def login(self, host: str, port: int) -> Mapping[str, Any]:
        return {"protocol": self.protocol, "host": host, "port": port}

    def client_config(self, zone: str) -> Mapping[str, Any]:
        return {"protocol": self.protocol, "probe": {}, "direct_port": PORT}

    def form(self, cluster: Cluster, progress: Callable[[str], None]) -> None:
        progress("starting the store")
        cluster.nodes[NODE].start()
        wait_until(lambda: self.healthy(cluster) is None, 60, "the store to answer", every_s=0.1)

    def healthy(self, cluster: Cluster) -> str | None:
        return None if self.roles(cluster)[NODE] == "primary" else f"{NODE} does not answer"

    def roles(self, cluster: Cluster) -> Mapping[str, str]:
        spec = cluster.nodes[NODE].spec
        said = cluster.client(spec.zone).run(*LOOK, "greet", spec.address, str(PORT), HEALTH.hex(), "1")
        return {NODE: "primary" if said.out.strip() == "answers" else "silent"}

    def versions(self, cluster: Cluster) -> Mapping[str, str]:
        asked = "import importlib.metadata; print(importlib.metadata.version('moto'))"
        return {"moto": cluster.nodes[NODE].run("python3", "-c", asked).out.strip()}

    def rejoin_way(self, log: str) -> str | None:
        return None
