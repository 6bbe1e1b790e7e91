"""Everything of one cluster is found again in another, whatever its type is and in whatever order a server keeps it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.resharding import Cluster, _content, _differing, copy
from harness.resp import Refused, Server
from harness.slots import slot_of
from tests.unit.valkey_cluster import Servers

MEMBERS = [str(number) for number in range(2000)]  # more than a server keeps in the order in which they came
KEYS: dict[str, tuple[str, ...]] = {
    "text": ("SET", "a value"), "list": ("RPUSH", *MEMBERS), "set": ("SADD", *MEMBERS), "hash": ("HSET", *MEMBERS),
    "ranks": ("ZADD", *MEMBERS), "events": ("XADD", "*", "field", "value"),
}  # fmt: skip


def cluster(of: Servers) -> Cluster:
    shards = {str(1 + number): [host] for number, host in enumerate(of.hosts[:3])}
    return Cluster("admin", of.topology.secrets["admin"], of.port, shards, time.monotonic() + 60)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Cluster, Cluster]]:
    old = Servers(tmp_path / "old")
    with old.running():
        new = Servers(tmp_path / "new")  # finds the old one's port taken
        with new.running():
            yield cluster(old), cluster(new)


def owners(of: Cluster) -> dict[int, Server]:
    return {slot: server for server, known in map(of.primary, of.shards) for slot in known.slots}


def test_a_copy_is_equal_though_servers_write_it_otherwise_and_one_member_less_is_seen(
    two: tuple[Cluster, Cluster], tmp_path: Path
) -> None:
    old, new = two
    source = owners(old)
    for key, (command, *more) in KEYS.items():
        source[slot_of(key.encode())].ask(command, key, *more)
    told = copy(old, new, tmp_path / "backup")
    assert (told["keys"], told["there"], told["differ"]) == (len(KEYS), len(KEYS), 0)

    target = owners(new)
    dumps = [of[slot_of(b"set")].ask_all([("DUMP", "set")], raw=True)[0] for of in (source, target)]
    assert dumps[0] != dumps[1], "each server has a seed of its own, by which it orders a set"
    keys = [key.encode() for key in KEYS]

    def differ() -> int:
        return sum(_differing(target[slot_of(key)], source, [key]) for key in keys)

    assert differ() == 0
    target[slot_of(b"set")].ask("SREM", "set", "7")
    assert differ() == 1
    target[slot_of(b"hash")].ask("HSET", "hash", "0", "another")
    target[slot_of(b"text")].ask("DEL", "text")
    assert differ() == 3
    assert _content(target[slot_of(b"text")], [b"text"]) == [None]


def test_a_backup_that_a_server_does_not_understand_stops_the_copy(
    two: tuple[Cluster, Cluster], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = two
    owners(old)[slot_of(b"text")].ask("SET", "text", "a value")
    newer = b"\xff" * 10  # a version that there is not yet, and a checksum
    monkeypatch.setattr("harness.resharding._restoring", lambda key, ttl, value: ("RESTORE", key, ttl, value[:-10] + newer))
    with pytest.raises(Refused, match="DUMP payload version or checksum are wrong"):
        copy(old, new, tmp_path / "backup")
