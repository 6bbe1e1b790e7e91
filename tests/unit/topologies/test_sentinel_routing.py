"""A zone's router leads writers to the node that Sentinels name, and to no other that calls itself primary.

Real servers, each with an address of its own on this machine's loopback: the files are those that nodes get.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from harness.clock import SECOND_NS, now_ns, wait_until
from harness.namespaces import servers
from harness.protocols import AddressPlan, NodeSpec, Paths
from harness.sessions.redis import client
from harness.topologies.elasticache_redis import READER, WRITER, ElasticacheRedis

ROUTER = "haproxy-az-a"


@dataclass
class Machine:
    """The topology's nodes as processes: no zones, no network between them."""

    folder: Path
    topology: ElasticacheRedis = field(default_factory=lambda: ElasticacheRedis(down_after_s=2))
    specs: dict[str, NodeSpec] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        taken = iter(range(1, 100))
        plan = AddressPlan(self.topology.zones, lambda _: f"127.77.0.{next(taken)}")
        self.specs = {spec.name: spec for spec in self.topology.nodes(plan)}

    def start(self, *names: str) -> None:
        for name in names:
            self.running[name] = self._started(self.specs[name])

    def _started(self, spec: NodeSpec) -> subprocess.Popen[bytes]:
        here = self.folder / spec.name
        here.mkdir(exist_ok=True)
        paths = Paths(str(here), str(here / "config"), str(here))
        assert spec.build is not None
        command = spec.build(paths)
        (here / "config").mkdir(exist_ok=True)
        for path, text in command.files.items():
            # All share one network here, where each node has its own.
            Path(path).write_text(text.replace("bind 0.0.0.0", f"bind {spec.address}"))
        log = open(here / "log", "ab")  # noqa: SIM115 (the process has it)
        return subprocess.Popen(command.argv, stdout=log, stderr=log, env={"PATH": servers.path()}, start_new_session=True)

    def kill(self, *names: str) -> None:
        for name in names:
            with suppress(ProcessLookupError):
                self.running[name].kill()
            self.running.pop(name).wait()

    def ask(self, *command: str, at: int = WRITER) -> object:
        """What the endpoint of a zone answers on a fresh connection; the error, where it does not."""
        try:
            one = client(self.topology.login(self.specs[ROUTER].address, at), timeout_s=1)
            with ExitStack() as stack:
                stack.callback(one.close)
                return one.execute_command(*command)  # type: ignore[no-untyped-call]
        except redis.RedisError as problem:
            return problem

    def writes(self) -> bool:
        return self.ask("SET", "workload:x", "1") is True

    def serves_at(self) -> str:
        """Whom the writer endpoint leads to, by the name that the server has been given."""
        return str(self.ask("GET", "workload:name"))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    assert shutil.which("haproxy", path=servers.path()), "pip install 'failover-harness[embedded]' brings it"
    with formed(tmp_path_factory.mktemp("machine")) as one:
        yield one


@contextmanager
def formed(folder: Path) -> Iterator[Machine]:
    machine = Machine(folder)
    try:
        machine.start(*(name for name in machine.specs if not name.startswith("haproxy")), ROUTER)
        wait_until(machine.writes, 20, "a write through the router")
        yield machine
    finally:
        machine.kill(*machine.running)


def test_writers_follow_the_promotion_and_never_a_primary_that_was_deposed(machine: Machine) -> None:
    wait_until(lambda: str(machine.ask("ROLE", at=READER)[0]) == "slave" or None, 20, "a replica to be read")  # type: ignore[index]
    machine.kill("cache-az-a")
    began = now_ns()
    wait_until(machine.writes, 20, "another primary")
    print(f"served again after {(now_ns() - began) / SECOND_NS:.2f} s, at down_after 2 s")
    machine.ask("SET", "workload:name", "the new one")
    # As it went: with its own file, in which it is primary. Until a Sentinel tells it otherwise, it calls itself so.
    machine.start("cache-az-a")
    until = now_ns() + 4 * SECOND_NS
    answers = set()
    while now_ns() < until:
        answers.add(machine.serves_at())
    assert "the new one" in answers
    assert "None" not in answers, "so the old one answers, which never heard of that name"


def test_the_loss_of_the_zones_own_sentinel_and_then_of_all_leaves_writers_served(machine: Machine) -> None:
    machine.kill("sentinel-az-a")
    wait_until(machine.writes, 10, "another zone's Sentinel to be asked")
    machine.kill("sentinel-az-b", "sentinel-az-c")
    wait_until(machine.writes, 10, "the node itself to be believed")
    assert machine.serves_at() == "the new one"
