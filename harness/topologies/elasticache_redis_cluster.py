"""What does ElastiCache for Redis promise with cluster mode on: data in shards, each with a failover of its own?

Each shard is a primary and its replicas (Valkey or Redis), in different zones. The members watch each other and promote by
themselves; clients learn from any of them who owns which slots, and go there. The harness only observes.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

from harness import slots
from harness.clock import SECOND_NS, now_ns, wait_until
from harness.errors import ClusterError
from harness.protocols import (
    AddressPlan,
    Cluster,
    Command,
    Endpoint,
    Greeting,
    Limits,
    ManagerRecord,
    Memory,
    NodeSpec,
    Paths,
    Resharded,
)
from harness.resp import Refused
from harness.slots import SLOTS, Range
from harness.topologies._node_types import Eviction, node_type
from harness.topologies._redis_cluster import PORT, Member, ask, members, said_by, unfit
from harness.topologies._redis_cluster_log import recorded
from harness.topologies._redis_memory import BALLAST, memory, settings

PING = b"PING\r\n"  # answered before any login: by an error, which is an answer
SHARDS_MIN, SHARDS_MAX = 3, 90  # fewer have no majority of primaries left that could promote a replica; ElastiCache's most
PROBED = 16  # keys of each shard that probes write to in turn: what moves, and what stays, is among them
PROBE_MAY = "+@read +@write +@connection +cluster|slots +cluster|nodes +cluster|info +readonly +asking"
FORMED_WITHIN_S = 60.0
REPLICAS_THAT_NOBODY_HAS = 99
# A node that goes is left to its clients until none has asked it for so long: redis-py learns the slots anew at each fifth answer
# that sends it on, which of few slots takes long.
DRAINED_WITHIN_S, IDLE_S = 60.0, 5


@dataclass(frozen=True)
class ElasticacheRedisCluster:
    """`shards`, each a primary and its `replicas` (up to 2) in different zones; slots are shared out evenly.

    `engine` is the server. A member that is silent for `node_timeout` has failed, once most primaries say so. `persistence`:
    `none`, or `aof` (appended, synced each second). `node_type` gives every node its memory and CPU (`cache.m.large`, …; without
    one they have no limit), `eviction` is what happens when its memory is full. A shard that is lost takes no other with it
    (`cluster-require-full-coverage no`).
    """

    zones: ClassVar[tuple[str, ...]] = ("az-a", "az-b", "az-c")
    protocol: ClassVar[str] = "redis_cluster"
    announced_port: ClassVar[int] = PORT
    recorded_by: ClassVar[str] = "database"  # the members are each other's managers

    engine: Literal["valkey", "redis"] = "valkey"
    shards: int = 3
    replicas: int = 1
    node_timeout_s: float = 2
    persistence: Literal["none", "aof"] = "none"
    node_type: str = ""
    eviction: Eviction = "volatile-lru"

    _specs: dict[str, NodeSpec] = field(default_factory=dict, init=False, repr=False, compare=False)
    _came: Counter[tuple[str, str]] = field(default_factory=Counter, init=False, repr=False, compare=False)
    _types: list[str] = field(default_factory=list, init=False, repr=False, compare=False)  # that nodes were changed to
    _engines: list[str] = field(default_factory=list, init=False, repr=False, compare=False)  # the same
    _new: set[str] = field(default_factory=set, init=False, repr=False, compare=False)  # ids that members were given anew
    _moving: dict[str, frozenset[int]] = field(default_factory=dict, init=False, repr=False, compare=False)  # to which shard
    _secrets: dict[str, str] = field(
        default_factory=lambda: {user: secrets.token_urlsafe(18) for user in ("admin", "application", "probe")},
        init=False, repr=False, compare=False,
    )  # fmt: skip

    def __post_init__(self) -> None:
        if not SHARDS_MIN <= self.shards <= SHARDS_MAX:
            why = "with fewer, no majority of primaries is left that could promote a replica"
            raise ValueError(f"{self.shards} shards; a cluster has {SHARDS_MIN} to {SHARDS_MAX}: {why}")
        if not 0 <= self.replicas < len(self.zones):
            raise ValueError(
                f"{self.replicas} replicas; a shard's members are in different zones, and {len(self.zones)} zones have room for "
                f"0 to {len(self.zones) - 1}"
            )
        if self.node_timeout_s < 0.1:
            raise ValueError("node_timeout is 100ms at least: members ask each other in half of it")
        if self.node_type:
            node_type(self.node_type)

    # --- layout ---

    @property
    def endpoint_names(self) -> tuple[str, ...]:
        """Each shard's data has a writer and a reader of its own, whoever keeps it later."""
        return tuple(f"{role}:{1 + number}" for role in ("writer", "reader") for number in range(self.shards))

    def nodes(self, plan: AddressPlan) -> Sequence[NodeSpec]:
        specs = [
            self._spec(str(1 + number), plan.zones[(number + member) % len(plan.zones)], plan.take)
            for number in range(self.shards)
            for member in range(1 + self.replicas)
        ]
        self._specs.update({spec.name: spec for spec in specs})
        return specs

    def _spec(self, shard: str, zone: str, take: Callable[[str], str], kind: str = "", engine: str = "") -> NodeSpec:
        """A member of a shard in a zone; one that takes another's place there is called by its number, too."""
        kind = kind or (self._types or [self.node_type])[-1]
        engine = engine or (self._engines or [self.engine])[-1]
        address = take(zone)
        self._came[shard, zone] += 1
        again = self._came[shard, zone]
        return NodeSpec(
            f"redis-{shard}-{zone}" + (f"-{again}" if again > 1 else ""), zone, engine, "database", address,
            partial(self._server, address=address, kind=kind, engine=engine), greeting=Greeting(PORT, PING),
            in_memory=self.persistence == "none", limits=node_type(kind).limits if kind else Limits(), shard=shard,
            memory=self._memory(shard) if kind else None,
            made={"shard": shard, "kind": kind, "engine": engine},
        )  # fmt: skip

    def _memory(self, shard: str) -> Memory | None:
        """That of a shard that was there from the start: ballast goes into a slot that such a one owns, as long as none moves."""
        if int(shard) > self.shards:
            return None
        (ballast,) = slots.keys_over([slots.shares(self.shards)[int(shard) - 1]], 1, BALLAST)
        return memory(PORT, self._secrets["admin"], self.eviction, ballast)

    def came(self, name: str, zone: str, address: str, made: Mapping[str, str]) -> NodeSpec:
        again = name.removeprefix(f"redis-{made['shard']}-{zone}").removeprefix("-")
        self._came[made["shard"], zone] = int(again or 1) - 1
        self._types.append(made["kind"])  # those that come later are as those that came last
        self._engines.append(made["engine"])
        self._specs[name] = self._spec(made["shard"], zone, lambda _: address, made["kind"], made["engine"])
        return self._specs[name]

    def went(self, name: str) -> None:
        self._specs.pop(name, None)

    def endpoints(self, zone: str) -> Mapping[str, Endpoint]:
        """The configuration endpoint: any member tells who owns what; clients of a zone ask one of their own first."""
        address = next(spec.address for spec in self._specs.values() if spec.zone == zone)
        return {name: Endpoint(name, address, PORT, PING) for name in self.endpoint_names}

    @property
    def secrets(self) -> dict[str, str]:
        return self._secrets

    def dsn(self, host: str, port: int) -> str:
        return f"redis://application:{self._secrets['application']}@{host}:{port}/0"

    def login(self, host: str, port: int) -> Mapping[str, Any]:
        return {
            "protocol": self.protocol, "host": host, "port": port, **self._known_to_clients,
            "user": "application", "password": self._secrets["application"],
            "shards": {str(1 + number): share for number, share in enumerate(slots.shares(self.shards))},
        }  # fmt: skip

    def login_together(self, endpoints: Mapping[str, Endpoint]) -> Mapping[str, Any]:
        first = next(iter(endpoints.values()))
        return self.login(first.host, first.port)

    def client_config(self, zone: str) -> Mapping[str, Any]:
        probe = {
            "user": "probe", "password": self._secrets["probe"], **self._known_to_clients, "zone": zone, "keys": self._probed,
        }  # fmt: skip
        return {"protocol": self.protocol, "probe": probe, "direct_port": PORT}

    @property
    def _known_to_clients(self) -> dict[str, Any]:
        """Where clients begin to ask who owns what."""
        return {"seeds": [[spec.address, PORT] for spec in self._specs.values()]}

    @cached_property
    def _probed(self) -> Mapping[str, Sequence[str]]:
        """Shard → the keys that probes write to, over the slots that it owns when the cluster is formed."""
        return {
            str(1 + number): slots.keys_over([share], PROBED, "probe:") for number, share in enumerate(slots.shares(self.shards))
        }

    # --- forming ---

    def form(self, cluster: Cluster, progress: Callable[[str], None]) -> None:
        """Gives each shard's first member its slots, introduces all to each other, and lets replicas follow."""
        progress(f"starting {self.engine}")
        nodes = [node for node in cluster.nodes.values() if node.spec.role == "database"]
        with ThreadPoolExecutor(len(nodes)) as pool:
            list(pool.map(lambda node: node.start(), nodes))
        progress("introducing the members to each other")
        self._introduce(cluster, [node.spec for node in nodes])
        progress("waiting for every member to say that it is healthy")
        self._await_healthy(cluster, FORMED_WITHIN_S)

    def _introduce(self, cluster: Cluster, specs: Sequence[NodeSpec]) -> None:
        """Makes a cluster of servers that know nobody; the first one of each shard gets the shard's slots."""
        names = [spec.name for spec in specs]
        ids = wait_until(lambda: self._ids(cluster, names), FORMED_WITHIN_S, "every server to answer", every_s=0.05)
        first: dict[str, NodeSpec] = {}
        for spec in specs:
            first.setdefault(spec.shard, spec)
        shares = dict(zip(first, slots.shares(len(first)), strict=True))
        meet = [f"CLUSTER MEET {spec.address} {PORT}" for spec in specs]

        def settle(spec: NodeSpec) -> None:
            number = list(first).index(spec.shard)
            owns = f"CLUSTER ADDSLOTSRANGE {shares[spec.shard][0]} {shares[spec.shard][1]}"
            self._ask(cluster, spec, f"CLUSTER SET-CONFIG-EPOCH {1 + number}", owns)

        with ThreadPoolExecutor(len(first)) as pool:
            list(pool.map(settle, first.values()))  # all of them, before anybody is met: who knows others takes no epoch
            list(pool.map(lambda spec: self._ask(cluster, spec, *meet), first.values()))
        self._follow(cluster, {spec: ids[first[spec.shard].name] for spec in specs if spec not in first.values()})

    # --- other nodes ---

    def change_node_type(self, cluster: Cluster, to: str) -> None:
        """Shard by shard: new members come and are in sync, one of them takes over, and the old ones go."""
        try:
            node_type(to)
        except ValueError as problem:
            raise ClusterError(f"{problem}; nothing was changed") from None
        done: list[str] = []
        for shard in self._owners(cluster):
            try:
                self._replace(cluster, shard, to)
            except ClusterError as problem:
                reached = f"shards {', '.join(done)} have nodes of type {to}" if done else "no shard has nodes of that type"
                raise ClusterError(f"shard {shard}: {problem}; {reached}") from None
            done.append(shard)
        self._types.append(to)

    def _replace(self, cluster: Cluster, shard: str, to: str) -> None:
        said = self.members(cluster)
        old = [one.spec for one in said.values() if one.spec.shard == shard]
        primary = next(one for one in said.values() if one.spec.shard == shard and one.role == "primary")
        # The one that takes over is where the old primary was.
        old.sort(key=lambda spec: spec.name != primary.spec.name)
        new = [self._spec(shard, spec.zone, cluster.address, to) for spec in old]
        self._bring_in(cluster, new, follow=primary.id)
        try:
            self._take_over(cluster, new[0])
        except ClusterError as problem:
            if self.roles(cluster).get(new[0].name) == "primary":
                raise
            self._take_away(cluster, new)
            raise ClusterError(f"{problem}; the new members were taken away again") from None
        self._await_healthy(cluster, FORMED_WITHIN_S)
        self._take_away(cluster, old)
        self._await_healthy(cluster, FORMED_WITHIN_S)
        limit = str(node_type(to).maxmemory_mb << 20)
        for spec in new:
            if limit not in map(str, (self._ask(cluster, spec, "CONFIG GET maxmemory") or [[]])[0]):
                raise ClusterError(f"{spec.name} does not say that its memory is that of {to}")

    def _take_over(self, cluster: Cluster, spec: NodeSpec) -> None:
        if not self._ask(cluster, spec, "CLUSTER FAILOVER") and not cluster.nodes[spec.name].running():  # else it is only slow
            raise ClusterError(f"{spec.name} did not answer when it was asked to take over")
        wait_until(lambda: self.roles(cluster)[spec.name] == "primary", 30, f"{spec.name} to take over")

    # --- resharding ---

    def owned(self, cluster: Cluster) -> Mapping[str, str]:
        return {name: f"{sum(1 for _ in slots.slots_of(one.slots))} slots" for name, one in self.members(cluster).items()}

    def moved(self, cluster: Cluster) -> float | None:
        moving = dict(self._moving)
        if not moving:
            return None
        said = self.members(cluster, self._of_shards(cluster, moving)).values()
        owned = {one.spec.shard: frozenset(slots.slots_of(one.slots)) for one in said if one.role == "primary" and one.slots}
        arrived = sum(len(wanted & owned.get(shard, frozenset())) for shard, wanted in moving.items())
        return arrived / sum(map(len, moving.values()))

    def add_shard(self, cluster: Cluster, way: str, within_s: float) -> Resharded:
        """Its members come, are introduced and in sync before the first slot moves; each shard then gives up the last of its."""
        began = now_ns()
        before = self._owners(cluster)
        shard = str(1 + max(int(name) for name in before))
        first = (int(shard) - 1) % len(cluster.zones)
        zones = [cluster.zones[(first + member) % len(cluster.zones)] for member in range(1 + self.replicas)]
        specs = [self._spec(shard, zone, cluster.address) for zone in zones]
        self._bring_in(cluster, specs)
        share = SLOTS // (len(before) + 1)
        moves = []
        for name, owns in before.items():
            own = list(slots.slots_of(owns))
            moves.append({"from": name, "to": shard, "ranges": slots.ranges_of(own[len(own) - len(own) * share // SLOTS :])})
        told = self._move(cluster, moves, way, within_s - seconds_since(began))
        self._verify(cluster, within_s - seconds_since(began), told)
        return Resharded(f"shard {shard} came, and {_moved(told)}", [spec.name for spec in specs], told["began_anew"])

    def remove_shard(self, cluster: Cluster, shard: str | None, way: str, within_s: float) -> Resharded:
        """Its slots go to the others in equal parts; only then is it forgotten, and its members taken away."""
        began = now_ns()
        before = self._owners(cluster)
        shard = shard or max(before, key=int)
        others = [name for name in before if name != shard]
        if shard not in before:
            raise ClusterError(f"there is no shard {shard}; there are {', '.join(before)}; nothing was changed")
        if len(others) < SHARDS_MIN:
            raise ClusterError(f"{len(before)} shards cannot become fewer: a majority takes {SHARDS_MIN}; nothing was changed")
        own = list(slots.slots_of(before[shard]))
        edges = [len(own) * number // len(others) for number in range(len(others) + 1)]
        parts = zip(others, pairwise(edges), strict=True)
        moves = [{"from": shard, "to": name, "ranges": slots.ranges_of(own[a:b])} for name, (a, b) in parts]
        told = self._move(cluster, moves, way, within_s - seconds_since(began))
        gone = [node.spec for node in cluster.nodes.values() if node.spec.shard == shard]
        self._take_away(cluster, gone)
        self._verify(cluster, within_s - seconds_since(began), told)
        return Resharded(f"{_moved(told)}, and shard {shard} went", [spec.name for spec in gone], told["began_anew"])

    def _owners(self, cluster: Cluster) -> dict[str, Sequence[Range]]:
        """Shard → the slots that its primary owns. Raises ClusterError when the cluster is not whole."""
        said = self.members(cluster)
        if missing := unfit(said):
            raise ClusterError(f"the cluster is not whole: {missing}; nothing was changed")
        return {one.spec.shard: one.slots for one in said.values() if one.role == "primary"}

    def _bring_in(self, cluster: Cluster, specs: Sequence[NodeSpec], follow: str = "") -> None:
        """Adds members, or takes all of them away again: replicas of the one with the id `follow`, or else of the first of them,

        which is then a primary without slots.
        """
        old = [node.spec for node in cluster.nodes.values() if node.spec.role == "database"]
        try:
            for spec in specs:
                cluster.add(spec).start()
            self._specs.update({spec.name: spec for spec in specs})
            ids = wait_until(lambda: self._ids(cluster), FORMED_WITHIN_S, "every server to answer", every_s=0.05)
            self._ask(cluster, specs[0], *(f"CLUSTER MEET {spec.address} {PORT}" for spec in (*old, *specs[1:])))
            wait_until(lambda: self._all_know_each_other(cluster), FORMED_WITHIN_S, "all members to know each other")
            if follow:
                self._follow(cluster, dict.fromkeys(specs, follow))
            else:
                self._follow(cluster, dict.fromkeys(specs[1:], ids[specs[0].name]))
            self._await_healthy(cluster, FORMED_WITHIN_S)
        except ClusterError as problem:
            there = [spec for spec in specs if spec.name in cluster.nodes]
            self._take_away(cluster, there)
            raise ClusterError(f"{problem}; what had come was taken away again, and no slot was moved") from None

    def _all_know_each_other(self, cluster: Cluster) -> bool:
        said = self.members(cluster).values()
        return all(len(one.known) == len(said) and not any("handshake" in other.flags for other in one.known) for one in said)

    def _take_away(self, cluster: Cluster, specs: Sequence[NodeSpec]) -> None:
        """Ends members that own nothing, lets all others forget them, and removes their nodes."""
        said = self.members(cluster)
        names = [spec.name for spec in specs]

        def drained() -> bool:
            return not any(self._asked_lately(cluster, spec) for spec in specs)

        with suppress(ClusterError):  # whoever asks on and on is sent elsewhere by what it meets
            wait_until(drained, DRAINED_WITHIN_S, "clients to ask elsewhere", every_s=1)
        for spec in specs:
            cluster.nodes[spec.name].stop(5)
        ids = {known.address: known.id for one in said.values() for known in one.known}  # a dead one does not tell its own
        forget = [f"CLUSTER FORGET {ids[spec.address]}" for spec in specs if spec.address in ids]
        for name, one in said.items():
            if name not in names:
                self._said(cluster, one.spec, *forget)  # one that was forgotten already refuses, which is as well
        for name in names:
            cluster.remove(name)
            self._specs.pop(name, None)
        if _told(cluster, cluster.zones[0]).exists():  # clients of a new cluster know its nodes by that file alone
            self._tell_clients(cluster)

    def _asked_lately(self, cluster: Cluster, spec: NodeSpec) -> bool:
        """Whether an application's client asks a node still: who is sent on from there goes elsewhere the next time."""
        (said,) = self._said(cluster, spec, "CLIENT LIST TYPE normal") or [""]
        clients = (dict(word.partition("=")[::2] for word in line.split(" ")) for line in str(said).splitlines())
        return any(one.get("user") == "application" and int(one["idle"]) < IDLE_S for one in clients)

    def _move(self, cluster: Cluster, moves: Sequence[Mapping[str, Any]], way: str, within_s: float) -> Mapping[str, Any]:
        """Moves slots, one shard's after the other's, from the client node nearest to it, which is asked most.

        Raises ClusterError, with how far it came, when not all were moved.
        """
        began, by = now_ns(), self._way(cluster, way)
        wanted = [frozenset(slots.slots_of(move["ranges"])) for move in moves]
        for move, its in zip(moves, wanted, strict=True):
            self._moving[move["to"]] = self._moving.get(move["to"], frozenset()) | its
        told: dict[str, Any] = {"way": by, "moved": 0, "took_s": 0.0, "began_anew": 0, "stopped": ""}
        try:
            for move in moves:
                left_s = within_s - seconds_since(began)
                one = self._reshard(cluster, "move", left_s, self._zone_of(cluster, move["from"]), way=by, moves=[move])
                told |= {what: told[what] + one[what] for what in ("moved", "took_s", "began_anew", "stopped")}
                if told["stopped"]:
                    raise ClusterError(f"it stopped: {_moved(told)} of {sum(map(len, wanted))}: {told['stopped']}")
        finally:
            self._moving.clear()
        return told

    def _zone_of(self, cluster: Cluster, shard: str) -> str:
        """Where a shard's primary is; any zone while it has none."""
        said = self.members(cluster, self._of_shards(cluster, [shard])).values()
        return next((one.spec.zone for one in said if one.role == "primary"), cluster.zones[0])

    def _of_shards(self, cluster: Cluster, shards: Collection[str]) -> list[str]:
        return [name for name, node in cluster.nodes.items() if node.spec.shard in shards]

    def _way(self, cluster: Cluster, way: str) -> str:
        """The way that the engine has. Raises ClusterError when it has not what is asked for."""
        spec = next(node.spec for node in cluster.nodes.values() if node.spec.role == "database")
        has = bool((self._said(cluster, spec, "COMMAND INFO CLUSTER|MIGRATESLOTS") or [[None]])[0][0])
        if way == "native" and not has:
            raise ClusterError("this engine has no CLUSTER MIGRATESLOTS; nothing was moved")
        return ("native" if has else "keys") if way == "fastest" else way

    def _verify(self, cluster: Cluster, within_s: float, told: Mapping[str, Any]) -> None:
        """Every slot has one owner, all members agree and are in sync, and no key is left where its slot is not."""
        stopped = f"{_moved(told)}, but"
        missing = [""]

        def well() -> bool:
            refused = self._take_back(cluster)
            missing[0] = self.healthy(cluster) or ""
            if missing[0] and refused:
                missing[0] += f" ({refused})"
            if not missing[0]:
                said = self._reshard(cluster, "accounted", 10)
                missing[0] = said.get("problem") or ", ".join(f"{n} keys astray on shard {s}" for s, n in said["stray"].items())
            return not missing[0]

        try:
            wait_until(well, max(1.0, within_s), "every member to be healthy", every_s=0.2)
        except ClusterError as problem:
            raise ClusterError(f"{stopped} {problem}: {missing[0]}") from None

    def _take_back(self, cluster: Cluster) -> str:
        """A primary that died while slots moved, and comes back, becomes a replica again. What one says when it will not.

        One that the others have forgotten meanwhile comes back empty, as a new member.
        """
        refused = ""
        said = self.members(cluster)
        owners = {
            one.spec.shard: one for one in said.values() if one.role == "primary" and one.slots and one.id in _known(said, one)
        }
        for name, one in said.items():
            owner = owners.get(one.spec.shard)
            if owner is None or one is owner or one.role == "silent":
                continue
            answer: list[Any] = []
            if one.id not in _known(said, one):
                answer = self._take_in_anew(cluster, one, owner)
            elif one.role == "primary" and not one.slots:
                answer = self._said(cluster, one.spec, f"CLUSTER REPLICATE {owner.id}")
            refused = next((f"{name} will not follow: {why}" for why in answer if isinstance(why, Refused)), refused)
        return refused

    def _take_in_anew(self, cluster: Cluster, one: Member, owner: Member) -> list[Any]:
        """Empties a member, unless that has been done, and introduces it again; what was answered to that."""
        if one.id not in self._new:
            # A replica refuses to be flushed, and is emptied by the reset.
            reset, *id_ = self._said(cluster, one.spec, "FLUSHALL", "CLUSTER RESET HARD", "CLUSTER MYID")[1:] or [
                Refused("silent")
            ]
            if isinstance(reset, Refused):
                return [reset]
            self._new.update(id_)
        return self._said(cluster, owner.spec, f"CLUSTER MEET {one.spec.address} {PORT}")

    def _reshard(self, cluster: Cluster, what: str, within_s: float, zone: str = "", **more: Any) -> dict[str, Any]:
        client = cluster.client(zone or cluster.zones[0])
        shards = _addresses([node.spec for node in cluster.nodes.values() if node.spec.shard])
        config = {"user": "admin", "password": self._secrets["admin"], "port": PORT, "shards": shards, "within_s": within_s}
        path = f"/run/harness/resharding-{what}.json"
        client.put(path, json.dumps(config | more))
        ran = client.run("python3", "-m", "harness.resharding", what, path)
        last = (ran.out.strip().splitlines() or ["it said nothing"])[-1]
        if ran.status:
            raise ClusterError(f"the resharding failed: {last}")
        told: dict[str, Any] = json.loads(last)
        return told

    def _said(self, cluster: Cluster, spec: NodeSpec, *commands: str) -> list[Any]:
        return said_by(cluster, spec, self._secrets["admin"], *commands)

    # --- another cluster ---

    def reshard_offline(self, cluster: Cluster, shards: int, node_type: str, engine: str, within_s: float) -> Resharded:
        """The new cluster is made first: writes are refused only from the backup on until clients are led to it."""
        began = now_ns()
        engine = engine or (self._engines or [self.engine])[-1]
        old = [node.spec for node in cluster.nodes.values() if node.spec.role == "database"]
        highest = max(map(int, self._owners(cluster)))
        try:
            wanted = dataclasses.replace(self, shards=shards, node_type=node_type or (self._types or [self.node_type])[-1])
        except ValueError as problem:
            raise ClusterError(f"{problem}; nothing was changed") from None
        zones = cluster.zones
        new = [
            self._spec(
                str(highest + 1 + number), zones[(number + member) % len(zones)], cluster.address, wanted.node_type, engine
            )
            for number in range(shards)
            for member in range(1 + self.replicas)
        ]
        names = [spec.name for spec in new]
        try:
            for spec in new:
                cluster.add(spec).start()
            self._introduce(cluster, new)
            self._await_healthy(cluster, FORMED_WITHIN_S, names)
            self._hold_writes(cluster, old)
            told = self._copied(cluster, old, new, within_s - seconds_since(began))
        except ClusterError as problem:
            self._hold_writes(cluster, old, hold=False)
            for name in names:
                if name in cluster.nodes:
                    cluster.remove(name)
            raise ClusterError(f"{problem}; the new cluster was taken away again, and the old one goes on") from None
        self._cut_over(cluster, old, new)
        self._types.append(wanted.node_type)
        self._engines.append(engine)
        self._await_healthy(cluster, FORMED_WITHIN_S)
        took = f"backed up in {told['backed_up_s']:.1f} s, restored in {told['restored_s']:.1f} s, and found equal"
        gone = len({spec.shard for spec in old})
        said = f"{told['keys']} keys were {took}; {shards} shards took the place of {gone}"
        return Resharded(said, [spec.name for spec in old])

    def _hold_writes(self, cluster: Cluster, specs: Sequence[NodeSpec], *, hold: bool = True) -> None:
        """Every write is refused, as if replicas were missing; what was acknowledged before is in the backup."""
        for spec in specs:
            self._ask(cluster, spec, f"CONFIG SET min-replicas-to-write {REPLICAS_THAT_NOBODY_HAS if hold else 0}")

    def _copied(self, cluster: Cluster, old: Sequence[NodeSpec], new: Sequence[NodeSpec], within_s: float) -> Mapping[str, Any]:
        """What became of all keys. Raises ClusterError when one is not in the new cluster as it was in the old one."""
        to = _addresses(new)
        told = self._reshard(cluster, "copy", within_s, shards=_addresses(old), to=to, backup="/run/harness/backup")
        if problem := told.get("problem"):
            raise ClusterError(f"it stopped while data was copied: {problem}")
        if told["differ"] or told["there"] != told["keys"]:
            there = f"{told['there']} of {told['keys']} keys are there"
            raise ClusterError(f"it stopped before the cut: {there}, of which {told['differ']} differ")
        return told

    def _cut_over(self, cluster: Cluster, old: Sequence[NodeSpec], new: Sequence[NodeSpec]) -> None:
        """Clients are led to the new cluster; the old one ends."""
        for spec in old:
            self._specs.pop(spec.name)
        self._specs.update({spec.name: spec for spec in new})
        self._tell_clients(cluster)
        for spec in old:
            cluster.nodes[spec.name].kill()
        for spec in old:
            cluster.remove(spec.name)

    def _tell_clients(self, cluster: Cluster) -> None:
        """Where clients begin to ask from now on: through a file that they look for."""
        for zone in cluster.zones:
            fresh = _told(cluster, zone).with_suffix(".new")
            fresh.write_text(json.dumps(self._known_to_clients["seeds"]))
            fresh.rename(_told(cluster, zone))

    # --- members ---

    def _ids(self, cluster: Cluster, only: Sequence[str] | None = None) -> Mapping[str, str]:
        """Each member's own id; empty until all of them have told theirs."""
        said = self.members(cluster, only)
        return {name: one.id for name, one in said.items()} if all(one.id for one in said.values()) else {}

    def _follow(self, cluster: Cluster, whom: Mapping[NodeSpec, str]) -> None:
        """Lets replicas follow their primaries, each as soon as it knows its own."""

        def follow(spec: NodeSpec) -> None:
            known = lambda: whom[spec] in (self._ask(cluster, spec, "CLUSTER NODES") or [""])[0]  # noqa: E731
            wait_until(known, FORMED_WITHIN_S, f"{spec.name} to know its primary", every_s=0.05)
            self._ask(cluster, spec, f"CLUSTER REPLICATE {whom[spec]}")

        if whom:
            with ThreadPoolExecutor(len(whom)) as pool:
                list(pool.map(follow, whom))

    def _await_healthy(self, cluster: Cluster, within_s: float, only: Sequence[str] | None = None) -> None:
        missing = [""]

        def well() -> bool:
            missing[0] = unfit(self.members(cluster, only)) or ""
            return not missing[0]

        wait_until(well, within_s, "every member to be healthy", every_s=0.1, told=lambda: missing[0])

    def healthy(self, cluster: Cluster) -> str | None:
        return unfit(self.members(cluster))

    def members(self, cluster: Cluster, only: Sequence[str] | None = None) -> Mapping[str, Member]:
        """What each member says of itself; of all, or of those that are named."""
        return members(cluster, self._secrets["admin"], only)

    def roles(self, cluster: Cluster) -> Mapping[str, str]:
        return {name: one.role for name, one in self.members(cluster).items()}

    def shard_of(self, cluster: Cluster, key: str) -> str:
        slot = slots.slot_of(key.encode())
        for one in self.members(cluster).values():
            if one.role == "primary" and any(first <= slot <= last for first, last in one.slots):
                return one.spec.shard
        raise ClusterError(f"no member owns slot {slot}, to which the key '{key}' belongs")

    def versions(self, cluster: Cluster) -> Mapping[str, str]:
        node = next(node for node in cluster.nodes.values() if node.spec.role == "database")
        return {
            node.spec.server: (node.run(f"{node.spec.server}-server", "--version").out.strip().splitlines() or ["unknown"])[0]
        }

    def records(self, log: str, zone: tzinfo) -> Iterable[ManagerRecord]:
        return recorded(log, zone)

    def rejoin_way(self, log: str) -> str | None:
        """By what came after it turned from primary into replica; the first sync of all is no rejoin."""
        _, turned, after = log.rpartition("Before turning into a replica")
        if not turned:
            return None
        if "Successful partial resynchronization" in after:
            return "partial resync"
        return "full resync" if "Full resync from" in after else None

    def _ask(self, cluster: Cluster, spec: NodeSpec, *commands: str) -> list[Any]:
        return ask(cluster, spec, self._secrets["admin"], *commands)

    # --- servers ---

    def _server(self, paths: Paths, address: str, kind: str, engine: str) -> Command:
        lines = [
            "bind 0.0.0.0", f"port {PORT}", "protected-mode no", f"dir {paths.data}",
            "cluster-enabled yes", "cluster-config-file nodes.conf", f"cluster-announce-ip {address}",
            f"cluster-node-timeout {int(self.node_timeout_s * 1000)}", "cluster-require-full-coverage no",
            # A shard keeps its members: one that lost its replica gets none of another's.
            "cluster-allow-replica-migration no",
            "user default off",
            f"user admin on >{self._secrets['admin']} ~* &* +@all",
            f"user application on >{self._secrets['application']} ~* &* +@all -@admin",
            f"user probe on >{self._secrets['probe']} ~probe* {PROBE_MAY}",
            "masteruser admin", f"masterauth {self._secrets['admin']}",
            'save ""', f"appendonly {'yes' if self.persistence == 'aof' else 'no'}", "appendfsync everysec",
            # A first sync waits 5 s for more replicas by default.
            "repl-diskless-sync-delay 0",
            # A replica that lost its primary asks anew only once a silence of this length is over.
            "repl-timeout 10", "repl-ping-replica-period 1",
            *settings(kind, self.eviction),
        ]  # fmt: skip
        files = {f"{paths.config}/server.conf": "\n".join(lines) + "\n"}
        return Command((f"{engine}-server", f"{paths.config}/server.conf"), files=files)


def _known(said: Mapping[str, Member], one: Member) -> set[str]:
    """The ids of the members that anybody but this one knows."""
    return {known.id for other in said.values() if other is not one for known in other.known}


def _told(cluster: Cluster, zone: str) -> Path:
    """Which nodes the clients of a zone are told of, once they are others than at first."""
    return cluster.folder / "history" / f"members-{zone}.json"


def _moved(told: Mapping[str, Any]) -> str:
    """`4096 slots were moved natively in 0.3 s, begun anew once`."""
    how = {"native": "natively", "keys": "key by key"}[told["way"]]
    anew = {0: "", 1: ", begun anew once"}.get(told["began_anew"], f", begun anew {told['began_anew']} times")
    return f"{told['moved']} slots were moved {how} in {told['took_s']:.1f} s{anew}"


def _addresses(specs: Sequence[NodeSpec]) -> dict[str, list[str]]:
    """Shard → the addresses of its members."""
    found: dict[str, list[str]] = {}
    for spec in specs:
        found.setdefault(spec.shard, []).append(spec.address)
    return found


def seconds_since(began: int) -> float:
    return (now_ns() - began) / SECOND_NS
