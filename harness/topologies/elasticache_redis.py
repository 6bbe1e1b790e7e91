"""What does ElastiCache for Redis promise with cluster mode off: one primary, replicas, and a failover by itself?

Over three zones a primary and its replicas (Valkey or Redis), in each zone a Sentinel, and a HAProxy that leads that zone's
clients to the node that Sentinels name as primary, and to the replicas that follow it. The Sentinels promote; the harness only
observes.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Literal

from harness.clock import wait_until
from harness.errors import ClusterError
from harness.protocols import AddressPlan, Cluster, Command, Endpoint, Greeting, Limits, ManagerRecord, Node, NodeSpec, Paths
from harness.talk import talk
from harness.topologies import _sentinel_routing
from harness.topologies._haproxy_log import routed
from harness.topologies._node_types import Eviction, node_type
from harness.topologies._redis_memory import memory, settings
from harness.topologies._redis_scaling import (
    NAME,
    PORT,
    SENTINEL_PORT,
    command,
    digest,
    fail_over,
    forget,
    of_role,
    pairs,
    passed_over,
    question,
    said_by,
    sentinel,
    sentinels,
    strings,
    writes_held,
)
from harness.topologies._sentinel_log import recorded

WRITER, READER = 6379, 6380  # at a zone's router
PING = b"PING\r\n"  # answered before any login: by an error, which is an answer
REPLICAS_MAX = 5  # ElastiCache's
QUORUM = 2  # of three Sentinels
# Where a server rewrites its configuration when its role changes: started again, it is what it was last.
_START = """
set -e
[ -e "$1/$2.conf" ] || cp "$3/$2.conf" "$1/$2.conf"
exec "$4-server" "$1/$2.conf" $5
"""


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
    _types: list[str] = field(default_factory=list, init=False, repr=False, compare=False)  # that nodes were changed to
    _places: dict[str, tuple[str, str]] = field(default_factory=dict, init=False, repr=False, compare=False)
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
        # Routers know every address that a database may ever have, so that nodes come and go without a word to them.
        places = [(f"cache-{zone}", zone) for zone in plan.zones] + [(f"cache-{zone}-2", zone) for zone in plan.zones]
        self._places.update({name: (zone, plan.take(zone)) for name, zone in places})
        sentinels = {zone: plan.take(zone) for zone in plan.zones}
        addresses = {name: address for name, (_, address) in self._places.items()}
        used = [*addresses][: 1 + self.replicas]
        specs = [self._database(name, addresses[used[0]], self.node_type) for name in used]
        sentinel = partial(self._sentinel, sentinels=[*sentinels.values()], databases=[addresses[name] for name in used])
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

    def _database(self, name: str, primary: str, type_: str) -> NodeSpec:
        """A database node in a place that is kept for it, which follows the primary at an address unless that is its own."""
        zone, address = self._places[name]
        return NodeSpec(
            name, zone, self.engine, "database", address,
            partial(self._server, address=address, primary=primary, type_=type_), greeting=Greeting(PORT, PING),
            in_memory=self.persistence == "none", limits=node_type(type_).limits if type_ else Limits(),
            memory=memory(PORT, self._secrets["admin"], self.eviction) if type_ else None,
            made={"primary": primary, "type_": type_},
        )  # fmt: skip

    def came(self, name: str, zone: str, address: str, made: Mapping[str, str]) -> NodeSpec:
        assert self._places[name] == (zone, address), "every address that a database may have is known beforehand"
        self._specs[name] = self._database(name, **made)
        self._types.append(made["type_"])  # those that come later are as those that came last
        return self._specs[name]

    def went(self, name: str) -> None:
        self._specs.pop(name, None)

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
        """In the order in which each finds who must be there: who finds nobody looks again only after a second or half of one.

        The primary first; then one replica after the other, since a primary that is copied right now makes the next one wait
        for as long, and the Sentinels beside; routers last. Each Sentinel is told of the others and of the replicas, which it
        would ask for only every 10 s.
        """
        progress(f"starting {self.engine}")
        databases = [node for node in cluster.nodes.values() if node.spec.role == "database"]
        databases.sort(key=lambda node: node.spec.made["primary"] != node.spec.address)
        self._start_in_place(cluster, databases[0])
        with ThreadPoolExecutor(1) as pool:
            meanwhile = pool.submit(self._start_sentinels, cluster)
            for node in databases[1:]:
                self._start_in_place(cluster, node)
            meanwhile.result()
        _start([node for node in cluster.nodes.values() if node.spec.role == "router"])
        progress("waiting for every member to say that it is healthy")
        _await(lambda: self.healthy(cluster) or self._unled(cluster), "every member to be healthy")

    def _start_in_place(self, cluster: Cluster, node: Node) -> None:
        node.start()
        wait_until(partial(self._in_place, cluster, node.spec), 30, f"{node.spec.name} to be in its place", every_s=0.02)

    def _start_sentinels(self, cluster: Cluster) -> None:
        _start([node for node in cluster.nodes.values() if node.spec.role == "manager"])
        wait_until(partial(self._watched, cluster), 30, "the Sentinels to find the primary", every_s=0.02)

    def _watched(self, cluster: Cluster) -> bool:
        return all(known.get("flags") == "master" for known in self._asked(cluster, "manager").values())

    def _in_place(self, cluster: Cluster, spec: NodeSpec) -> bool:
        """Whether a server is the primary, or has copied its data."""
        said = dict(pairs(said_by(cluster, spec, PORT, self._how("INFO replication"))))
        return said.get("role") == "master" or (said.get("master_link_status"), said.get("master_sync_in_progress")) == (
            "up",
            "0",
        )

    def _unled(self, cluster: Cluster) -> str | None:
        """Which router does not lead to all yet: it leads nowhere until it has looked, and then to the right ones, by turns."""
        wanted = {WRITER: ("master", 1), READER: ("slave", self.replicas)}
        ways = [(router, port, *who) for router in of_role(cluster, "router") for port, who in wanted.items()]
        how = self._how("INFO server", "INFO replication")
        told = iter(talk(cluster, [question(router, port, how) for router, port, _, count in ways for _ in range(count)]))
        for router, _, role, count in ways:
            said = [dict(pairs(next(told))) for _ in range(count)]
            if {one.get("role") for one in said} != {role} or len({one.get("run_id") for one in said}) < count:
                return f"{router.name} does not lead to all yet"
        return None

    def healthy(self, cluster: Cluster) -> str | None:
        """Asks each node and each Sentinel itself."""
        said = self._asked(cluster, "database", "manager")
        members, watching = ({spec.name: said[spec.name] for spec in of_role(cluster, role)} for role in ("database", "manager"))
        return self._unfit(cluster, members) or self._unwatched(cluster, _roles(members), watching)

    def _how(self, *commands: str) -> str:
        """What a probe says to ask so."""
        return "\r\n".join((f"AUTH probe {self._secrets['probe']}", *commands))

    def _asked(self, cluster: Cluster, *roles: str) -> dict[str, dict[str, str]]:
        """What databases say of their replication, and Sentinels (`manager`) of the primary; empty where one is silent."""
        asked = [spec for role in roles for spec in of_role(cluster, role)]
        ways = {"database": (PORT, self._how("INFO replication")), "manager": (SENTINEL_PORT, f"SENTINEL MASTER {NAME}")}
        told = talk(cluster, [question(spec, *ways[spec.role]) for spec in asked])
        return {
            spec.name: dict(pairs(said) if spec.role == "database" else pairwise(strings(said)))
            for spec, said in zip(asked, told, strict=True)
        }

    def _unfit(self, cluster: Cluster, said: Mapping[str, Mapping[str, str]]) -> str | None:
        """What is missing of a primary and replicas that are in sync with it, by the word of each."""
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

    def _unwatched(self, cluster: Cluster, roles: Mapping[str, str], watching: Mapping[str, Mapping[str, str]]) -> str | None:
        """What is missing of Sentinels that know the primary, each other and every replica, by the word of each."""
        primary = next((name for name, role in roles.items() if role == "primary"), None)
        address = cluster.nodes[primary].spec.address if primary else None
        others = str(len(cluster.zones) - 1)
        wanted = {"ip": address, "flags": "master", "num-slaves": str(len(roles) - 1), "num-other-sentinels": others}
        for name, known in watching.items():
            for what, value in wanted.items():
                if known.get(what) != value:
                    return f"{name} says that {what} is {known.get(what, 'unknown')}, not {value}"
        return None

    def members(self, cluster: Cluster) -> Mapping[str, Mapping[str, str]]:
        """What each database node says of its replication, asked from its own zone; empty where it is silent."""
        return self._asked(cluster, "database")

    def roles(self, cluster: Cluster) -> Mapping[str, str]:
        return _roles(self.members(cluster))

    # --- planned changes ---

    def switch_over(self, cluster: Cluster, to: str | None) -> None:
        """Asks a Sentinel for a failover; which replica takes over, Sentinels choose, unless all others are passed over."""
        roles = self.roles(cluster)
        others = [name for name, role in roles.items() if role == "replica" and name != to] if to else []
        with passed_over(cluster, others, self._secrets["admin"]):
            fail_over(cluster, _primary(roles))

    def add_replica(self, cluster: Cluster, zone: str | None) -> str:
        name = self._free_places(cluster, zone)[0]
        self._add(cluster, [name], cluster.nodes[_primary(self.roles(cluster))].spec.address, self._type)
        return name

    def remove_replica(self, cluster: Cluster, name: str) -> None:
        self._remove(cluster, [name])
        forget(cluster, lambda: self._unfit(cluster, self.members(cluster)))

    def change_node_type(self, cluster: Cluster, to: str) -> None:
        """New nodes follow, one of them takes over once it has everything that was ever acknowledged, the old ones go."""
        try:
            type_ = node_type(to)
        except ValueError as problem:
            raise ClusterError(str(problem)) from None
        password, roles = self._secrets["admin"], self.roles(cluster)
        primary, old = _primary(roles), [*roles]
        new = self._free_places(cluster, None)[: len(old)]
        if len(new) < len(old):
            raise ClusterError(f"{len(old)} new nodes find only {len(new)} free places beside the old ones")
        try:
            self._add(cluster, new, cluster.nodes[primary].spec.address, to)
            _await(lambda: self.healthy(cluster), f"the new nodes ({', '.join(new)}) to be in sync")
            with (
                passed_over(cluster, [name for name in old if name != primary], password),
                writes_held(cluster, primary, password) as still_held,
            ):
                _await(lambda: self._behind(cluster, new, primary), "the new nodes to have everything")
                fail_over(cluster, primary)
                still_held()
                # Sentinels would leave it a primary for 8 s more, and it would take the writes that have waited.
                command(cluster, primary, password, f"REPLICAOF {self._named(cluster)} {PORT}")
        except ClusterError as problem:
            if self._leads_among(cluster, new):
                raise ClusterError(
                    f"{problem}; clients are led to a new node already, so the new nodes and the old ones stay"
                ) from None
            self._remove(cluster, new)
            with suppress(ClusterError):  # what else is missing is told by who asks; this is about why it failed
                forget(cluster, lambda: self.healthy(cluster))
            raise
        self._types.append(to)
        _await(lambda: self.healthy(cluster), "all to follow the new primary")
        self._remove(cluster, old)
        forget(cluster, lambda: self.healthy(cluster))
        for name in new:
            said = strings(command(cluster, name, password, "CONFIG GET maxmemory"))
            if said[1:2] != [str(type_.maxmemory_mb << 20)]:
                raise ClusterError(f"{name} says that its memory is {said[1:2]}, which is not that of {to}")

    def migrate(self, cluster: Cluster) -> int:
        """A new primary copies the old one's data, replicas of its own copy it, and Sentinels are told of it at the cut."""
        password, roles = self._secrets["admin"], self.roles(cluster)
        primary, old = _primary(roles), [*roles]
        new = self._free_places(cluster, None)[: len(old)]
        if len(new) < len(old):
            raise ClusterError(f"a cluster of {len(old)} finds only {len(new)} free places beside the old one")
        head, was = self._places[new[0]][1], cluster.nodes[primary].spec.address
        told = cut = False
        try:
            self._add(cluster, new[:1], was, self._type)
            self._add(cluster, new[1:], head, self._type)
            _await(lambda: self._behind(cluster, new), f"the new cluster ({', '.join(new)}) to have copied everything")
            with writes_held(cluster, primary, password) as still_held:
                _await(lambda: self._behind(cluster, new, primary), "the new cluster to have everything")
                keys = self._compared(cluster, primary, new[0])
                still_held()
                command(cluster, new[0], password, "REPLICAOF NO ONE")
                told = True
                self._tell(cluster, head)
                cut = True
                self._remove(cluster, old)
        except ClusterError as problem:
            if cut:
                raise ClusterError(
                    f"{problem}; clients are led to the new cluster already, and of the old one something is left"
                ) from None
            if told:
                self._tell(cluster, was)
            self._remove(cluster, new)
            with suppress(ClusterError):  # what else is missing is told by who asks; this is about why it failed
                forget(cluster, lambda: self.healthy(cluster))
            raise
        _await(lambda: self.healthy(cluster), "the new cluster to be healthy without the old one")
        return keys

    @property
    def _type(self) -> str:
        """Of the nodes that there are."""
        return (self._types or [self.node_type])[-1]

    def _leads_among(self, cluster: Cluster, names: Sequence[str]) -> bool:
        """Whether one of some nodes is, or may be, whom Sentinels name as primary."""
        try:
            return self._named(cluster) in {cluster.nodes[name].spec.address for name in names if name in cluster.nodes}
        except ClusterError:
            return True  # nobody says who it is: none of them may be taken away

    def _named(self, cluster: Cluster) -> str:
        """The address of whom a Sentinel names as primary."""
        return strings(sentinel(cluster, sentinels(cluster)[0], f"GET-MASTER-ADDR-BY-NAME {NAME}"))[0]

    def _free_places(self, cluster: Cluster, zone: str | None) -> list[str]:
        """Where no node is, in the zones with the fewest first. Raises ClusterError when there is none."""
        held = [node.spec.zone for node in cluster.nodes.values() if node.spec.role == "database"]
        free = [name for name, (of, _) in self._places.items() if name not in cluster.nodes and zone in (None, of)]
        if not free:
            raise ClusterError(f"there is room for {len(self._places)} database nodes, two a zone, and all of it is taken")
        return sorted(free, key=lambda name: held.count(self._places[name][0]))

    def _add(self, cluster: Cluster, names: Sequence[str], primary: str, type_: str) -> None:
        for name in names:
            self._specs[name] = self._database(name, primary, type_)
            cluster.add(self._specs[name]).start()

    def _remove(self, cluster: Cluster, names: Sequence[str]) -> None:
        for name in names:
            if name in cluster.nodes:
                cluster.remove(name)
                self._specs.pop(name, None)

    def _behind(self, cluster: Cluster, nodes: Sequence[str], primary: str = "") -> str | None:
        """Which of some nodes has not caught up with whom it follows; with the last write of `primary`, where that is given."""
        said = self.members(cluster)
        for name in nodes:
            if said[name].get("master_link_status") != "up":
                return f"{name} is not in sync"
            if primary and said[name].get("slave_repl_offset") != said[primary].get("master_repl_offset"):
                return f"{name} lacks writes of {primary}"
        return None

    def _compared(self, cluster: Cluster, one: str, other: str) -> int:
        """How many keys both nodes have. Raises ClusterError when they are not the same."""
        password, beyond = self._secrets["admin"], time.time() + 60
        mine, its = digest(cluster, one, password, beyond), digest(cluster, other, password, beyond)
        if mine != its:
            raise ClusterError(f"{one} has {mine[0]} keys, {other} {its[0]}, and they are not all the same")
        return mine[0]

    def _tell(self, cluster: Cluster, primary: str) -> None:
        """Has Sentinels watch another primary. First all forget the old one: who has not, tells the others of it again."""
        for one in sentinels(cluster):
            sentinel(cluster, one, f"REMOVE {NAME}")
        for one in sentinels(cluster):
            sentinel(cluster, one, f"MONITOR {NAME} {primary} {PORT} {QUORUM}")
            for what, value in self._watching().items():
                sentinel(cluster, one, f"SET {NAME} {what} {value}")

    def versions(self, cluster: Cluster) -> Mapping[str, str]:
        one = next(node for node in cluster.nodes.values() if node.spec.role == "database")
        server = one.run(f"{self.engine}-server", "--version").out
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

    def _server(self, paths: Paths, address: str, primary: str, type_: str = "") -> Command:
        lines = [
            "bind 0.0.0.0", f"port {PORT}", "protected-mode no", f"dir {paths.data}", f"replica-announce-ip {address}",
            "user default off",
            f"user admin on >{self._secrets['admin']} ~* &* +@all",
            f"user application on >{self._secrets['application']} ~* &* +@all -@admin +role",
            f"user probe on >{self._secrets['probe']} ~probe* +@connection +rpush +lindex +lrange +unlink +role +info",
            "masteruser admin", f"masterauth {self._secrets['admin']}",
            f"min-replicas-to-write {self.min_replicas_to_write}", f"min-replicas-max-lag {self.replicas_lag_s}",
            'save ""', f"appendonly {'yes' if self.persistence == 'aof' else 'no'}", "appendfsync everysec",
            # A first sync waits 5 s for more replicas by default.
            "repl-diskless-sync-delay 0", "repl-diskless-load on-empty-db",
            # A replica that lost its primary asks anew only once a silence of this length is over.
            "repl-timeout 10", "repl-ping-replica-period 1",
            *settings(type_, self.eviction),
            *([f"replicaof {primary} {PORT}"] if address != primary else []),
        ]  # fmt: skip
        return self._command(paths, "server", lines)

    def _sentinel(self, paths: Paths, address: str, sentinels: Sequence[str], databases: Sequence[str]) -> Command:
        primary, *replicas = databases
        lines = [
            "bind 0.0.0.0", f"port {SENTINEL_PORT}", "protected-mode no", f"dir {paths.data}", f"sentinel announce-ip {address}",
            f"sentinel monitor {NAME} {primary} {PORT} {QUORUM}",
            *(f"sentinel {what} {NAME} {value}" for what, value in self._watching().items()),
            f"sentinel myid {_id(address)}",
            *(f"sentinel known-replica {NAME} {replica} {PORT}" for replica in replicas),
            *(f"sentinel known-sentinel {NAME} {other} {SENTINEL_PORT} {_id(other)}" for other in sentinels if other != address),
        ]  # fmt: skip
        return self._command(paths, "sentinel", lines, "--sentinel")

    def _watching(self) -> Mapping[str, object]:
        """How Sentinels watch the primary."""
        return {
            "down-after-milliseconds": int(self.down_after_s * 1000),
            "failover-timeout": int(self.failover_timeout_s * 1000),
            "parallel-syncs": self.replicas,
            "auth-user": "admin",
            "auth-pass": self._secrets["admin"],
        }

    def _command(self, paths: Paths, name: str, lines: Sequence[str], *more: str) -> Command:
        return Command(
            ("sh", "-c", _START, "sh", paths.data, name, paths.config, self.engine, *more),
            files={f"{paths.config}/{name}.conf": "\n".join(lines) + "\n"},
        )

    def _router(self, paths: Paths, databases: Mapping[str, str], sentinels: Sequence[str]) -> Command:
        files = _sentinel_routing.files(
            paths.config, databases, sentinels, name=NAME, port=PORT, sentinel_port=SENTINEL_PORT, writer=WRITER, reader=READER,
            user="probe", password=self._secrets["probe"],
        )  # fmt: skip
        return Command(("haproxy", "-db", "-f", f"{paths.config}/haproxy.cfg"), files=files)


def _roles(said: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Node → its role, by what it says of its replication."""
    words = {"master": "primary", "slave": "replica"}
    return {name: words.get(one.get("role", ""), "silent") for name, one in said.items()}


def _id(sentinel: str) -> str:
    """Forty hexadecimal digits, by which Sentinels know each other."""
    return hashlib.sha1(sentinel.encode(), usedforsecurity=False).hexdigest()


def _start(members: Sequence[Node]) -> None:
    with ThreadPoolExecutor(len(members)) as pool:
        list(pool.map(lambda node: node.start(), members))


def _await(missing: Callable[[], str | None], awaiting: str) -> None:
    """Raises ClusterError with what was missing last."""
    last = [""]

    def well() -> bool:
        last[0] = missing() or ""
        return not last[0]

    wait_until(well, 60, awaiting, every_s=0.1, told=lambda: last[0])


def _primary(roles: Mapping[str, str]) -> str:
    """The one primary. Raises ClusterError when there is none, or more than one."""
    primaries = [name for name, role in roles.items() if role == "primary"]
    if len(primaries) != 1:
        raise ClusterError(f"there are {len(primaries)} primaries, so that nothing can be changed")
    return primaries[0]
