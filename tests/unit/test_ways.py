"""Clients whose way is through a Toxiproxy take it to every address that they learn: not one connection passes it by."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import slots
from harness.probes.contract import Address
from harness.probes.redis_cluster import OK, RedisCluster
from harness.resharding import Cluster, Move, Resharding
from harness.ways import port_of, way
from tests.unit.test_redis_cluster_probe import SESSION
from tests.unit.valkey_cluster import Servers

THROUGH = f"127.9.{os.getpid() % 250}.9"  # tests may run beside each other
MOVING = frozenset(range(4096, 5461))


def test_the_way_to_an_address_follows_from_it() -> None:
    assert way("", "198.18.1.10", 6379) == ("198.18.1.10", 6379)
    assert way("198.18.2.20", "198.18.1.10", 6379) == ("198.18.2.20", port_of("198.18.1.10"))
    ports = [port_of(f"198.18.{third}.{last}") for third in range(16, 32) for last in range(256)]
    assert len(set(ports)) == len(ports)
    assert max(ports) < 32_768  # where kernels begin to hand ports out


@contextmanager
def proxies(servers: Servers) -> Iterator[None]:
    """What a zone's Toxiproxy does, from an address of its own: each server has a port there."""
    loop = asyncio.new_event_loop()
    listening: list[asyncio.Server] = []

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while chunk := await source.read(65_536):
            target.write(chunk)
        target.close()

    async def serve(host: str) -> None:
        async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            inner = await asyncio.open_connection(host, servers.port, local_addr=(THROUGH, 0))
            await asyncio.gather(pump(reader, inner[1]), pump(inner[0], writer))

        listening.append(await asyncio.start_server(joined, THROUGH, port_of(host)))

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    for host in servers.hosts:
        asyncio.run_coroutine_threadsafe(serve(host), loop).result(5)
    try:
        yield
    finally:
        for server in listening:
            loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


class Watch(threading.Thread):
    """Looks at each server's connections again and again: those of a user that came through the proxy, and that passed it by."""

    def __init__(self, servers: Servers, user: str) -> None:
        super().__init__(daemon=True)
        self._asked, self._user = [servers.asked(host) for host in servers.hosts], user
        self.through: set[str] = set()
        self.past: set[str] = set()
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.005):
            for server in self._asked:
                for line in server.ask("CLIENT", "LIST").splitlines():
                    about = dict(word.partition("=")[::2] for word in line.split(" "))
                    if about.get("user") == self._user:
                        (self.through if about["addr"].startswith(f"{THROUGH}:") else self.past).add(about["addr"])


def test_no_session_passes_its_proxy_by_while_slots_move_to_a_shard_that_is_new(tmp_path: Path) -> None:
    servers = Servers(tmp_path)
    with servers.running(), proxies(servers):
        watch = Watch(servers, "application")
        watch.start()
        keys = slots.keys_over([(4096, 5460)], 20, "workload:")
        told = json.dumps([{**servers.login, "through": THROUGH}, servers.about, keys])
        ended = subprocess.run([sys.executable, "-c", SESSION, told], capture_output=True, text=True, check=False)
        watch.over.set()
        watch.join()
    assert ended.stdout.strip() == "[('OK', '')]", ended.stderr
    assert len(watch.through) >= len(servers.hosts)
    assert watch.past == set()


def test_no_probe_passes_its_proxy_by_while_slots_move_to_a_shard_that_is_new(tmp_path: Path) -> None:
    servers = Servers(tmp_path)

    async def main() -> set[object]:
        client = RedisCluster(**{**servers.probe, "through": THROUGH})
        connection = await client.connect(Address(servers.hosts[0], servers.port, "writer", "1"))
        about = servers.about
        cluster = Cluster(about["user"], about["password"], about["port"], about["shards"], time.monotonic() + 90)
        moving = asyncio.create_task(asyncio.to_thread(Resharding(cluster, "keys", [Move("1", "4", MOVING)]).carry_out))
        answers: set[object] = set()
        number = 0
        while not moving.done():
            number += 1
            answers.add(await connection.write(number))
            await asyncio.sleep(0.002)
        await connection.close()
        return answers

    with servers.running(), proxies(servers):
        watch = Watch(servers, "probe")
        watch.start()
        answers = asyncio.run(main())
        watch.over.set()
        watch.join()
    assert answers == {OK}
    assert watch.through
    assert watch.past == set()
