"""Does the nemesis end a run in doubt when its target is not there at the moment the fault fires, and always heal?

The cluster is a double: nodes by name, in zones, and what each says of itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from harness import history, targets
from harness.checkers.witness import Witness
from harness.clock import now_ns, wait_until
from harness.errors import ClusterError
from harness.history import History
from harness.nemesis import Nemesis
from harness.protocols import Cluster, Group, Network, NodeSpec, Topology
from harness.protocols import Witness as Looking
from harness.readings import Readings
from harness.recording import Notes
from harness.scenario import FaultPlan
from harness.verdict import Finding, Verdict

ZONES = ("az-a", "az-b", "az-c")
HEALTHY = {"db-az-a": "primary", "db-az-b": "replica", "db-az-c": "replica"}


@dataclass
class Node:
    """A node that knows only its place."""

    spec: NodeSpec


@dataclass
class Nodes:
    """A cluster of one database a zone."""

    zones: Sequence[str] = ZONES
    network: None = None

    @property
    def nodes(self) -> Mapping[str, Node]:
        specs = [NodeSpec(f"db-{zone}", zone, "db", "database", f"10.0.{n}.1", None) for n, zone in enumerate(self.zones)]
        return {spec.name: Node(spec) for spec in specs}

    def zone_group(self, zone: str) -> Group:
        return Group(f"zone({zone})", (f"10.0.{self.zones.index(zone)}.0/24",))


@dataclass
class Endpoints:
    """A topology of which only its endpoints are asked."""

    endpoint_names: ClassVar[tuple[str, ...]] = ("writer", "reader")


@dataclass
class Roles:
    """What every database says of itself, and what the nemesis waits for."""

    said: Mapping[str, str]

    def roles(self) -> Mapping[str, str]:
        return self.said


@dataclass(frozen=True)
class Seen:
    """A witness that sees the truth."""

    fault: Broken
    vantage: str = "a bystander"
    normal: str = "whole"
    expected: str = "broken"

    def look(self) -> str:
        return "broken" if self.fault.now else "whole"


@dataclass(frozen=True)
class LostSight(Seen):
    """One that is gone while the fault is in force."""

    def look(self) -> str:
        if self.fault.now:
            raise ClusterError("the bystander is gone")
        return "whole"


@dataclass
class Broken:
    """A fault that counts what it broke and healed, and may fail in the act."""

    changes_roles: ClassVar[bool] = True

    fails: Exception | None = None
    now: list[str] = field(default_factory=list)
    healed: list[str] = field(default_factory=list)

    @contextmanager
    def on_node(self, node: Node) -> Iterator[None]:
        self.now.append(node.spec.name)
        try:
            if self.fails:
                raise self.fails
            yield
        finally:
            self.now.remove(node.spec.name)
            self.healed.append(node.spec.name)

    def witnesses_on_node(self, cluster: Cluster, node: Node) -> Sequence[Looking]:
        return [Seen(self)]


@dataclass
class BrokenZone(Broken):
    """The same for zones."""

    on_node = None  # type: ignore[assignment]  # it acts on zones only

    @contextmanager
    def between(self, network: Network, a: Group, b: Group) -> Iterator[None]:
        self.now.append(a.name)
        yield
        self.now.remove(a.name)

    def witnesses_between(self, cluster: Cluster, a: Group, b: Group) -> Sequence[Looking]:
        return [Seen(self)]


def carried_out(
    folder: Path,
    plans: Sequence[FaultPlan],
    roles: Mapping[str, str],
    during: Callable[[Nemesis], None] = lambda nemesis: None,
) -> History:
    """The history of a nemesis that carries plans out on databases in these roles."""
    notes = Notes(folder / "events.jsonl")
    planned = [{"id": plan.id, "kind": plan.kind, "target": str(plan.target)} for plan in plans]
    notes.write("run", now_ns(), faults=planned, topology={"zones": ZONES, "nodes": []})
    nemesis = Nemesis(
        cast("Cluster", Nodes()), cast("Topology", Endpoints()), plans, cast("Readings", Roles(roles)), notes, random.Random(1),
        1, lambda line: None,
    )  # fmt: skip
    nemesis.start(now_ns())
    during(nemesis)
    for thread in nemesis._threads:
        thread.join(30)
    assert not nemesis.under_way()
    notes.close()
    return history.read(folder)


def plan(fault: Any, target: str, **timing: Any) -> FaultPlan:
    return FaultPlan("broken", fault, targets.parse(target), **{"id": "broken", "at_s": 0, "for_s": 0.1, **timing})


def judged(told: History) -> Finding:
    return Witness().check(told)


@pytest.mark.parametrize(
    ("target", "roles", "because"),
    [
        ("writer", {**HEALTHY, "db-az-a": "unreachable"}, "target 'writer' matched no node; seen: db-az-a (az-a, unreachable)"),
        ("writer", {**HEALTHY, "db-az-b": "primary"}, "target 'writer' is not one node; seen: db-az-a (az-a, primary)"),
        ("writer", {}, "target 'writer' matched no node"),
        ("one replica", {"db-az-a": "primary", "db-az-b": "unknown"}, "target 'one replica' matched no node"),
        ("every replica", {"db-az-a": "primary"}, "target 'every replica' matched no node"),
        ("node(db-az-x)", HEALTHY, "target 'node(db-az-x)' matched no node"),
    ],
    ids=["no_primary", "two_primaries", "nothing_known", "no_replica", "none_of_every", "no_such_node"],
)
def test_a_node_that_is_not_there_when_the_fault_fires_makes_the_run_unknown(
    tmp_path: Path, target: str, roles: Mapping[str, str], because: str
) -> None:
    fault = Broken()
    told = carried_out(tmp_path, [plan(fault, target)], roles)
    found = judged(told)
    assert found.verdict is Verdict.UNKNOWN
    assert found.validity
    assert because in found.summary
    assert "never injected" in found.summary
    assert not fault.healed, "nothing was hit"


@pytest.mark.parametrize(
    ("target", "roles", "because"),
    [
        ("zone of one replica", {"db-az-a": "primary"}, "target 'one replica' matched no node"),
        ("zone of writer", {**HEALTHY, "db-az-c": "primary"}, "target 'writer' is not one node"),
        ("zone(az-x)", HEALTHY, "target 'zone(az-x)' matched no zone"),
    ],
    ids=["no_replica", "two_primaries", "no_such_zone"],
)
def test_a_zone_that_is_not_there_when_the_fault_fires_makes_the_run_unknown(
    tmp_path: Path, target: str, roles: Mapping[str, str], because: str
) -> None:
    found = judged(carried_out(tmp_path, [plan(BrokenZone(), target)], roles))
    assert found.verdict is Verdict.UNKNOWN
    assert because in found.summary


def test_a_target_that_is_there_is_hit_witnessed_and_healed(tmp_path: Path) -> None:
    fault = Broken()
    told = carried_out(tmp_path, [plan(fault, "writer")], HEALTHY)
    assert judged(told).verdict is Verdict.PASS, judged(told).summary
    assert fault.healed == ["db-az-a"]
    assert told.faults[0].hit == ["db-az-a"]


@pytest.mark.parametrize("problem", [ClusterError("the node is gone"), ValueError("a bug")], ids=["expected", "crash"])
def test_a_fault_that_fails_while_it_is_injected_is_healed_and_makes_the_run_unknown(tmp_path: Path, problem: Exception) -> None:
    fault = Broken(fails=problem)
    found = judged(carried_out(tmp_path, [plan(fault, "every replica")], HEALTHY))
    assert found.verdict is Verdict.UNKNOWN
    assert str(problem) in found.summary
    assert fault.now == []
    assert fault.healed == ["db-az-b"], "the second was never begun"


def test_a_fault_whose_witness_is_gone_is_healed_and_noted_as_such(tmp_path: Path) -> None:
    class Gone(Broken):
        def witnesses_on_node(self, cluster: Cluster, node: Node) -> Sequence[Looking]:
            return [LostSight(self)]

    fault = Gone()
    told = carried_out(tmp_path, [plan(fault, "writer", for_s=600)], HEALTHY)
    assert fault.healed == ["db-az-a"], "at once, and not after ten minutes"
    assert told.faults[0].healed is not None
    assert "failed: the bystander is gone" in judged(told).summary


def test_stopping_heals_at_once_what_would_have_lasted_for_minutes(tmp_path: Path) -> None:
    fault = Broken()

    def stop(nemesis: Nemesis) -> None:
        wait_until(lambda: fault.now, 5, "the fault to be injected", every_s=0.01)
        nemesis.stop()

    began = now_ns()
    told = carried_out(
        tmp_path, [plan(fault, "writer", for_s=600), plan(Broken(), "writer", id="later", at_s=300)], HEALTHY, stop
    )
    assert (now_ns() - began) / 1e9 < 10
    assert fault.healed == ["db-az-a"]
    assert "later) was never injected" in judged(told).summary
