"""What does a cache in front of a database spare it, and what does it cost when the cache is gone?

Two topologies in one cluster: each forms by itself, and each has its own endpoints. Nothing leads from one to the other: clients
ask the cache first, and the database for what is not there (cache aside).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, cast

from harness import registry
from harness.clock import wait_until
from harness.endpoints import role_of
from harness.errors import ClusterError
from harness.protocols import (
    AddressPlan,
    Cluster,
    ComesAndGoes,
    Endpoint,
    HashedByClients,
    LogsInTogether,
    Node,
    NodeSpec,
    Part,
    Topology,
)

CACHE, ORIGIN = "cache", "origin"
CACHES = ("memcached", "redis")  # protocols whose sessions fetch, store and forget
ORIGINS = ("postgresql", "dynamodb")  # and those whose sessions look up and change


@dataclass(frozen=True)
class Cached:
    """A `cache` in front of an `origin`: any two topologies, each a word or `use: word` with its options.

    The origin's endpoints are `writer` and `reader`; the cache's are `cache` (`cache:mc-1`, … where each node has its own) and,
    if it has one, `cache-reader`. What is judged as lost is what the origin has lost.
    """

    protocol: ClassVar[str] = "cached"

    cache: Part = field(default_factory=lambda: _part("elasticache-memcached"), metadata={"shown": "elasticache-memcached"})
    origin: Part = field(default_factory=lambda: _part("rds-multi-az"), metadata={"shown": "rds-multi-az"})

    _parts: dict[str, Topology] = field(default_factory=dict, init=False, repr=False, compare=False)
    _of: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)  # node → part

    def __post_init__(self) -> None:
        for name in (CACHE, ORIGIN):
            given = _part(getattr(self, name))
            object.__setattr__(self, name, given)
            # A copy of this topology may be laid out elsewhere, and so its parts with it.
            self._parts[name] = dataclasses.replace(given.topology)  # type: ignore[type-var]
        cache, origin = self._parts[CACHE], self._parts[ORIGIN]
        if not {*origin.zones} <= {*cache.zones} and not {*cache.zones} <= {*origin.zones}:
            raise ValueError(f"{self.cache.use} and {self.origin.use} are in different zones")
        if cache.protocol not in CACHES:
            raise ValueError(f"{self.cache.use} is no cache: it speaks {cache.protocol}, not {' or '.join(CACHES)}")
        if origin.protocol not in ORIGINS:
            raise ValueError(f"{self.origin.use} is no origin: it speaks {origin.protocol}, not {' or '.join(ORIGINS)}")

    @property
    def zones(self) -> tuple[str, ...]:
        return max((part.zones for part in self._parts.values()), key=len)

    @property
    def parts(self) -> Mapping[str, Topology]:
        return self._parts

    def part_of(self, name: str) -> Topology:
        """The part whose endpoint, or node, that is."""
        of_cache = name in self._cache_names.values()
        return self._parts[CACHE if of_cache else self._of.get(name, ORIGIN)]

    def keeps(self, node: str) -> bool:
        return self._of.get(node, ORIGIN) == ORIGIN

    # --- layout ---

    def nodes(self, plan: AddressPlan) -> Sequence[NodeSpec]:
        specs: list[NodeSpec] = []
        for name, part in self._parts.items():
            own = part.nodes(dataclasses.replace(plan, zones=part.zones))
            self._of.update({spec.name: name for spec in own})
            specs += [self._in_parts(spec) if name == CACHE else spec for spec in own]
        return specs

    def came(self, name: str, zone: str, address: str, made: Mapping[str, str]) -> NodeSpec:
        own = dict(made)
        self._of[name] = own.pop("part")
        part = self._parts[self._of[name]]
        assert isinstance(part, ComesAndGoes), "it added the node"
        return part.came(name, zone, address, own)

    def went(self, name: str) -> None:
        part = self.part_of(name)
        if isinstance(part, ComesAndGoes):
            part.went(name)

    def _in_parts(self, spec: NodeSpec) -> NodeSpec:
        """Of a cache that is not in shards itself, one shard: its primary is not the origin's."""
        return dataclasses.replace(spec, shard=spec.shard or CACHE) if spec.role == "database" else spec

    @property
    def _cache_names(self) -> Mapping[str, str]:
        """What the cache's endpoints are called in it, and what here."""
        names = self._parts[CACHE].endpoint_names
        return {name: CACHE + name.removeprefix("writer") if role_of(name) == "writer" else f"{CACHE}-{name}" for name in names}

    @property
    def endpoint_names(self) -> tuple[str, ...]:
        return (*self._parts[ORIGIN].endpoint_names, *self._cache_names.values())

    def endpoints(self, zone: str) -> Mapping[str, Endpoint]:
        of_cache = self._parts[CACHE].endpoints(zone)
        named = {new: dataclasses.replace(of_cache[old], name=new) for old, new in self._cache_names.items()}
        return {**self._parts[ORIGIN].endpoints(zone), **named}

    @property
    def secrets(self) -> dict[str, str]:
        return {f"{name}.{key}": value for name, part in self._parts.items() for key, value in part.secrets.items()}

    def dsn(self, host: str, port: int) -> str:
        return self._parts[ORIGIN].dsn(host, port)

    def login(self, host: str, port: int) -> Mapping[str, Any]:
        return self._parts[ORIGIN].login(host, port)

    def login_together(self, endpoints: Mapping[str, Endpoint]) -> Mapping[str, Any]:
        origin, cache = self._parts[ORIGIN], self._parts[CACHE]
        own = {old: endpoints[new] for old, new in self._cache_names.items()}
        return {
            "protocol": self.protocol,
            CACHE: dict(cache.login_together(own) if isinstance(cache, LogsInTogether) else _login(cache, own["writer"])),
            ORIGIN: dict(_login(origin, endpoints["writer"])),
        }

    def login_to_keep(self, node: str, login: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"protocol": self.protocol, ORIGIN: dict(login)} if self.keeps(node) else login

    def client_config(self, zone: str) -> Mapping[str, Any]:
        return self._parts[ORIGIN].client_config(zone)

    @property
    def probed_slower(self) -> float:
        """How much less often than others the origin wants to be asked."""
        return float(getattr(self._parts[ORIGIN], "probed_slower", 1))

    # --- forming ---

    def form(self, cluster: Cluster, progress: Callable[[str], None]) -> None:
        for name in (ORIGIN, CACHE):
            self._parts[name].form(self._within(cluster, name), progress)
        wait_until(lambda: self.healthy(cluster) is None, 30, "both the cache and its origin to be healthy")

    def healthy(self, cluster: Cluster) -> str | None:
        said = {name: part.healthy(self._within(cluster, name)) for name, part in self._parts.items()}
        return "; ".join(f"{name}: {missing}" for name, missing in said.items() if missing) or None

    def roles(self, cluster: Cluster) -> Mapping[str, str]:
        return self._merged(cluster, lambda part, own: part.roles(own))

    def versions(self, cluster: Cluster) -> Mapping[str, str]:
        return self._merged(cluster, lambda part, own: part.versions(own))

    def rejoin_way(self, log: str) -> str | None:
        return next((way for part in self._parts.values() if (way := part.rejoin_way(log))), None)

    # --- nodes of the cache that come and go ---

    @property
    def _hashed(self) -> HashedByClients:
        cache = self._parts[CACHE]
        if not isinstance(cache, HashedByClients):
            raise ClusterError(f"clients of {self.cache.use} hash no keys onto nodes")
        return cache

    def members(self, cluster: Cluster) -> Sequence[str]:
        return self._hashed.members(self._within(cluster, CACHE))

    def grow(self, cluster: Cluster, count: int, node_type: str) -> Sequence[str]:
        return self._hashed.grow(self._within(cluster, CACHE), count, node_type)

    def tell(self, cluster: Cluster, nodes: Sequence[str]) -> None:
        self._hashed.tell(cluster, nodes)

    def remapped_share(self, cluster: Cluster, before: Sequence[str], after: Sequence[str]) -> float:
        return self._hashed.remapped_share(cluster, before, after)

    def answered(self, cluster: Cluster, node: str) -> int | None:
        return self._hashed.answered(cluster, node)

    # --- each part within the whole ---

    def _merged(self, cluster: Cluster, ask: Callable[[Topology, Cluster], Mapping[str, str]]) -> Mapping[str, str]:
        said = [ask(part, self._within(cluster, name)) for name, part in self._parts.items()]
        return {key: value for one in said for key, value in one.items()}

    def _within(self, cluster: Cluster, part: str) -> Cluster:
        return cast("Cluster", _Within(cluster, partial(self._belongs, part), partial(self._joins, part)))

    def _joins(self, part: str, node: str) -> str:
        self._of[node] = part
        return part

    def _belongs(self, part: str, node: str) -> bool:
        return self._of.get(node, part) == part  # clients and proxies are everybody's


@dataclass(frozen=True)
class _Within:
    """A cluster as one of its parts sees it: the others' nodes are none of its own."""

    _cluster: Cluster
    _belongs: Callable[[str], bool]
    _joins: Callable[[str], str]

    def add(self, spec: NodeSpec) -> Node:
        part = self._joins(spec.name)  # first: as soon as it is there, others may ask whose it is
        return self._cluster.add(dataclasses.replace(spec, made={**spec.made, "part": part}))

    @property
    def nodes(self) -> Mapping[str, Node]:
        return {name: node for name, node in self._cluster.nodes.items() if self._belongs(name)}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)


def _login(topology: Topology, endpoint: Endpoint) -> Mapping[str, Any]:
    return topology.login(endpoint.host, endpoint.port)


def _part(given: Part | str | Mapping[str, Any]) -> Part:
    """A part as given in memory: itself, its word, or `{"use": word, …}` with options in base units."""
    if isinstance(given, Part):
        return given
    options = {} if isinstance(given, str) else {key: value for key, value in given.items() if key != "use"}
    use = given if isinstance(given, str) else str(given["use"])
    return Part(use, registry.find("topologies", use)(**options))
