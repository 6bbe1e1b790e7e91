"""What probes and sessions of a cluster are told by real servers, whose slots move under them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import slots
from harness.probes.contract import Address, Answered
from harness.probes.redis_cluster import OK, RedisCluster, RedisClusterConnection, role_of
from harness.recording import Outcome
from harness.resharding import Cluster, Move, Resharding, accounted, copy
from harness.resp import Refused
from tests.unit.valkey_cluster import Servers


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = Servers(tmp_path_factory.mktemp("cluster"))
    with made.running():
        yield made


def led(cluster: Servers, shard: str, leads: str = "writer") -> Address:
    return Address(cluster.hosts[0], cluster.port, leads, shard)


def resharding(cluster: Servers, way: str, moves: list[Move]) -> dict[str, Any]:
    return Resharding(_cluster(cluster), way, moves).carry_out()


def _cluster(cluster: Servers) -> Cluster:
    about = cluster.about
    return Cluster(about["user"], about["password"], about["port"], about["shards"], time.monotonic() + 90)


def values(cluster: Servers) -> list[int]:
    from harness.sessions.redis_cluster import RedisCluster as Sessions

    found: list[int] = []
    for host in cluster.hosts:
        with Sessions().reading({**cluster.login, "host": host}) as connection:
            found += [value for part in Sessions().probed(connection) for value in part]
    return sorted(found)


async def _writes(connection: RedisClusterConnection, numbers: range) -> list[Answered]:
    return [await connection.write(number) for number in numbers]


def test_every_shard_takes_writes_of_its_own_keys_which_are_there_once_until_they_are_cleared(cluster: Servers) -> None:
    async def main() -> list[list[Answered]]:
        client = RedisCluster(**cluster.probe)
        found = []
        for number, shard in enumerate("123"):
            connection = await client.connect(led(cluster, shard))
            found.append([*await _writes(connection, range(100 * number, 100 * number + 20)), await connection.read()])
            await connection.close()
        return found

    assert asyncio.run(main()) == [[OK] * 21] * 3
    assert values(cluster) == [*range(20), *range(100, 120), *range(200, 220)]

    async def clear() -> None:
        connection = await RedisCluster(**cluster.probe).connect(Address(cluster.hosts[0], cluster.port))
        await connection.clear()
        await connection.close()

    asyncio.run(clear())
    assert values(cluster) == []


@pytest.mark.parametrize(
    ("flags", "owned", "role"),
    [("myself,master", ["0-5460"], "primary"), ("myself,master", [], "unknown"), ("myself,slave", [], "replica")],
)
def test_a_master_of_no_slot_is_nobodys_primary_yet(flags: str, owned: list[str], role: str) -> None:
    assert role_of(flags.split(","), owned) == role


def test_a_node_says_its_role_and_its_slots_and_refuses_what_is_another_ones(cluster: Servers) -> None:
    async def main() -> tuple[dict[str, Any], Answered]:
        client = RedisCluster(**cluster.probe)
        connection = await client.connect(Address(cluster.hosts[1], cluster.port, shard="1"))
        try:
            return await connection.role(), await connection.write(1)
        finally:
            await connection.close()

    role, answered = asyncio.run(main())
    assert role == {"role": "primary", "slots": "5461-10921", "state": "ok"}
    assert answered == Answered(Outcome.FAILED, "MOVED")


@pytest.mark.parametrize("way", ["native", "keys"])
def test_probes_follow_slots_that_move_and_no_key_is_left_behind(cluster: Servers, way: str) -> None:
    quarter = frozenset(range(4096, 5461))

    async def main() -> list[Answered]:
        client = RedisCluster(**cluster.probe)
        connection = await client.connect(led(cluster, "1"))
        task = asyncio.create_task(asyncio.to_thread(resharding, cluster, way, [Move("1", "4", quarter)]))
        answers, number = [], 0
        while not task.done() or number < 200:
            answers.append(await connection.write(number))
            number += 1
            await asyncio.sleep(0.002)
        assert task.result()["stopped"] == "", task.result()
        await connection.clear()
        await connection.close()
        assert number == len(answers)
        return answers

    assert set(asyncio.run(main())) == {OK}
    assert accounted(_cluster(cluster))["stray"] == {}
    assert resharding(cluster, "native", [Move("4", "1", quarter)])["moved"] == len(quarter)


SESSION = """
import json, sys
from harness.sessions.redis_cluster import RedisCluster
from harness.resharding import Cluster, Move, Resharding
import threading, time
login, about, keys = json.loads(sys.argv[1])
session = RedisCluster().session(login, 0.1)
assert session.connect() is None, session.connect()
cluster = Cluster(about["user"], about["password"], about["port"], about["shards"], time.monotonic() + 90)
moving = Resharding(cluster, "keys", [Move("1", "4", frozenset(range(4096, 5461)))])
thread = threading.Thread(target=moving.carry_out)
thread.start()
told = set()
while thread.is_alive():
    for key in keys:
        told.add(session.execute("RPUSH", key, "x")[:2])
