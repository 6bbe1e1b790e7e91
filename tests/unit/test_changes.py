"""Is a planned change verified by the members' own word, and does one that stops say where, and leave a record?"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from harness import registry
from harness.changes.switchover import Switchover
from harness.clock import now_ns
from harness.conditions import Condition
from harness.errors import ClusterError
from harness.history import FaultRecord, read
from harness.nemesis import Nemesis
from harness.protocols import Change, Cluster, Database, Outcome, SwitchesOver, Topology
from harness.readings import Readings
from harness.recording import Notes
from harness.scenario import ChangePlan, Planned
from harness.topologies.rds_multi_az import RdsMultiAz


@dataclass
class Nowhere:
    """A cluster without a zone."""

    zones: Sequence[str] = ()


NOBODY = cast("Cluster", None)  # the managers of these tests ask no node


@dataclass
class Manager:
    """A cluster's manager that promotes pg-b, or whom it is told to, or does what a test needs it to do."""

    does: Callable[[Manager, str | None], None] = lambda manager, to: manager.promote(to or "pg-b")
    members: dict[str, str] = field(default_factory=lambda: {"pg-a": "primary", "pg-b": "replica", "pg-c": "replica"})
    missing: str | None = None

    def roles(self, cluster: Cluster) -> Mapping[str, str]:
        return dict(self.members)

    def healthy(self, cluster: Cluster) -> str | None:
        return self.missing

    def switch_over(self, cluster: Cluster, to: str | None) -> None:
        self.does(self, to)

    def promote(self, node: str) -> None:
        self.members = {name: "primary" if name == node else "replica" for name in self.members}


def carried_out(manager: Manager, **options: Any) -> Outcome:
    return Switchover(**{"within_s": 0.2, **options}).carry_out(NOBODY, cast("Topology", manager))


def refuse(manager: Manager, to: str | None) -> None:
    raise ClusterError(f"no candidate called {to}")


def test_every_change_keeps_the_contract() -> None:
    for word in registry.names("changes"):
        change = registry.find("changes", word)
        needed = [one for one in fields(change) if one.default is MISSING and one.default_factory is MISSING]
        assert isinstance(change(**{one.name: 3 if one.type == "int" else "word" for one in needed}), Change)


def test_rds_multi_az_switches_over() -> None:
    assert isinstance(RdsMultiAz(), SwitchesOver)


def test_a_switchover_is_verified_by_the_members_own_word() -> None:
    outcome = carried_out(Manager())
    assert (outcome.verified, outcome.touched) == (True, ("pg-a",))
    assert outcome.said.startswith("pg-b took over from pg-a, and all were healthy ")
    assert outcome.expected == {"pg-a": "replica", "pg-b": "primary", "pg-c": "replica"}


def test_a_switchover_goes_to_the_node_that_is_named() -> None:
    assert carried_out(Manager(), to=Database("pg-c")).expected["pg-c"] == "primary"


def do_nothing(manager: Manager, to: str | None) -> None:
    pass


def promote_another(manager: Manager, to: str | None) -> None:
    manager.promote("pg-b")


def promote_a_second(manager: Manager, to: str | None) -> None:
    manager.members["pg-c"] = "primary"


def demote_only(manager: Manager, to: str | None) -> None:
    manager.members["pg-a"] = "replica"


def lose_a_replica(manager: Manager, to: str | None) -> None:
    promote_another(manager, to)
    manager.missing = "pg-a is silent"


WITH_B, WITH_A = ("the cluster serves, with pg-b as primary", "the cluster serves, with pg-a as primary")


