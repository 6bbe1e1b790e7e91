"""What does ElastiCache for Memcached promise, on nodes of which none knows another?

Each node keeps the keys that clients look for there: its part of the keys is a shard of one node, without a replica. The clients
themselves hash keys onto nodes, so there is no endpoint that leads to all of them: each node has its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from harness.clock import wait_until
from harness.endpoints import shard_of
from harness.errors import ClusterError
from harness.protocols import AddressPlan, Cluster, Command, Endpoint, Greeting, Limits, Node, NodeSpec, Paths
from harness.talk import Question, talk
from harness.topologies._node_types import node_type

PORT = 11211
NODES_MAX = 40  # as the service has it
MEMORY_MB = 64  # for items, of a node without a type: as Memcached has it
VERSION = b"version\r\n"


@dataclass(frozen=True)
class ElasticacheMemcached:
    """Memcached on `node_count` nodes (1 to 40) over three zones, without replication; clients hash keys consistently (ketama).

    `node_type` gives every node its memory and CPU (`cache.m.large`, …; without one it keeps 64 MB of items, and has no limit);
    what finds no room there takes the place of what was used least recently. A client leaves out a node that does not answer it,
    and looks for its keys on the others, for `dead_for`; with 0s it never does.
    """

    zones: ClassVar[tuple[str, ...]] = ("az-a", "az-b", "az-c")
    protocol: ClassVar[str] = "memcached"

    node_count: int = 3
    node_type: str = ""
    dead_for_s: float = 0

    _specs: dict[str, NodeSpec] = field(default_factory=dict, init=False, repr=False, compare=False)
    _types: list[str] = field(default_factory=list, init=False, repr=False, compare=False)  # of the nodes that came later

    def __post_init__(self) -> None:
        if not 1 <= self.node_count <= NODES_MAX:
            raise ValueError(f"{self.node_count} nodes; a Memcached cluster has 1 to {NODES_MAX}")
        if self.node_type:
            node_type(self.node_type)

    # --- layout ---

    def nodes(self, plan: AddressPlan) -> Sequence[NodeSpec]:
        return [self._node(number, plan.zones, plan.take, self.node_type) for number in range(1, self.node_count + 1)]

    def _node(self, number: int, zones: Sequence[str], take: Callable[[str], str], type_: str) -> NodeSpec:
        """The node of that number, from 1; the zones take turns."""
        name, zone = f"mc-{number}", zones[(number - 1) % len(zones)]
        spec = NodeSpec(
            name, zone, "memcached", "database", take(zone), partial(self._server, type_=type_), greeting=Greeting(PORT, VERSION),
            unprivileged=True, in_memory=True, limits=node_type(type_).limits if type_ else Limits(), shard=name,
            made={"type_": type_},
        )  # fmt: skip
        self._specs[name] = spec
        return spec

    def came(self, name: str, zone: str, address: str, made: Mapping[str, str]) -> NodeSpec:
        self._types.append(made["type_"])
        return self._node(int(name.removeprefix("mc-")), self.zones, lambda _: address, **made)

    def went(self, name: str) -> None:
        pass  # clients are told by a file who is there

    def _server(self, paths: Paths, type_: str) -> Command:
        del paths  # it writes no file
        memory_mb = node_type(type_).maxmemory_mb if type_ else MEMORY_MB
        # Where a node's server would run as root, it wants to be told that this is meant.
        argv = ("memcached", "-u", "root", "-l", "0.0.0.0", "-p", str(PORT), "-U", "0", "-m", str(memory_mb), "-t", "2")
        return Command(argv)

    @property
    def endpoint_names(self) -> tuple[str, ...]:
        return tuple(f"writer:mc-{number}" for number in range(1, self.node_count + 1))

    def endpoints(self, zone: str) -> Mapping[str, Endpoint]:
        named = {name: self._specs[shard_of(name)].address for name in self.endpoint_names}
        return {name: Endpoint(name, address, PORT, VERSION) for name, address in named.items()}

    @property
    def secrets(self) -> dict[str, str]:
        return {}

    def dsn(self, host: str, port: int) -> str:
        return f"memcached://{host}:{port}"

    def login(self, host: str, port: int) -> Mapping[str, Any]:
        return {"protocol": self.protocol, "host": host, "port": port, "servers": [[host, host, port]]}

    def login_together(self, endpoints: Mapping[str, Endpoint]) -> Mapping[str, Any]:
        servers = [[shard_of(name), one.host, one.port] for name, one in endpoints.items()]
        first = next(iter(endpoints.values()))
        return {**self.login(first.host, first.port), "servers": servers, "dead_s": self.dead_for_s}

    def client_config(self, zone: str) -> Mapping[str, Any]:
        return {"protocol": self.protocol, "probe": {}, "direct_port": PORT}

    # --- forming ---

    def form(self, cluster: Cluster, progress: Callable[[str], None]) -> None:
        progress("starting Memcached")
        members = _members(cluster)
        with ThreadPoolExecutor(len(members)) as pool:
            list(pool.map(lambda node: node.start(), members))
        missing = [""]

        def all_answer() -> bool:
            missing[0] = self.healthy(cluster) or ""
            return not missing[0]

        wait_until(all_answer, 30, "every node to answer", every_s=0.1, told=lambda: missing[0])

    def healthy(self, cluster: Cluster) -> str | None:
        silent = [name for name, role in self.roles(cluster).items() if role != "primary"]
        return f"{', '.join(silent)} does not answer" if silent else None

    def roles(self, cluster: Cluster) -> Mapping[str, str]:
        """A node that answers is the only one that keeps its part of the keys, so it is that part's primary."""
        answer = _answers(cluster, _members(cluster))
        return {name: "primary" if answers else "silent" for name, answers in answer.items()}

    # --- nodes that come and go ---

    def members(self, cluster: Cluster) -> Sequence[str]:
        told = _told(cluster, self.zones[0])
        there = json.loads(told.read_text()) if told.exists() else [[shard_of(name)] for name in self.endpoint_names]
        return [name for name, *_ in there]

    def grow(self, cluster: Cluster, count: int, node_type: str) -> Sequence[str]:
        kind = node_type or (self._types or [self.node_type])[-1]
        taken = [int(node.spec.name.removeprefix("mc-")) for node in _members(cluster)]
        if len(taken) + count > NODES_MAX:
            raise ClusterError(f"{len(taken) + count} nodes; a Memcached cluster has 1 to {NODES_MAX}")
        first, made = max(taken) + 1, []
        try:
            for number in range(first, first + count):
                node = cluster.add(self._node(number, self.zones, cluster.address, kind))
                made.append(node)
                node.start()
            wait_until(lambda: all(_answers(cluster, made).values()), 15, "the new nodes to answer", every_s=0.1)
        except ClusterError:
            for node in made:
                cluster.remove(node.spec.name)
            raise
        self._types.append(kind)
        return [node.spec.name for node in made]

    def tell(self, cluster: Cluster, nodes: Sequence[str]) -> None:
        """Through a file that every client looks for: Memcached itself has no word for it."""
        there = [[name, cluster.nodes[name].spec.address, PORT] for name in nodes]
        for zone in self.zones:
            fresh = _told(cluster, zone).with_suffix(".new")
            fresh.write_text(json.dumps(there))
            fresh.rename(_told(cluster, zone))

    def remapped_share(self, cluster: Cluster, before: Sequence[str], after: Sequence[str]) -> float:
        """Asks a client, who alone knows how keys are hashed."""
        asked = ("python3", "-m", "harness.sessions.memcached", json.dumps([list(before), list(after)]))
        ran = cluster.client(self.zones[0]).run(*asked)
        try:
            return float(ran.out)
        except ValueError:
            raise ClusterError(f"a client could not say where it looks for keys: {ran.out.strip()[-200:]}") from None

    def answered(self, cluster: Cluster, node: str) -> int | None:
        spec = cluster.nodes[node].spec
        (said,) = talk(cluster, [Question(spec, PORT, b"stats\r\nquit\r\n")])
        found = re.search(r"STAT cmd_get (\d+)", said)
        return int(found[1]) if found else None

    # --- what runs ---

    def versions(self, cluster: Cluster) -> Mapping[str, str]:
        return {"memcached": _members(cluster)[0].run("memcached", "-V").out.strip()}

    def rejoin_way(self, log: str) -> str | None:
        return None


def _told(cluster: Cluster, zone: str) -> Path:
    """Which nodes the clients of a zone are told of, once they are others than at first."""
    return cluster.folder / "history" / f"members-{zone}.json"


def _answers(cluster: Cluster, nodes: Sequence[Node]) -> dict[str, bool]:
    """Which of some nodes answer."""
    said = talk(cluster, [Question(node.spec, PORT, VERSION) for node in nodes], within_s=1)
    return {node.spec.name: bool(answer) for node, answer in zip(nodes, said, strict=True)}


def _members(cluster: Cluster) -> list[Node]:
    return [node for node in cluster.nodes.values() if node.spec.server == "memcached"]