Resharding(cluster, "native", [Move("4", "1", frozenset(range(4096, 5461)))]).carry_out()
session.drop()
assert session.connected
told.add(session.execute("RPUSH", keys[0], "x")[:2])
print(sorted((outcome.name, error) for outcome, error in told))
"""


def test_sessions_follow_moved_and_ask_to_a_shard_that_they_never_heard_of(cluster: Servers) -> None:
    keys = slots.keys_over([(4096, 5460)], 20, "workload:")
    told = json.dumps([cluster.login, cluster.about, keys])
    ended = subprocess.run([sys.executable, "-c", SESSION, told], capture_output=True, text=True, check=False)
    assert ended.stdout.strip() == "[('OK', '')]", ended.stderr


def test_a_resharding_that_cannot_go_on_says_why_and_how_far_it_came(cluster: Servers) -> None:
    about = cluster.about
    short = Cluster(
        about["user"], about["password"], about["port"], {**about["shards"], "9": ["127.0.0.99"]}, time.monotonic() + 1
    )
    told = Resharding(short, "keys", [Move("1", "9", frozenset({1}))]).carry_out()
    assert (told["moved"], told["of"], told["stopped"]) == (0, 1, "no member of shard 9 is its primary")


def test_a_server_that_is_killed_leaves_a_write_unknown_and_the_connection_unusable(tmp_path: Path) -> None:
    made = Servers(tmp_path)
    with made.running() as processes:

        async def main() -> tuple[Answered, bool, Answered]:
            client = RedisCluster(**made.probe)
            connection = await client.connect(led(made, "2"))
            await connection.write(1)
            processes[made.hosts[1]].send_signal(19)  # SIGSTOP
            asked = asyncio.create_task(connection.write(2))
            await asyncio.sleep(0.1)
            assert not connection.usable
            processes[made.hosts[1]].kill()
            lost = await asked
            usable = connection.usable
            other = await client.connect(led(made, "3"))
            return lost, usable, await other.write(3)

        lost, usable, elsewhere = asyncio.run(main())
    assert (lost.outcome, usable, elsewhere) == (Outcome.UNKNOWN, False, OK)


def test_what_is_backed_up_is_restored_into_other_shards_as_it_was_and_compared(cluster: Servers, tmp_path: Path) -> None:
    other = Servers(tmp_path, cluster.topology, ("127.0.0.12", "127.0.0.13", "127.0.0.14", "127.0.0.15"), cluster.port)
    with other.running():
        for number, host in enumerate(cluster.hosts[:3]):
            server = cluster.asked(host)
            server.ask("FLUSHALL")
            for key in slots.keys_over([slots.shares(3)[number]], 30, "workload:"):
                server.ask("RPUSH", key, b"\x00\xff\r\n", key)
                server.ask("PEXPIRE", key, 3_600_000)
            server.close()
        about, to = cluster.about, other.about
        until = time.monotonic() + 90
        old = Cluster(about["user"], about["password"], about["port"], {shard: about["shards"][shard] for shard in "123"}, until)
        new = Cluster(to["user"], to["password"], to["port"], {shard: to["shards"][shard] for shard in "123"}, until)
        told = copy(old, new, tmp_path / "backup")
        held = accounted(new)["keys"]
        server = other.asked("127.0.0.12")
        key = slots.keys_over([slots.shares(3)[0]], 30, "workload:")[0]
        assert server.ask("LRANGE", key, 0, -1)[1] == key
        assert 3_000_000 < server.ask("PTTL", key) <= 3_600_000
        server.close()
        # A second copy finds that the keys are there: it must not pass for one that was made.
        with pytest.raises(Refused, match="BUSYKEY"):
            copy(old, new, tmp_path / "backup")
    assert (told["keys"], told["there"], told["differ"]) == (90, 90, 0)
    assert held == 90
