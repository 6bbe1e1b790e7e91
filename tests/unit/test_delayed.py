"""A link of several ways is slow when all of them are, and well when none is: what lies between is told as neither."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.protocols import Endpoint, Ran
from harness.witnesses import Delayed


class Client:
    """Looks at ways whose answers take so many ms, by their ports."""

    spec = SimpleNamespace(name="client-az-a")

    def __init__(self, took: dict[int, str | None]) -> None:
        self.took = took

    def run(self, *argv: str) -> Ran:
        ms = self.took[int(argv[3])]
        return Ran(0, ms or "")


@pytest.mark.parametrize(
    ("took", "seen"),
    [
        (["52 53 50.1", "53"], "at least 50 ms"),
        (["1", "2"], "prompt"),
        (["70 60 2 65", "2"], "prompt"),  # a busy machine delayed all answers but one
        (["52 53 31", "31"], "31 ms"),
        (["1", "52"], "not the same on all ways: at least 50 ms, prompt"),
        ([None, "52"], "at least 50 ms"),  # a node that is gone has no way
        ([None, None], "silent"),
    ],
)
def test_what_is_seen_is_what_all_ways_say(took: list[str | None], seen: str) -> None:
    ways = [Endpoint(f"node-{number}", "198.18.1.200", number) for number in range(len(took))]
    client = Client(dict(enumerate(took)))
    cluster: Any = SimpleNamespace(client=lambda zone: client)
    link: Any = SimpleNamespace(zone="az-a", name="az-a to writer:1", ways=ways, greeting=b"PING\r\n")
    witness = Delayed(cluster, link, at_least_ms=50)
    assert witness.look() == seen
    assert (witness.look() == witness.normal) == (seen == "prompt")
