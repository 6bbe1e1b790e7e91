"""How do the clients of a zone get through their Toxiproxy to databases that announce their own addresses?

Each such database has a proxy there, by its name, at the port that follows from its address (`harness.ways`). Several links lead
over it, such as a shard's writer and its reader: a toxic that all of them ask for is on it once.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness.links.toxiproxy import ToxiproxyNode
from harness.protocols import Endpoint, NodeSpec
from harness.ways import port_of


@dataclass(frozen=True)
class Toxic:
    """A toxic as Toxiproxy knows it."""

    type_: str
    attributes: tuple[tuple[str, float], ...]
    stream: str

    @property
    def name(self) -> str:
        return f"{self.type_}_{self.stream}"


@dataclass
class Announced:
    """The ways of one zone's clients; `address` is where they reach its Toxiproxy, `port` where databases listen.

    `shards` are those that have links. A node of another one, which came later and takes over data of all of them, suffers
    whatever any of them does.
    """

    proxy: ToxiproxyNode
    address: str
    port: int
    shards: frozenset[str]
    _nodes: dict[str, NodeSpec] = field(default_factory=dict)
    _on: dict[str, set[Toxic]] = field(default_factory=dict)  # what is on each node's way
    _held: Counter[tuple[str, Toxic]] = field(default_factory=Counter)  # what a shard's ways shall have, by how many links
    _lock: threading.Lock = field(default_factory=threading.Lock)  # nodes come and go while faults begin and end

    def open(self, spec: NodeSpec, *, make: bool = True) -> None:
        """Leads to a node; without `make`, over a way that is there."""
        with self._lock:
            if make:
                self.proxy.create(spec.name, f"0.0.0.0:{port_of(spec.address)}", f"{spec.address}:{self.port}")
            self._nodes[spec.name], self._on[spec.name] = spec, set()
            self._settle()

    def close(self, name: str) -> None:
        with self._lock:
            del self._nodes[name], self._on[name]
            self.proxy.delete(name)

    def endpoints(self, shard: str, greeting: bytes) -> Sequence[Endpoint]:
        """The ways to a shard's nodes, of which each answers to a greeting."""
        with self._lock:
            there = [spec for spec in self._nodes.values() if spec.shard == shard]
        return [Endpoint(spec.name, self.address, port_of(spec.address), greeting) for spec in there]

    @contextmanager
    def toxic(self, shard: str, toxic: Toxic) -> Iterator[None]:
        """Is on every way to a shard's nodes until the last link that asks for it needs it no more."""
        try:
            self._hold(shard, toxic, 1)
            yield
        finally:
            self._hold(shard, toxic, -1)

    def _hold(self, shard: str, toxic: Toxic, more: int) -> None:
        with self._lock:
            self._held[shard, toxic] = max(0, self._held[shard, toxic] + more)  # all may have been taken off meanwhile
            self._settle()

    def _settle(self) -> None:
        held = [(shard, toxic) for (shard, toxic), links in self._held.items() if links]
        for name, spec in self._nodes.items():
            wanted = {toxic for shard, toxic in held if shard == spec.shard or spec.shard not in self.shards}
            for toxic in self._on[name] - wanted:
                self._on[name].discard(toxic)  # first: one that fails to go is not asked for again and again
                self.proxy.remove_toxic(name, toxic.name)
            for toxic in wanted - self._on[name]:
                self.proxy.add_toxic(name, toxic.name, toxic.type_, dict(toxic.attributes), toxic.stream)
                self._on[name].add(toxic)

    def reset(self) -> None:
        """Forgets every toxic: somebody has taken all of them off."""
        with self._lock:
            self._held.clear()
            self._on = {name: set() for name in self._nodes}
