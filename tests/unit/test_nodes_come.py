"""A node joins, and is verified by who asks it; whatever fails on the way leaves the clients with the nodes that they had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.changes.add_node import AddNode
from harness.changes.replace_nodes import ReplaceNodes
from harness.checkers.changed import Changed
from harness.errors import ClusterError
from harness.protocols import HashedByClients
from harness.verdict import Verdict
from tests.unit.histories import Run, found

OLD = ["mc-1", "mc-2", "mc-3"]


@dataclass
class Hashed:
    """A cache whose clients do as they are told, unless they are `deaf`."""

    deaf: bool = False
    full: bool = False
    known: list[str] = field(default_factory=lambda: list(OLD))
    there: list[str] = field(default_factory=lambda: list(OLD))
    told: list[list[str]] = field(default_factory=list)
    reads: int = 0

    def roles(self, cluster: Any) -> dict[str, str]:
        return dict.fromkeys(self.there, "primary")

    def members(self, cluster: Any) -> Sequence[str]:
        return list(self.known)

    def grow(self, cluster: Any, count: int, node_type: str) -> Sequence[str]:
        if self.full:
            raise ClusterError("41 nodes; a Memcached cluster has 1 to 40")
        names = [f"mc-{len(self.there) + number}" for number in range(1, count + 1)]
        self.there += names
        return names

    def tell(self, cluster: Any, nodes: Sequence[str]) -> None:
        self.told.append(list(nodes))
        if not self.deaf:
            self.known = list(nodes)

    def remapped_share(self, cluster: Any, before: Sequence[str], after: Sequence[str]) -> float:
        return 0.22

    def answered(self, cluster: Any, node: str) -> int | None:
        self.reads += node in self.known
        return self.reads if node in self.known else 0


def carried_out(change: Any, topology: Any) -> Any:
    assert isinstance(topology, HashedByClients)
    return change.carry_out(None, topology)


def test_a_node_that_is_asked_has_joined() -> None:
    topology = Hashed()
    outcome = carried_out(AddNode(), topology)
    assert outcome.verified
    assert (topology.known, outcome.touched) == ([*OLD, "mc-4"], ("mc-4",))
    assert outcome.measured == {"remapped_share": 0.22}
    assert outcome.said.endswith("22.0% of the keys are looked for there now, 1/4 are 25.0%")


def test_a_node_that_nobody_asks_is_not_verified_and_clients_go_back() -> None:
    topology = Hashed(deaf=True)
    outcome = carried_out(AddNode(within_s=0.2), topology)
    assert not outcome.verified
    assert topology.told[-1] == OLD
    assert outcome.said.endswith("clients were told to go on with 3 nodes")


def test_a_node_too_many_changes_nothing() -> None:
    topology = Hashed(full=True)
    outcome = carried_out(AddNode(), topology)
    assert not outcome.verified
    assert (topology.told, outcome.said) == ([], "41 nodes; a Memcached cluster has 1 to 40; clients know 3 nodes, as before")


def test_a_new_cluster_takes_over_once_nobody_asks_the_old_one() -> None:
    topology = Hashed()
    outcome = carried_out(ReplaceNodes(), topology)
    assert outcome.verified
    assert topology.known == ["mc-4", "mc-5", "mc-6"]


def test_a_new_cluster_that_clients_do_not_use_is_not_verified() -> None:
    topology = Hashed(deaf=True)
    outcome = carried_out(ReplaceNodes(node_count=1, within_s=0.2), topology)
    assert not outcome.verified
    assert topology.told == [["mc-4"], OLD]


@pytest.mark.parametrize(("most", "verdict"), [(0.3, Verdict.PASS), (0.2, Verdict.FAIL)])
def test_what_a_change_has_measured_is_held_to_its_bound(most: float, verdict: Verdict) -> None:
    made = Run().event(12, "change", id="add_node", kind="add_node", stage="done", measured={"remapped_share": 0.22})
    finding = Changed().check(made.expect("remapped_share", max=most).history())
    assert (finding.verdict, found(finding, "remapped_share").value) == (verdict, 0.22)


def test_a_bound_on_what_no_change_has_measured_is_unknown() -> None:
    assert Changed().check(Run().expect("remapped_share", max=1).history()).verdict is Verdict.UNKNOWN
