"""Are shards that are added or removed verified by the members' own word, and does a change that stops say where?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import pytest

from harness.changes.add_shard import AddShard
from harness.changes.remove_shard import RemoveShard
from harness.errors import ClusterError
from harness.protocols import Change, Cluster, Moves, Resharded, Reshards, Topology

NOBODY = cast("Cluster", None)  # the topology of these tests asks no node


@dataclass
class Shards:
    """Says that it did what it was asked, or where it stopped."""

    stopped: str = ""
    missing: str | None = None
    asked: tuple[Any, ...] = ()
    arrived: float | None = None

    def owned(self, cluster: Cluster) -> Mapping[str, str]:
        return {"redis-1": "4096 slots"}

    def moved(self, cluster: Cluster) -> float | None:
        return self.arrived

    def healthy(self, cluster: Cluster) -> str | None:
        return self.missing

    def add_shard(self, cluster: Cluster, way: str, within_s: float) -> Resharded:
        return self._done(way, within_s)

    def remove_shard(self, cluster: Cluster, shard: str | None, way: str, within_s: float) -> Resharded:
        return self._done(shard, way, within_s)

    def _done(self, *asked: Any) -> Resharded:
        self.asked = asked
        if self.stopped:
            raise ClusterError(self.stopped)
        return Resharded("4096 slots were moved", ["redis-4"], begun_anew=2)


def test_what_a_change_needs_is_what_the_topology_has() -> None:
    assert isinstance(Shards(), Reshards)
    assert isinstance(AddShard(), Change)
    assert isinstance(RemoveShard(), Change)


@pytest.mark.parametrize(
    ("change", "asked"),
    [(AddShard("keys", 30), ("keys", 30)), (RemoveShard("2", "native", 40), ("2", "native", 40)), (AddShard(), ("fastest", 180))],
)
def test_a_change_that_was_made_says_what_and_where_everything_is_now(change: Change, asked: tuple[Any, ...]) -> None:
    shards = Shards()
    outcome = change.carry_out(NOBODY, cast("Topology", shards))
    assert shards.asked == asked
    assert outcome.verified
    assert outcome.said.startswith("4096 slots were moved; all was verified after ")
    assert (outcome.touched, outcome.expected) == (["redis-4"], {"redis-1": "4096 slots"})
    assert outcome.measured == {"begun_anew": 2}


@pytest.mark.parametrize("change", [AddShard(), RemoveShard()])
def test_how_far_a_change_is_the_topology_says(change: Moves) -> None:
    assert change.moved(NOBODY, cast("Topology", Shards())) is None
    assert change.moved(NOBODY, cast("Topology", Shards(arrived=0.25))) == 0.25


@pytest.mark.parametrize("change", [AddShard(), RemoveShard()])
@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (None, "it stopped: 7 of 9; the cluster serves"),
        ("x is silent", "it stopped: 7 of 9; the cluster is not whole: x is silent"),
    ],
)
def test_a_change_that_stopped_says_where_and_whether_the_cluster_serves(change: Change, missing: str | None, said: str) -> None:
    outcome = change.carry_out(NOBODY, cast("Topology", Shards("it stopped: 7 of 9", missing)))
    assert (outcome.verified, outcome.said) == (False, said)
