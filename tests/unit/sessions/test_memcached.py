"""Keys are hashed onto nodes as libketama does, and an error means what it means to a write."""

from __future__ import annotations

import hashlib
import struct
from bisect import bisect_left
from typing import Any

import pytest
from pymemcache.exceptions import (  # type: ignore[import-untyped]
    MemcacheServerError,
    MemcacheUnexpectedCloseError,
    MemcacheUnknownError,
)

from harness.sessions.memcached import Ketama, Members, Nodes, told_of

KEYS = [f"item:{number}" for number in range(4000)]
THREE = ["mc-1", "mc-2", "mc-3"]


def libketama(nodes: list[str]) -> Any:
    """Its algorithm, written down apart from the library: 40 digests for each node, four points in each."""
    points = sorted(
        (point, node)
        for node in nodes
        for number in range(40)
        for point in struct.unpack("<4I", hashlib.md5(f"{node}-{number}".encode()).digest())
    )

    def node_of(key: str) -> str:
        (hashed,) = struct.unpack("<I", hashlib.md5(key.encode()).digest()[:4])
        return points[bisect_left(points, (hashed, "")) % len(points)][1]

    return node_of


def test_every_key_is_where_libketama_would_look_for_it() -> None:
    ring, reference = Ketama(THREE), libketama(THREE)
    assert [ring.get_node(key) for key in KEYS] == [reference(key) for key in KEYS]


def test_a_node_more_takes_about_its_share_of_the_keys_and_moves_no_other() -> None:
    before, after = Ketama(THREE), Ketama([*THREE, "mc-4"])
    moved = [key for key in KEYS if before.get_node(key) != after.get_node(key)]
    assert {after.get_node(key) for key in moved} == {"mc-4"}
    assert 0.18 < len(moved) / len(KEYS) < 0.32


def test_the_order_in_which_nodes_came_does_not_matter() -> None:
    ring = Ketama()
    for node in ("mc-3", "mc-1", "mc-9", "mc-2"):
        ring.add_node(node)
    ring.remove_node("mc-9")
    assert [ring.get_node(key) for key in KEYS] == [Ketama(THREE).get_node(key) for key in KEYS]
    assert Ketama().get_node("a") is None


def test_ways_to_a_node_do_not_change_where_keys_are() -> None:
    direct = Nodes({(f"10.0.0.{number}", 11211): f"mc-{number}" for number in (1, 2, 3)}, 0)
    through = Nodes({("10.0.1.9", 15000 + number): f"mc-{number}" for number in (1, 2, 3)}, 0)
    assert [direct.hasher.get_node(key) for key in KEYS] == [through.hasher.get_node(key) for key in KEYS]


def test_nodes_come_and_go_while_a_session_lives(tmp_path: Any) -> None:
    file = tmp_path / "members.json"
    members = Members({"servers": [["mc-1", "10.0.0.1", 1]], "members": str(file)})
    nodes = Nodes(members.now(), 0)
    assert members.changed() is None
    file.write_text('[["mc-2", "10.0.0.2", 1], ["mc-3", "10.0.0.3", 1]]')
    changed = members.changed()
    assert changed is not None
    nodes.keep(changed)
    assert sorted(nodes.clients) == ["mc-2", "mc-3"]
    assert {nodes.hasher.get_node(key) for key in KEYS} == {"mc-2", "mc-3"}
    assert members.changed() is None


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionRefusedError(111, "Connection refused"), ("connection refused", True)),
        (MemcacheServerError("out of memory storing object"), ("out of memory storing object", True)),
        (MemcacheUnexpectedCloseError(), ("connection closed", False)),
        (MemcacheUnknownError(b"STO"), ("b'STO'", False)),
        (TimeoutError("timed out"), ("timeout", False)),
        (ConnectionResetError(104, "Connection reset by peer"), ("connection reset", False)),
    ],
)
def test_only_what_was_refused_is_known_not_to_have_happened(error: Exception, told: tuple[str, bool]) -> None:
    assert told_of(error) == told
