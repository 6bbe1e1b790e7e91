"""What does ElastiCache for Redis promise with cluster mode off: one primary, replicas, and a failover by itself?

Over three zones a primary and its replicas (Valkey or Redis), in each zone a Sentinel, and a HAProxy that leads that zone's
clients to the node that Sentinels name as primary, and to the replicas that follow it. The Sentinels promote; the harness only
observes.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Literal

from harness.clock import wait_until
from harness.errors import ClusterError
from harness.protocols import AddressPlan, Cluster, Command, Endpoint, Greeting, Limits, ManagerRecord, NodeSpec, Paths
from harness.topologies import _sentinel_routing
from harness.topologies._haproxy_log import routed
from harness.topologies._node_types import node_type
from harness.topologies._sentinel_log import recorded
from harness.witnesses import LOOK

PORT, SENTINEL_PORT = 6379, 26379
WRITER, READER = 6379, 6380  # at a zone's router
NAME = "cache"  # by which Sentinels know the primary
PING = b"PING\r\n"  # answered before any login: by an error, which is an answer
REPLICAS_MAX = 5  # ElastiCache's
QUORUM = 2  # of three Sentinels
# Where a server rewrites its configuration when its role changes: started again, it is what it was last.
_START = """
set -e
[ -e "$1/$2.conf" ] || cp "$3/$2.conf" "$1/$2.conf"
exec "$4-server" "$1/$2.conf" $5
"""
Eviction = Literal[
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
]


@dataclass(frozen=True)
class ElasticacheRedis:
    """A primary with `replicas` (up to 5) over three zones, three Sentinels, a HAProxy per zone as the endpoint.

    `engine` is the server. `persistence`: `none`, or `aof` (appended, synced each second). With `min_replicas_to_write`, a
    primary refuses writes while fewer replicas have answered within `replicas_lag`. A primary that is silent for `down_after` is
    down, once two Sentinels say so; a failover that stalls is tried again after twice `failover_timeout`. `node_type` gives every
    database node its memory and CPU (`cache.m.large`, …; without one they have no limit), `eviction` is what happens when its
    memory is full.
    """

    zones: ClassVar[tuple[str, ...]] = ("az-a", "az-b", "az-c")
    endpoint_names: ClassVar[tuple[str, ...]] = ("writer", "reader")
    protocol: ClassVar[str] = "redis"
    recorded_by: ClassVar[str] = "manager"

    engine: Literal["valkey", "redis"] = "valkey"
    replicas: int = 2
    persistence: Literal["none", "aof"] = "none"
    min_replicas_to_write: int = 0
    replicas_lag_s: int = 2
    down_after_s: float = 5
    failover_timeout_s: float = 30
    node_type: str = ""
    eviction: Eviction = "volatile-lru"

    _specs: dict[str, NodeSpec] = field(default_factory=dict, init=False, repr=False, compare=False)
    _secrets: dict[str, str] = field(
        default_factory=lambda: {user: secrets.token_urlsafe(18) for user in ("admin", "application", "probe")},
        init=False, repr=False, compare=False,
    )  # fmt: skip

    def __post_init__(self) -> None:
        if not 1 <= self.replicas <= REPLICAS_MAX:
            raise ValueError(f"{self.replicas} replicas; a primary that shall have a successor has 1 to {REPLICAS_MAX}")
        if self.min_replicas_to_write > self.replicas:
            raise ValueError(f"min_replicas_to_write is {self.min_replicas_to_write}, but there are {self.replicas} replicas")
        if self.replicas_lag_s < 1:
            raise ValueError("replicas_lag is 1s at least: replicas answer once a second")
        if self.down_after_s <= 0 or self.failover_timeout_s <= 0:
            raise ValueError("down_after and failover_timeout are more than 0s: Sentinel refuses others")
        if self.node_type:
            node_type(self.node_type)

    # --- layout ---

    def nodes(self, plan: AddressPlan) -> Sequence[NodeSpec]:
        places = [(f"cache-{zone}", zone) for zone in plan.zones]
        places += [(f"cache-{zone}-2", zone) for zone in plan.zones]
        databases = {name: (zone, plan.take(zone)) for name, zone in places[: 1 + self.replicas]}
        sentinels = {zone: plan.take(zone) for zone in plan.zones}
        primary = next(address for _, address in databases.values())
        limits = node_type(self.node_type).limits if self.node_type else Limits()
        specs = [
            NodeSpec(
                name, zone, self.engine, "database", address, partial(self._server, address=address, primary=primary),
                greeting=Greeting(PORT, PING), in_memory=self.persistence == "none", limits=limits,
            )
            for name, (zone, address) in databases.items()
        ]  # fmt: skip
        addresses = {name: address for name, (_, address) in databases.items()}
        sentinel = partial(self._sentinel, sentinels=[*sentinels.values()], databases=[*addresses.values()])
        for zone in plan.zones:
            specs.append(
                NodeSpec(
                    f"sentinel-{zone}", zone, self.engine, "manager", sentinels[zone],
                    partial(sentinel, address=sentinels[zone]), greeting=Greeting(SENTINEL_PORT, PING),
                )
            )  # fmt: skip
            own_first = [sentinels[zone], *(address for other, address in sentinels.items() if other != zone)]
            specs.append(
                NodeSpec(
                    f"haproxy-{zone}", zone, "haproxy", "router", plan.take(zone),
                    partial(self._router, databases=addresses, sentinels=own_first),
                )
            )  # fmt: skip
        self._specs.update({spec.name: spec for spec in specs})
        return specs

    def endpoints(self, zone: str) -> Mapping[str, Endpoint]:
        router = self._specs[f"haproxy-{zone}"].address
        return {"writer": Endpoint("writer", router, WRITER, PING), "reader": Endpoint("reader", router, READER, PING)}

    @property
    def secrets(self) -> dict[str, str]:
        return self._secrets

    def dsn(self, host: str, port: int) -> str:
        return f"redis://application:{self._secrets['application']}@{host}:{port}/0"

    def login(self, host: str, port: int) -> Mapping[str, Any]:
        user = {"user": "application", "password": self._secrets["application"]}
        return {"protocol": self.protocol, "host": host, "port": port, **user}

    def client_config(self, zone: str) -> Mapping[str, Any]:
        probe = {"user": "probe", "password": self._secrets["probe"]}
        return {"protocol": self.protocol, "probe": probe, "direct_port": PORT}

    # --- forming ---

    def form(self, cluster: Cluster, progress: Callable[[str], None]) -> None:
        """All at once: each Sentinel is told of the others and of the replicas, which it would ask for only every 10 s."""
        progress(f"starting {self.engine}")
        _start(cluster, "database", "manager", "router")
        progress("waiting for every member to say that it is healthy")
        _await(lambda: self.healthy(cluster), "every member to be healthy")

    def healthy(self, cluster: Cluster) -> str | None:
        """Asks each node and each Sentinel itself."""
        return self._unfit(cluster) or self._unwatched(cluster)

    def _unfit(self, cluster: Cluster) -> str | None:
        """What is missing of a primary and replicas that are in sync with it, by the word of each."""
        said = self.members(cluster)
        primaries = [name for name, one in said.items() if one.get("role") == "master"]
        if len(primaries) != 1:
            return f"{len(primaries)} primaries"
        address = cluster.nodes[primaries[0]].spec.address
        for name, one in said.items():
            if name == primaries[0]:
                continue
            if not one:
                return f"{name} is silent"
            if one.get("master_host") != address:
                return f"{name} does not follow {primaries[0]}"
            if one.get("master_link_status") != "up" or one.get("master_sync_in_progress") != "0":
                return f"{name} is not in sync"
        return None

    def _unwatched(self, cluster: Cluster) -> str | None:
        """What is missing of Sentinels that know the primary, each other and every replica, by the word of each."""
        primary = next((name for name, role in self.roles(cluster).items() if role == "primary"), None)
        address = cluster.nodes[primary].spec.address if primary else None
        others = str(len(cluster.zones) - 1)
        wanted = {"ip": address, "flags": "master", "num-slaves": str(self.replicas), "num-other-sentinels": others}
        for name, said in _asked(cluster, "manager", SENTINEL_PORT, f"SENTINEL MASTER {NAME}").items():
            known = dict(pairwise(_strings(said)))
            for what, value in wanted.items():
                if known.get(what) != value:
                    return f"{name} says that {what} is {known.get(what, 'unknown')}, not {value}"
        return None

    def members(self, cluster: Cluster) -> Mapping[str, Mapping[str, str]]:
        """What each database node says of its replication, asked from its own zone; empty where it is silent."""
        said = _asked(cluster, "database", PORT, f"AUTH probe {self._secrets['probe']}\r\nINFO replication")
        return {name: dict(_pairs(text)) for name, text in said.items()}

    def roles(self, cluster: Cluster) -> Mapping[str, str]:
        words = {"master": "primary", "slave": "replica"}
        return {name: words.get(said.get("role", ""), "silent") for name, said in self.members(cluster).items()}

    def switch_over(self, cluster: Cluster, to: str | None) -> None:
        """Asks a Sentinel for a failover, and waits until it names another node; which one, Sentinels choose by themselves.

        A node that is wanted is made the one that they prefer (`replica-priority`) until they have chosen.
        """
        roles = self.roles(cluster)
        before = next((name for name, role in roles.items() if role == "primary"), None)
        if before is None:
            raise ClusterError("there is no primary to move from")
        others = [name for name, role in roles.items() if role == "replica" and name != to] if to else []
        sentinel = next(node.spec for node in cluster.nodes.values() if node.spec.role == "manager")
        address = cluster.nodes[before].spec.address

        def names_another() -> bool:
            said = _strings(_talk(cluster, sentinel, SENTINEL_PORT, f"SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}"))
            return bool(said) and address not in said

        try:
            for name in others:
                self._configure(cluster, name, "replica-priority", "0")
            if others:  # Sentinels read priorities once in 10 s; until they have, they might choose another one
                wait_until(partial(self._passed_over, cluster, sentinel, others), 15, f"{sentinel.name} to prefer {to}")
            said = _talk(cluster, sentinel, SENTINEL_PORT, f"SENTINEL FAILOVER {NAME}")
            if not said.startswith("+OK"):
                raise ClusterError(f"{sentinel.name} did not begin a failover: {said.strip() or 'it said nothing'}")
            wait_until(names_another, 60, f"{sentinel.name} to name another primary than {before}")
        finally:
            for name in others:
                self._configure(cluster, name, "replica-priority", "100")

    def _passed_over(self, cluster: Cluster, sentinel: NodeSpec, nodes: Sequence[str]) -> bool:
        """Whether a Sentinel knows that these replicas shall never be primary."""
        priority: dict[str, str] = {}
        address = ""
        for key, value in pairwise(_strings(_talk(cluster, sentinel, SENTINEL_PORT, f"SENTINEL REPLICAS {NAME}"))):
            address = value if key == "ip" else address
            if key == "slave-priority":
                priority[address] = value
        return all(priority.get(cluster.nodes[name].spec.address) == "0" for name in nodes)

    def _configure(self, cluster: Cluster, name: str, what: str, value: str) -> None:
        said = _talk(cluster, cluster.nodes[name].spec, PORT, f"AUTH admin {self._secrets['admin']}\r\nCONFIG SET {what} {value}")
        if said.count("+OK") < 2:
            raise ClusterError(f"{name} did not take {what} {value}: {said.strip() or 'it said nothing'}")

    def versions(self, cluster: Cluster) -> Mapping[str, str]:
        server = cluster.nodes["cache-az-a"].run(f"{self.engine}-server", "--version").out
        proxy = cluster.nodes["haproxy-az-a"].run("haproxy", "-v").out
        return {name: (said.strip().splitlines() or ["unknown"])[0] for name, said in ((self.engine, server), ("haproxy", proxy))}

    def rejoin_way(self, log: str) -> str | None:
        """By what came after it turned from primary into replica; the first sync of all is no rejoin."""
        _, turned, after = log.rpartition("Before turning into a replica")
        if not turned:
            return None
        if "Successful partial resynchronization" in after:
            return "partial resync"
        return "full resync" if "Full resync from" in after else None

    def records(self, log: str, zone: tzinfo) -> Iterable[ManagerRecord]:
        return recorded(log, zone, {spec.address: name for name, spec in self._specs.items() if spec.role == "database"})

    def routes(self, log: str) -> Iterable[ManagerRecord]:
        return routed(log, _sentinel_routing.ENDPOINT)

    # --- servers ---

    def _server(self, paths: Paths, address: str, primary: str) -> Command:
        lines = [
            "bind 0.0.0.0", f"port {PORT}", "protected-mode no", f"dir {paths.data}", f"replica-announce-ip {address}",
            "user default off",
            f"user admin on >{self._secrets['admin']} ~* &* +@all",
            f"user application on >{self._secrets['application']} ~* &* +@all -@admin +role",
            f"user probe on >{self._secrets['probe']} ~probe* +@connection +rpush +lindex +lrange +unlink +role +info",
            "masteruser admin", f"masterauth {self._secrets['admin']}",
            f"min-replicas-to-write {self.min_replicas_to_write}", f"min-replicas-max-lag {self.replicas_lag_s}",
            'save ""', f"appendonly {'yes' if self.persistence == 'aof' else 'no'}", "appendfsync everysec",
            # A first sync waits 5 s for more replicas by default; the backlog lets one that was away go on from there.
            "repl-diskless-sync-delay 0", "repl-backlog-size 16mb", "repl-diskless-load on-empty-db",
            # A replica that lost its primary asks anew only once a silence of this length is over.
            "repl-timeout 10", "repl-ping-replica-period 1",
            f"maxmemory {node_type(self.node_type).maxmemory_mb}mb" if self.node_type else "maxmemory 0",
            f"maxmemory-policy {self.eviction}",
            *([f"replicaof {primary} {PORT}"] if address != primary else []),
        ]  # fmt: skip
        return self._command(paths, "server", lines)

    def _sentinel(self, paths: Paths, address: str, sentinels: Sequence[str], databases: Sequence[str]) -> Command:
        primary, *replicas = databases
        lines = [
            "bind 0.0.0.0", f"port {SENTINEL_PORT}", "protected-mode no", f"dir {paths.data}", f"sentinel announce-ip {address}",
            f"sentinel monitor {NAME} {primary} {PORT} {QUORUM}",
            f"sentinel down-after-milliseconds {NAME} {int(self.down_after_s * 1000)}",
            f"sentinel failover-timeout {NAME} {int(self.failover_timeout_s * 1000)}",
            f"sentinel parallel-syncs {NAME} {self.replicas}",
            f"sentinel auth-user {NAME} admin", f"sentinel auth-pass {NAME} {self._secrets['admin']}",
            f"sentinel myid {_id(address)}",
            *(f"sentinel known-replica {NAME} {replica} {PORT}" for replica in replicas),
            *(f"sentinel known-sentinel {NAME} {other} {SENTINEL_PORT} {_id(other)}" for other in sentinels if other != address),
        ]  # fmt: skip
        return self._command(paths, "sentinel", lines, "--sentinel")

    def _command(self, paths: Paths, name: str, lines: Sequence[str], *more: str) -> Command:
        return Command(
            ("sh", "-c", _START, "sh", paths.data, name, paths.config, self.engine, *more),
            files={f"{paths.config}/{name}.conf": "\n".join(lines) + "\n"},
        )

    def _router(self, paths: Paths, databases: Mapping[str, str], sentinels: Sequence[str]) -> Command:
        config = _sentinel_routing.config(
            databases, sentinels, name=NAME, port=PORT, sentinel_port=SENTINEL_PORT, writer=WRITER, reader=READER,
            user="probe", password=self._secrets["probe"],
        )  # fmt: skip
        return Command(("haproxy", "-db", "-f", f"{paths.config}/haproxy.cfg"), files={f"{paths.config}/haproxy.cfg": config})


def _id(sentinel: str) -> str:
    """Forty hexadecimal digits, by which Sentinels know each other."""
    return hashlib.sha1(sentinel.encode(), usedforsecurity=False).hexdigest()


def _start(cluster: Cluster, *roles: str) -> None:
    members = [node for node in cluster.nodes.values() if node.spec.role in roles]
    with ThreadPoolExecutor(len(members)) as pool:
        list(pool.map(lambda node: node.start(), members))


def _await(missing: Callable[[], str | None], awaiting: str) -> None:
    """Raises ClusterError with what was missing last."""
    last = [""]

    def well() -> bool:
        last[0] = missing() or ""
        return not last[0]

    wait_until(well, 60, awaiting, every_s=0.1, told=lambda: last[0])


def _asked(cluster: Cluster, role: str, port: int, commands: str) -> Mapping[str, str]:
    """What each node of a role answers to commands, one a line, asked from its own zone; empty where it is silent."""
    specs = [node.spec for node in cluster.nodes.values() if node.spec.role == role]
    with ThreadPoolExecutor(len(specs)) as pool:
        said = pool.map(lambda spec: _talk(cluster, spec, port, commands), specs)
    return {spec.name: text for spec, text in zip(specs, said, strict=True)}


def _talk(cluster: Cluster, spec: NodeSpec, port: int, commands: str) -> str:
    asked = f"{commands}\r\n".encode().hex()
    return cluster.client(spec.zone).run(*LOOK, "talk", spec.address, str(port), asked, "2").out


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    """`key:value` lines."""
    return ((key, value) for key, _, value in (line.partition(":") for line in text.split("\r\n")) if key and value)


def _strings(text: str) -> list[str]:
    """The strings of a RESP reply, without their lengths."""
    return [line for line in text.split("\r\n") if line and line[0] not in "*$"]
