"""Do this engine's containers do what nodes rely on? Each thing is tried on one container, which is removed again."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

import docker.errors
from docker.models.containers import Container
from testcontainers.core.container import DockerContainer

from harness.clock import MILLISECOND_NS, now_ns, wait_until
from harness.errors import ClusterError
from harness.protocols import Group, Shape
from harness.runtimes import docker as runtime
from harness.runtimes.engine import execute, reason

PORT = 7000
SERVER = f"""
import socket
with socket.create_server(("0.0.0.0", {PORT})) as server:
    while True:
        with server.accept()[0] as connection:
            connection.sendall(b"!")
"""
CLOCK = "import time; print(time.clock_gettime_ns(time.CLOCK_MONOTONIC))"
MEMORY_MB = 64
CPUS = 0.5

P = ParamSpec("P")


def _in_words(
    trial: Callable[Concatenate[TrialNode, P], str],
) -> Callable[Concatenate[TrialNode, P], str]:
    """The engine's refusals as ClusterError."""

    @wraps(trial)
    def tried(node: TrialNode, /, *args: P.args, **kwargs: P.kwargs) -> str:
        try:
            return trial(node, *args, **kwargs)
        except docker.errors.APIError as problem:
            raise ClusterError(reason(problem)) from None

    return tried


@dataclass(frozen=True)
class TrialNode:
    """One container. Every trial says what it saw, and raises ClusterError when that was not what nodes need."""

    container: Container

    def _run(self, *argv: str, user: str = "") -> str:
        status, out = execute(self.container, argv, user=user)
        said = out.decode("utf-8", "replace").strip()
        if status:
            raise ClusterError((said.splitlines() or [f"{argv[0]} ended with {status}"])[-1])
        return said

    @_in_words
    def shares(self, folder: Path) -> str:
        """What the one side writes into the folder that the container was started with, the other reads."""
        (folder / "from-here").write_text("here")
        self._run("sh", "-c", f"grep -q here {runtime.HISTORY}/from-here && echo there > {runtime.HISTORY}/from-there")
        if not (folder / "from-there").exists():
            raise ClusterError(f"what a container writes into {folder.parent} does not arrive there")
        return "read and written by both sides"

    @_in_words
    def clock(self) -> str:
        before, there, after = now_ns(), int(self._run("python3", "-c", CLOCK)), now_ns()
        if not before <= there <= after:
            raise ClusterError(f"a container's monotonic clock is {(there - after) / MILLISECOND_NS:+.0f} ms off")
        return "a container's is this machine's"

    @_in_words
    def answers_on_loopback(self) -> str:
        self.container.exec_run(["python3", "-c", SERVER], detach=True)
        port = runtime.published_port(self.container, PORT)
        wait_until(lambda: _answers(port), 10, f"a container's answer on 127.0.0.1:{port}")
        return "a container answered"

    @_in_words
    def pauses(self) -> str:
        port = runtime.published_port(self.container, PORT)
        wait_until(lambda: _answers(port), 10, "an answer before pausing")
        self.container.pause()
        try:
            silent = not _answers(port)
        finally:
            self.container.unpause()
        if not silent:
            raise ClusterError("a paused container went on answering")
        wait_until(lambda: _answers(port), 10, "an answer after pausing")
        return "it falls silent, and answers again"

    @_in_words
    def has_shares(self) -> str:
        files = "/sys/fs/cgroup/cpu.weight /sys/fs/cgroup/cpu/cpu.shares"  # cgroup version 2, version 1
        before = self._run("sh", "-c", f"cat {files} 2>/dev/null || true")
        self.container.update(cpu_shares=runtime.CLIENT_CPU_SHARES)
        after = self._run("sh", "-c", f"cat {files} 2>/dev/null || true")
        if not after or before == after:
            raise ClusterError("a greater share of the CPU is not in force")
        return "in force"

    @_in_words
    def limits(self) -> str:
        self.container.update(
            mem_limit=f"{MEMORY_MB}m", memswap_limit=f"{MEMORY_MB}m", cpu_period=100_000, cpu_quota=int(CPUS * 100_000)
        )
        memory = "/sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes"
        cpu = "/sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us"
        seen = self._run("sh", "-c", f"cat {memory} {cpu} 2>/dev/null || true").split()
        if [*map(str, (MEMORY_MB * 2**20, int(CPUS * 100_000)))] != seen[:2]:
            raise ClusterError(f"limits that were set are not in force (seen: {' '.join(seen) or 'nothing'})")
        return "in force"


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5) as connection:
        connection.settimeout(0.5)
        return connection.recv(1) == b"!"
    return False


@contextmanager
def trial_node(image: str, folder: Path) -> Iterator[TrialNode]:
    """A container of the client image, as a run starts it, with `folder` where its history would be.

    Raises ClusterError when it cannot be started, RuntimeUnavailable when it can get no network.
    """
    run_id, owner = secrets.token_hex(4), runtime._owner(os.getpid())
    try:
        network, _ = runtime._network(run_id, owner)
        container = DockerContainer(image).with_name(runtime._named(run_id, "trial")).with_exposed_ports(PORT)
        container.with_volume_mapping(str(folder.resolve()), runtime.HISTORY, "rw")
        container.with_kwargs(
            network=network, labels=runtime._labels(run_id, owner), entrypoint=list(runtime.INIT),
            user=f"{os.getuid()}:{os.getgid()}",
        )  # fmt: skip
        yield TrialNode(runtime._started(container, "a container"))
    finally:
        runtime.remove(run_id)


def shaping(image: str) -> str:
    """Has packets carried between addresses that no node has. Raises ClusterError where that cannot be."""
    run_id, owner = secrets.token_hex(4), runtime._owner(os.getpid())
    # Documentation addresses (RFC 5737).
    a, b = Group("a", ("192.0.2.0/24",)), Group("b", ("198.51.100.0/24",))
    try:
        runtime._network(run_id, owner)
        packets = runtime._packets(runtime._packet_helper(run_id, owner, image), run_id)
        with packets.shape(a, b, Shape(delay_ms=1)):
            if packets.carried(a, b) is None:
                raise ClusterError("the process that carries packets has ended by itself")
        return "begun and ended"
    finally:
        runtime.remove(run_id)