@pytest.mark.parametrize(
    ("does", "to", "said"),
    [
        (do_nothing, None, f"waited 0.2 s for another primary than pg-a, and all healthy, in vain; {WITH_A}"),
        (promote_another, "pg-c", f"waited 0.2 s for pg-c to be primary, and all healthy, in vain; {WITH_B}"),
        (promote_a_second, "pg-c", "the cluster has no one primary"),
        (demote_only, None, "the cluster has no one primary"),
        (lose_a_replica, None, f"{WITH_B}, but pg-a is silent"),
        (refuse, "pg-c", f"no candidate called pg-c; {WITH_A}"),
        (do_nothing, "pg-a", f"pg-a is the primary already; nothing was changed; {WITH_A}"),
    ],
)
def test_a_switchover_that_cannot_be_verified_says_where_it_stopped(
    does: Callable[[Manager, str | None], None], to: str | None, said: str
) -> None:
    outcome = carried_out(Manager(does), to=to)
    assert not outcome.verified
    assert outcome.said.endswith(said)


def test_a_switchover_from_no_primary_changes_nothing() -> None:
    manager = Manager(refuse, members={"pg-a": "replica", "pg-b": "replica"})
    assert carried_out(manager).said.startswith("there is no one primary to move from; nothing was changed")


# --- carried out by the nemesis ---


MADE = Outcome(True, "it is called b", ("pg-a",), {"name": "b"})


@dataclass(frozen=True)
class Rename:
    """Claims what it is told to claim, and calls `does` for its effect."""

    changes_roles: ClassVar[bool] = False
    needs: ClassVar[type[Any]] = object

    outcome: Outcome = MADE
    does: Callable[[dict[str, str]], None] = lambda named: named.update(name="b")
    named: dict[str, str] = field(default_factory=lambda: {"name": "a"})

    def look(self, cluster: Cluster, topology: Topology) -> Mapping[str, str]:
        return dict(self.named)

    def carry_out(self, cluster: Cluster, topology: Topology) -> Outcome:
        self.does(self.named)
        return self.outcome


def crash(named: dict[str, str]) -> None:
    raise ZeroDivisionError("by nothing")


def recorded(folder: Path, *plans: Planned, manager: Manager | None = None) -> tuple[Sequence[FaultRecord], list[str]]:
    """The records of what the nemesis carried out, and what it said meanwhile."""
    notes = Notes(folder / "events.jsonl")
    notes.write("run", now_ns(), topology={"zones": [], "nodes": []})
    said: list[str] = []
    readings = Served(folder, manager=manager) if manager else Readings(folder)
    topology = cast("Topology", manager or Manager())
    nemesis = Nemesis(cast("Cluster", Nowhere()), topology, plans, readings, notes, random.Random(1), 1.0, said.append)
    nemesis.start(now_ns())
    for thread in nemesis._threads:
        thread.join(10)
    assert not nemesis.under_way()
    notes.close()
    return read(folder).faults, said


def test_a_change_is_recorded_from_its_begin_to_its_end_with_what_was_seen(tmp_path: Path) -> None:
    (record,), said = recorded(tmp_path, ChangePlan("rename", Rename(), "rename", at_s=0))
    assert (record.id, record.kind, record.target, record.hit, record.change) == ("rename", "rename", "", ["pg-a"], True)
    assert (record.changes_roles, record.said, record.error, record.witnessed) == (False, "it is called b", None, True)
    assert record.injecting == record.injected
    assert record.healing == record.healed
    assert record.injecting is not None
    assert record.healed is not None
    assert record.injecting <= record.healed
    assert [(w.stage, w.vantage, w.expected, w.seen) for w in record.witnesses] == [
        ("before", "name", "a", "a"),
        ("after", "name", "b", "b"),
    ]
    assert said == ["rename: rename begins", "rename: it is called b"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (Rename(Outcome(False, "stopped half way")), "stopped half way"),
        (Rename(does=crash), "ZeroDivisionError: by nothing"),
    ],
)
def test_a_change_that_stops_leaves_its_reason(tmp_path: Path, change: Change, error: str) -> None:
    (record,), _ = recorded(tmp_path, ChangePlan("rename", change, "rename", at_s=0))
    assert (record.error, record.healed, record.witnessed) == (error, None, False)
    assert record.injecting is not None


