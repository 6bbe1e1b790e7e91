"""What does RDS Multi-AZ promise, on PostgreSQL with automatic failover over three zones?

In each zone a member of what keeps the leader's lock (etcd, or where that is not to be had Patroni's own Raft), a PostgreSQL
under Patroni, and a HAProxy that leads that zone's clients to the primary (writer) or the replicas (reader). Patroni
promotes by itself; the harness only observes.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import partial
from typing import Any, ClassVar, Literal

import yaml

from harness.clock import wait_until
from harness.errors import ClusterError
from harness.protocols import AddressPlan, Cluster, Command, Endpoint, Greeting, ManagerRecord, NodeSpec, Paths
from harness.topologies import _accounts
from harness.topologies._accounts import PORT, PROTOCOL, SSL_REQUEST
from harness.topologies._haproxy_log import routed
from harness.topologies._locks import LOCKS, VERSION_OF, Lock, start
from harness.topologies._patroni_log import recorded
from harness.witnesses import LOOK

REST = 8008
PRIMARY = ("primary", "master")  # Patroni's word for it, since version 4 and before
WRITER, READER = 5000, 5001


@dataclass(frozen=True)
class RdsMultiAz:
    """PostgreSQL under Patroni, and etcd or Raft, over three zones, a HAProxy per zone as the endpoint.

    `replication`: synchronous (as RDS Multi-AZ is: a commit waits for one replica) or asynchronous. With `strict` a commit waits
    for a replica even when none is left (Patroni's synchronous_mode_strict), which else nobody waits for then.
    `ttl`, `loop_wait`, `retry_timeout` are Patroni's: how long the leader's lock lives, how often a member
    looks, how long it tries to reach etcd. Patroni raises lower values in silence, so they are refused here.
    """

    zones: ClassVar[tuple[str, ...]] = ("az-a", "az-b", "az-c")
    endpoint_names: ClassVar[tuple[str, ...]] = ("writer", "reader")
    protocol: ClassVar[str] = PROTOCOL
    recorded_by: ClassVar[str] = "database"  # Patroni and its PostgreSQL are one node's

    replication: Literal["synchronous", "asynchronous"] = "synchronous"
    strict: bool = False
    ttl_s: float = 20
    loop_wait_s: float = 1
    retry_timeout_s: float = 3

    _specs: dict[str, NodeSpec] = field(default_factory=dict, init=False, repr=False, compare=False)
    _secrets: dict[str, str] = field(
        default_factory=partial(_accounts.passwords, "replication", "rewind"), init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if self.ttl_s < 20 or self.loop_wait_s < 1 or self.retry_timeout_s < 3:
            raise ValueError("Patroni's least values are ttl 20s, loop_wait 1s, retry_timeout 3s")
        if self.strict and self.replication == "asynchronous":
            raise ValueError("strict asks every commit to wait for a replica; leave it out, or the asynchronous replication")
        if self.loop_wait_s + 2 * self.retry_timeout_s > self.ttl_s:
            raise ValueError("Patroni needs loop_wait + 2 * retry_timeout <= ttl")

    # --- layout ---

    def nodes(self, plan: AddressPlan) -> Sequence[NodeSpec]:
        address = {(server, zone): plan.take(zone) for zone in plan.zones for server in ("manager", "pg", "haproxy")}
        lock = LOCKS["etcd" if "etcd" in plan.servers else "raft"]({zone: address["manager", zone] for zone in plan.zones})
        databases = {zone: address["pg", zone] for zone in plan.zones}
        specs = []
        for zone in plan.zones:
            specs.append(
                NodeSpec(
                    f"manager-{zone}", zone, lock.server, "manager", lock.members[zone],
                    partial(lock.command, zone=zone), in_memory=True,
                )
            )  # fmt: skip
            specs.append(
                NodeSpec(
                    f"pg-{zone}", zone, "postgres", "database", databases[zone],
                    partial(self._patroni, zone=zone, address=databases[zone], lock=lock),
                    greeting=Greeting(PORT, SSL_REQUEST), unprivileged=True,
                )
            )  # fmt: skip
            specs.append(
                NodeSpec(
                    f"haproxy-{zone}", zone, "haproxy", "router", address["haproxy", zone],
                    partial(self._haproxy, databases=databases),
                )
            )  # fmt: skip
        self._specs.update({spec.name: spec for spec in specs})
        return specs

    def endpoints(self, zone: str) -> Mapping[str, Endpoint]:
        router = self._specs[f"haproxy-{zone}"].address
        return {
            "writer": Endpoint("writer", router, WRITER, SSL_REQUEST),
            "reader": Endpoint("reader", router, READER, SSL_REQUEST),
        }

    @property
    def secrets(self) -> dict[str, str]:
        return self._secrets

    @property
    def manager_loop_s(self) -> float:
        return self.loop_wait_s

    def dsn(self, host: str, port: int) -> str:
        return _accounts.dsn(self._secrets, host, port)

    def login(self, host: str, port: int) -> Mapping[str, Any]:
        return _accounts.login(self._secrets, host, port)

    def client_config(self, zone: str) -> Mapping[str, Any]:
        manager = {"speaks": "patroni", "host": self._specs[f"pg-{zone}"].address, "port": REST}
        return {**_accounts.probing(self._secrets), "manager": manager}

    # --- forming ---

    def form(self, cluster: Cluster, progress: Callable[[str], None]) -> None:
        for role, sentence in (
            ("manager", "starting what keeps the leader's lock"),
            ("database", "starting PostgreSQL"),
            ("router", None),
        ):
            if sentence:
                progress(sentence)
            members = [node for node in cluster.nodes.values() if node.spec.role == role]
            if role == "manager":
                start(cluster, members)
                continue
            with ThreadPoolExecutor(len(members)) as pool:
                list(pool.map(lambda node: node.start(), members))
        primary = wait_until(lambda: self._primary(cluster), 90, "a primary") or ""
        _accounts.create(cluster.nodes[primary], self._secrets)
        progress("waiting for every member to say that it is healthy")
        self._await_healthy(cluster)

    def _await_healthy(self, cluster: Cluster) -> None:
        missing: list[str] = []

        def healthy() -> bool:
            missing[:] = [found] if (found := self.healthy(cluster)) else []
            return not missing

        try:
            wait_until(healthy, 90, "every member to be healthy", every_s=0.25)
        except ClusterError as problem:
            raise ClusterError(f"{problem}: {'; '.join(missing)}") from None

    def healthy(self, cluster: Cluster) -> str | None:
        """Asks each member's own REST interface, since the primary's list of members runs up to 11 s ahead."""
        members = self.members(cluster)
        primaries = [name for name, said in members.items() if said.get("role") in PRIMARY]
        if len(primaries) != 1:
            return f"{len(primaries)} primaries"
        synchronous = 0
        for name, said in members.items():
            if said.get("state") not in ("running", "streaming"):
                return f"{name} is {said.get('state', 'silent')}"
            if name in primaries:
                synchronous = sum(1 for r in said.get("replication", ()) if r.get("sync_state") in ("sync", "quorum"))
            elif said.get("replication_state") != "streaming":
                return f"{name} is not streaming"
        if self.replication == "synchronous" and not synchronous:
            return "no replica is synchronous yet"
        return None

    def members(self, cluster: Cluster) -> Mapping[str, Mapping[str, Any]]:
        """What each database node's Patroni says of itself, asked from its own zone; empty where it is silent."""
        nodes = [node for node in cluster.nodes.values() if node.spec.role == "database"]

        def ask(name: str, zone: str, address: str) -> tuple[str, Mapping[str, Any]]:
            said = cluster.client(zone).run(*LOOK, "http", address, str(REST), "/patroni", "2").out
            try:
                return name, json.loads(said)
            except json.JSONDecodeError:
                return name, {}

        with ThreadPoolExecutor(len(nodes)) as pool:
            return dict(pool.map(lambda node: ask(node.spec.name, node.spec.zone, node.spec.address), nodes))

    def roles(self, cluster: Cluster) -> Mapping[str, str]:
        members = self.members(cluster)
        return {name: "primary" if said.get("role") in PRIMARY else str(said.get("role")) for name, said in members.items()}

    def switch_over(self, cluster: Cluster, to: str | None) -> None:
        """Asks the leader's Patroni, from the leader's zone, which answers once it is over or has given up."""
        leader = self._primary(cluster)
        if leader is None:
            raise ClusterError("there is no running primary whose Patroni could be asked")
        spec = cluster.nodes[leader].spec
        asked = json.dumps({"leader": leader, **({"candidate": to} if to else {})})
        said = cluster.client(spec.zone).run(*LOOK, "post", spec.address, str(REST), "/switchover", "30", asked)
        status, _, answer = said.out.strip().partition(" ")
        if status != "200":
            raise ClusterError(f"Patroni on {leader} did not switch over: {answer or 'it gave no reason'} (HTTP {status})")

    def versions(self, cluster: Cluster) -> Mapping[str, str]:
        zone = self.zones[0]
        manager = next(node.spec for node in cluster.nodes.values() if node.spec.role == "manager")
        asked = {
            "postgresql": (f"pg-{zone}", "postgres", "--version"),
            "patroni": (f"pg-{zone}", "patroni", "--version"),
            "haproxy": (f"haproxy-{zone}", "haproxy", "-v"),
            manager.server: (manager.name, *VERSION_OF[manager.server]),
        }
        with ThreadPoolExecutor(len(asked)) as pool:
            said = pool.map(lambda words: cluster.nodes[words[0]].run(*words[1:]).out, asked.values())
        return {name: (text.strip().splitlines() or ["unknown"])[0] for name, text in zip(asked, said, strict=True)}

    def rejoin_way(self, log: str) -> str | None:
        if "running pg_rewind" in log:
            return "rewind"
        return "basebackup" if "pg_basebackup failed" in log else None

    def records(self, log: str, zone: tzinfo) -> Iterable[ManagerRecord]:
        return recorded(log, zone)

    def routes(self, log: str) -> Iterable[ManagerRecord]:
        return routed(log, "writer")

    def _primary(self, cluster: Cluster) -> str | None:
        for name, said in self.members(cluster).items():
            if said.get("role") in PRIMARY and said.get("state") == "running":
                return name
        return None

    # --- servers ---

    def _patroni(self, paths: Paths, zone: str, address: str, lock: Lock) -> Command:
        config = {
            "scope": "harness",
            "name": f"pg-{zone}",
            "restapi": {"listen": f"0.0.0.0:{REST}", "connect_address": f"{address}:{REST}"},
            **lock.settings(),
            "bootstrap": {
                "dcs": self._shared_settings(),
                "initdb": ["data-checksums", {"encoding": "UTF8"}, {"locale": "C.UTF-8"}],
            },
            "postgresql": self._own_settings(paths, address),
        }
        return Command(
            ("patroni", f"{paths.config}/patroni.yml"),
            files={f"{paths.config}/patroni.yml": yaml.safe_dump(config, sort_keys=False)},
            environment={"LC_ALL": "C.UTF-8"},
        )

    def _shared_settings(self) -> Mapping[str, Any]:
        return {
            "ttl": int(self.ttl_s),
            "loop_wait": int(self.loop_wait_s),
            "retry_timeout": int(self.retry_timeout_s),
            "maximum_lag_on_failover": 1_048_576,
            "synchronous_mode": self.replication == "synchronous",
            "synchronous_mode_strict": self.strict,
            "postgresql": {
                "use_pg_rewind": True,
                "parameters": {
                    # Clients that give up on a commit leave a session that waits for its replica, and connect again.
                    "max_connections": 400,
                    "shared_buffers": "64MB",
                    "wal_keep_size": "256MB",
                    "hot_standby": "on",
                    # All nodes share one disk: three of them zeroing a new segment at once held writes up for 0.46 s.
                    "wal_init_zero": "off",
                    # A demoted primary shuts down only once its replicas have its last bytes: at the default of 60 s
                    # it took 65 s after a partition had healed until it was a replica again.
                    "wal_sender_timeout": "10s",
                    "wal_receiver_timeout": "10s",
                    "password_encryption": "scram-sha-256",
                },
            },
        }

    def _own_settings(self, paths: Paths, address: str) -> Mapping[str, Any]:
        return {
            "listen": f"0.0.0.0:{PORT}",
            "connect_address": f"{address}:{PORT}",
            "data_dir": f"{paths.data}/pg",
            "pgpass": f"{paths.config}/pgpass",
            "basebackup": [{"checkpoint": "fast"}],
            # Where its user may write, on every runtime; nobody asks there.
            "parameters": {"unix_socket_directories": paths.data},
            "authentication": {
                "superuser": {"username": "postgres", "password": self._secrets["superuser"]},
                "replication": {"username": "replicator", "password": self._secrets["replication"]},
                "rewind": {"username": "rewinder", "password": self._secrets["rewind"]},
            },
            # Replication from 127.0.0.1 too: without it an old primary never rejoins by rewind.
            "pg_hba": [
                "local all all trust",
                "host replication replicator 127.0.0.1/32 scram-sha-256",
                "host replication replicator 0.0.0.0/0 scram-sha-256",
                "host all all 0.0.0.0/0 scram-sha-256",
            ],
        }

    def _haproxy(self, paths: Paths, databases: Mapping[str, str]) -> Command:
        def servers(check: str) -> str:
            lines = [f"  server pg-{zone} {address}:{PORT} check port {REST}" for zone, address in databases.items()]
            return f"  option httpchk OPTIONS {check}\n  http-check expect status 200\n" + "\n".join(lines)

        config = textwrap.dedent("""\
            global
              maxconn 4000
              nbthread 1
              # With the time at which a server was found up, to the microsecond; a line for each connection would be many.
              log stdout format timed local0 notice
            defaults
              mode tcp
              log global
              timeout connect 1s
              timeout check 2s
              timeout client 1h
              timeout server 1h
              # A retry that waits while its last server is marked down hangs for good (seen with 3.0), so none.
              retries 0
              timeout queue 1s
              default-server inter 1s fastinter 300ms downinter 500ms fall 3 rise 1 on-marked-down shutdown-sessions
            """)
        config += f"listen writer\n  bind 0.0.0.0:{WRITER}\n{servers('/primary')}\n"
        config += f"listen reader\n  bind 0.0.0.0:{READER}\n{servers('/replica')}\n"
        return Command(("haproxy", "-db", "-f", f"{paths.config}/haproxy.cfg"), files={f"{paths.config}/haproxy.cfg": config})
