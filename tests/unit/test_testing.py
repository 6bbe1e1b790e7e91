"""When is a cluster used again for the next test, and what do the words of a test mean?"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness import testing
from harness.errors import ClusterError, UsageError
from harness.protocols import Topology
from harness.scenario import Scenario
from harness.testing import Chaos, Clusters, Load, TestCluster


@dataclass
class FakeCluster:
    """A cluster of which only is known who was asked to heal it."""

    number: int
    zones: tuple[str, ...] = ("az-a", "az-b")
    restored: int = 0
    broken: bool = False

    def restore(self) -> None:
        self.restored += 1
        if self.broken:
            raise ClusterError("pg-az-a could not be started")

    def entrance(self, zone: str, endpoint: str) -> tuple[str, int]:
        return f"{endpoint}.{zone}", 1


@dataclass
class FakeRuntime:
    """Makes clusters, and remembers which are there."""

    name: ClassVar[str] = "fake"
    made: list[FakeCluster] = field(default_factory=list)
    there: list[int] = field(default_factory=list)

    @contextmanager
    def launch(self, topology: Topology, folder: Path) -> Iterator[FakeCluster]:
        assert folder.is_dir()
        object.__setattr__(topology, "form", lambda *_: None)
        object.__setattr__(topology, "healthy", lambda *_: None)
        self.made.append(FakeCluster(len(self.made)))
        self.there.append(self.made[-1].number)
        number = self.made[-1].number
        yield self.made[-1]
        self.there.remove(number)


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def clusters(runtime: FakeRuntime, tmp_path: Path) -> Clusters:
    folders = (tmp_path / str(number) for number in range(100))

    def new_folder() -> Path:
        folder = next(folders)
        folder.mkdir()
        return folder

    made: Any = runtime
    return Clusters(lambda: made, new_folder, lambda line: None)


def asked(**options: Any) -> Scenario:
    return testing.asked_by("test_it.py::test_it", "A test", ["rds-multi-az"], options)


def use(clusters: Clusters, *, fresh: bool = False, **options: Any) -> Any:
    with clusters.lent(asked(**options), fresh=fresh) as lent:
        return lent.cluster


def test_a_cluster_is_healed_and_used_again(clusters: Clusters, runtime: FakeRuntime) -> None:
    first, second = use(clusters), use(clusters)
    assert first is second
    assert (first.restored, runtime.there) == (2, [0])


def test_other_options_get_another_cluster(clusters: Clusters, runtime: FakeRuntime) -> None:
    assert use(clusters) is not use(clusters, replication="asynchronous")
    assert use(clusters, replication="asynchronous").number == 1
    assert runtime.there == [0, 1]


def test_a_fresh_cluster_is_nobody_elses_before_or_after(clusters: Clusters, runtime: FakeRuntime) -> None:
    shared = use(clusters)
    assert use(clusters, fresh=True) is not shared
    assert runtime.there == [0]
    assert use(clusters) is shared


def test_a_cluster_that_cannot_be_healed_is_removed_and_said_so(clusters: Clusters, runtime: FakeRuntime) -> None:
    with (
        pytest.warns(UserWarning, match="left its cluster broken, .*pg-az-a could not be started"),
        clusters.lent(asked(), fresh=False),
    ):
        runtime.made[0].broken = True
    assert runtime.there == []
    assert use(clusters).number == 1


def test_a_cluster_whose_test_was_interrupted_is_not_used_again(clusters: Clusters, runtime: FakeRuntime) -> None:
    with pytest.raises(KeyboardInterrupt), clusters.lent(asked(), fresh=False):
        raise KeyboardInterrupt
    assert runtime.there == []


def test_in_the_end_every_cluster_is_removed(clusters: Clusters, runtime: FakeRuntime) -> None:
    use(clusters)
    use(clusters, replication="asynchronous")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clusters.close()
    assert runtime.there == []


@pytest.mark.parametrize(
    ("node_id", "folder"),
    [
        ("tests/test_mine.py::test_it", "tests/test_mine.py/test_it"),
        ("test_mine.py::TestMine::test_it[a b-1.5]", "test_mine.py/TestMine/test_it[a_b-1.5]"),
        ("../other/test_it.py::test_it[../x]", "_/other/test_it.py/test_it[../x]"),
        ("test_it.py::test_it[" + "x" * 300 + "]", "test_it.py/" + ("test_it[" + "x" * 300)[:120]),
    ],
)
def test_a_report_lies_below_the_name_of_its_test(node_id: str, folder: str) -> None:
    assert testing.report_name(node_id) == folder


def test_an_address_leads_through_the_zone_that_is_asked_for() -> None:
    cluster: Any = FakeCluster(0)
    there = TestCluster(asked().topology.options, cluster)
    assert there.address() == ("writer.az-a", 1)
    assert there.address("reader", zone="az-b") == ("reader.az-b", 1)
    assert "@reader.az-b:1/" in there.dsn("reader", zone="az-b")


@pytest.mark.parametrize(
    ("endpoint", "zone", "said"),
    [("writr", None, "no endpoint called 'writr'; did you mean 'writer'?"), ("writer", "az-z", "no zone called 'az-z'")],
)
def test_an_endpoint_or_a_zone_that_is_not_there_is_told_of(endpoint: str, zone: str | None, said: str) -> None:
    cluster: Any = FakeCluster(0)
    with pytest.raises(UsageError, match=said):
        TestCluster(asked().topology.options, cluster).dsn(endpoint, zone)


class Understands(testing.Session):
    """A session without a cluster, which understands all the same."""

    def __init__(self) -> None:
        self._asked, self._beside, self._over = asked(), Path(), ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"kind": "crsh", "target": "writer"}, "inject: no fault called 'crsh'; did you mean 'crash'?"),
        ({"kind": "crash", "target": "writr"}, "target: no target called 'writr'; did you mean 'writer'?"),
        ({"kind": "crash", "target": "writer", "until": "new writer is stable"}, "until: at_most is missing"),
        ({"kind": "crash", "target": "writer", "for": "5s"}, "for: leave it out; a test says by its own order"),
        ({"kind": "latency", "target": "clients", "delay": 100}, "delay: 100 is no duration; write a number with its unit"),
        ({"kind": "crash", "target": "writer", "delay": "1s"}, "delay: unknown key 'delay'"),
    ],
)
def test_a_wrong_fault_is_told_of_by_its_argument(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refused, Chaos(Understands()).inject(**arguments):
        pass
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("workload", "options", "said"),
    [
        ("ledgr", {}, "use: no workload called 'ledgr'; did you mean 'ledger'?"),
        ("ledger", {"rate": 30}, "rate: 30 is no rate; write a number per second, such as 600/s"),
        ("ledger", {"users": 1}, "users: too few for 3 zones"),
        (None, {"locustfile": "nowhere.py", "users": 3}, "locustfile: "),
    ],
)
def test_a_wrong_load_is_told_of_by_its_argument(workload: str | None, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        Load(Understands()).start(workload, **options)
    assert str(refused.value).startswith(said)


def test_a_metric_that_nobody_measures_is_told_of() -> None:
    with pytest.raises(UsageError, match="no metric called 'write_outge'; did you mean 'write_outage'"):
        Load(Understands()).measured("write_outge")