def test_a_change_that_claims_what_nobody_sees_is_not_witnessed(tmp_path: Path) -> None:
    (record,), _ = recorded(tmp_path, ChangePlan("rename", Rename(does=lambda named: None), "rename", at_s=0))
    assert not record.witnessed
    assert [(w.expected, w.seen) for w in record.witnesses if w.stage == "after"] == [("b", "a")]


def test_a_change_that_changed_nothing_and_claims_nothing_is_not_witnessed(tmp_path: Path) -> None:
    change = Rename(Outcome(True, "done"), lambda named: None)
    (record,), _ = recorded(tmp_path, ChangePlan("rename", change, "rename", at_s=0))
    assert record.healed is not None
    assert not record.witnessed


def test_a_change_waits_for_another_to_be_done(tmp_path: Path) -> None:
    records, _ = recorded(
        tmp_path,
        ChangePlan("rename", Rename(), "third", when=Condition("is done", "second")),
        ChangePlan("rename", Rename(), "second", at_s=0.05, after="first"),
        ChangePlan("rename", Rename(), "first", at_s=0.05),
    )
    assert [record.id for record in records] == ["first", "second", "third"]
    assert all(record.witnessed for record in records)


@dataclass
class Served(Readings):
    """Clients are served all the time, and read of their databases what the manager says."""

    manager: Manager = field(default_factory=Manager)

    def roles(self) -> Mapping[str, str]:
        return self.manager.roles(NOBODY)

    def stable(self, *_: object, **__: object) -> bool:
        return True


def test_who_waits_for_a_new_writer_waits_for_another_than_there_was_at_the_start(tmp_path: Path) -> None:
    manager = Manager()

    def move(named: dict[str, str]) -> None:
        named["name"] = "b"
        manager.promote("pg-b")

    records, _ = recorded(
        tmp_path,
        ChangePlan("rename", Rename(), "then", when=Condition("new writer is stable")),
        ChangePlan("rename", Rename(does=move), "first", at_s=0.3),
        manager=manager,
    )
    assert [record.id for record in records] == ["first", "then"]


@pytest.mark.parametrize("start", [{"after": "first"}, {"when": Condition("is done", "first")}])
def test_what_waits_for_a_change_that_failed_fails_at_once(tmp_path: Path, start: dict[str, Any]) -> None:
    stopped = ChangePlan("rename", Rename(Outcome(False, "stopped")), "first", at_s=0)
    records, _ = recorded(tmp_path, stopped, ChangePlan("rename", Rename(), "second", **start))
    assert {record.id: record.error for record in records} == {"first": "stopped", "second": "waited for first, which failed"}


@dataclass(frozen=True)
class Fill(Rename):
    """Moves something bit by bit: each look at it finds more."""

    shares: Iterator[float | None] = field(default_factory=lambda: iter((None, 0.1, 0.6)))
    seen: threading.Event = field(default_factory=threading.Event)

    def moved(self, cluster: Cluster, topology: Topology) -> float | None:
        share = next(self.shares, None)
        if share is None or share >= 0.5:
            self.seen.set()
        return share


def test_what_waits_for_a_change_to_be_half_way_begins_while_it_goes_on(tmp_path: Path) -> None:
    filling = Fill(shares=iter((0.1, 0.6)), does=lambda named: (filling.seen.wait(10), named.update(name="b"))[1])
    records, _ = recorded(
        tmp_path,
        ChangePlan("fill", filling, "fill", at_s=0),
        ChangePlan("rename", Rename(), "then", when=Condition("is half way", "fill")),
    )
    assert {record.id: record.error for record in records} == {"fill": None, "then": None}
    begun = {record.id: record.injecting or 0 for record in records}
    assert begun["fill"] < begun["then"]


def test_what_waits_for_a_half_way_that_nobody_saw_fails(tmp_path: Path) -> None:
    records, _ = recorded(
        tmp_path,
        ChangePlan("fill", Fill(shares=iter(())), "fill", at_s=0),
        ChangePlan("rename", Rename(), "then", when=Condition("is half way", "fill")),
    )
    assert {record.id: record.error for record in records}["then"] == (
        "waited for fill to be half way, which nobody saw before it was done"
    )
