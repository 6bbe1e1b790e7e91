"""What does a single PostgreSQL without any failover do, when it is broken?

One server in one zone, which clients reach directly: what every promise of high availability is compared with, and what the
stopwatch itself is calibrated on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness.clock import wait_until
from harness.protocols import AddressPlan, Cluster, Command, Endpoint, Greeting, NodeSpec, Paths
from harness.topologies import _accounts
from harness.topologies._accounts import PORT, PROTOCOL, SSL_REQUEST
from harness.witnesses import LOOK

NODE = "pg-az-a"
_START = """
set -e
data=$1/pg
if [ ! -e "$data/PG_VERSION" ]; then
  initdb --pgdata "$data" --username postgres --pwfile "$2/superuser" --auth-host scram-sha-256 --auth-local trust \
    --data-checksums --encoding UTF8 --locale C.UTF-8
  echo 'host all all 0.0.0.0/0 scram-sha-256' >> "$data/pg_hba.conf"
fi
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories="$1" -c max_connections=400 \
  -c shared_buffers=64MB -c wal_init_zero=off
"""


@dataclass(frozen=True)
class Postgresql:
    """One PostgreSQL server, without replicas and without failover."""

    zones: ClassVar[tuple[str, ...]] = ("az-a",)
    endpoint_names: ClassVar[tuple[str, ...]] = ("writer", "reader")
    protocol: ClassVar[str] = PROTOCOL

    _specs: dict[str, NodeSpec] = field(default_factory=dict, init=False, repr=False, compare=False)
    _secrets: dict[str, str] = field(default_factory=_accounts.passwords, init=False, repr=False, compare=False)

    def nodes(self, plan: AddressPlan) -> Sequence[NodeSpec]:
        (zone,) = plan.zones
        greeting = Greeting(PORT, SSL_REQUEST)
        spec = NodeSpec(NODE, zone, "postgres", "database", plan.take(zone), self._server, greeting=greeting, unprivileged=True)
        self._specs[NODE] = spec
        return [spec]

    def _server(self, paths: Paths) -> Command:
        return Command(
            ("sh", "-c", _START, "sh", paths.data, paths.config),
            files={f"{paths.config}/superuser": self._secrets["superuser"] + "\n"},
            environment={"LC_ALL": "C.UTF-8"},
        )

    def endpoints(self, zone: str) -> Mapping[str, Endpoint]:
        return {name: Endpoint(name, self._specs[NODE].address, PORT, SSL_REQUEST) for name in self.endpoint_names}

    @property
    def secrets(self) -> dict[str, str]:
        return self._secrets

    def dsn(self, host: str, port: int) -> str:
        return _accounts.dsn(self._secrets, host, port)

    def login(self, host: str, port: int) -> Mapping[str, Any]:
        return _accounts.login(self._secrets, host, port)

    def client_config(self, zone: str) -> Mapping[str, Any]:
        return _accounts.probing(self._secrets)

    def form(self, cluster: Cluster, progress: Callable[[str], None]) -> None:
        progress("starting PostgreSQL")
        cluster.nodes[NODE].start()
        wait_until(lambda: self.healthy(cluster) is None, 60, "PostgreSQL to take connections", every_s=0.1)
        _accounts.create(cluster.nodes[NODE], self._secrets)

    def let_probes_commit_asynchronously(self, cluster: Cluster) -> None:
        """For who measures the probes themselves, and not how long a disk takes."""
        _accounts.let_probes_commit_asynchronously(cluster.nodes[NODE], self._secrets)

    def healthy(self, cluster: Cluster) -> str | None:
        spec = cluster.nodes[NODE].spec
        ready = cluster.nodes[NODE].run("pg_isready", "-q", "-h", spec.address, "-p", str(PORT)).status == 0
        return None if ready else f"{NODE} takes no connections"

    def roles(self, cluster: Cluster) -> Mapping[str, str]:
        spec = cluster.nodes[NODE].spec
        said = cluster.client(spec.zone).run(*LOOK, "greet", spec.address, str(PORT), SSL_REQUEST.hex(), "1")
        return {NODE: "primary" if said.out.strip() == "answers" else "silent"}

    def versions(self, cluster: Cluster) -> Mapping[str, str]:
        return {"postgresql": cluster.nodes[NODE].run("postgres", "--version").out.strip()}

    def rejoin_way(self, log: str) -> str | None:
        return None
