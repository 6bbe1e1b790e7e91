"""What do the fixtures `cluster`, `chaos`, `load` and `probe` do for a test of one's own code?

Every test that breaks, loads or measures is a measurement of its own on a cluster that may live on to the next test: it
has its own history, is judged by the same checkers as a run, and leaves the same report. What a scenario file says in
keys, a test says in arguments, with the same words and units: `rate="30/s"`, `at_most="60s"`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import secrets
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import history, living, registry, runner, scenario, units
from harness.clock import now_ns, wait_until
from harness.errors import Aborted, ClusterError, HarnessError, UsageError, suggestion
from harness.layout import part_of
from harness.measurement import Measurement
from harness.nemesis import Injected, Nemesis
from harness.protocols import Cluster, Node, Outcome, Progress, Runtime, Topology
from harness.recording import Notes
from harness.runner import RunResult
from harness.scenario import Scenario, Use
from harness.verdict import Measured

HEALTHY_WITHIN_S = 60.0  # a cluster that is not healthy by then is not used for the next test
OWN_TIMES = ("at", "after", "when", "for", "id")  # the keys of a file that a `with` block makes superfluous


class Unwitnessed(HarnessError):
    """Nobody saw a fault's effect, so nothing that happened can be said to be its doing."""


class Unmeasured(HarnessError):
    """The history of this test so far has no answer."""


# --- what a test is given ------------------------------------------------------------------------------------


class TestCluster:
    """The fixture `cluster`: a cluster that is healthy, and what a test needs to know of it."""

    __test__ = False  # a class of this name would be collected

    def __init__(self, topology: Topology, cluster: Cluster) -> None:
        self._topology = topology
        self._cluster = cluster

    @property
    def endpoints(self) -> Sequence[str]:
        """What there is to connect to: `writer`, `reader`."""
        return tuple(self._topology.endpoint_names)

    @property
    def zones(self) -> Sequence[str]:
        """The zones, from any of which a program can come in."""
        return tuple(self._cluster.zones)

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Every node by its name, to look at. What is broken by hand has no witness: break with `chaos`."""
        return self._cluster.nodes

    def dsn(self, endpoint: str = "writer", zone: str | None = None) -> str:
        """What a program of this machine pastes to connect to an endpoint, password included.

        It leads to loopback, and through the Toxiproxy of a zone (the first, unless told), so that what cuts off or slows
        down that zone's clients does the same to the program.
        """
        return part_of(self._topology, endpoint).dsn(*self.address(endpoint, zone))

    def address(self, endpoint: str = "writer", zone: str | None = None) -> tuple[str, int]:
        """Host and port of an endpoint for a program of this machine; zone as for `dsn`."""
        return self._cluster.entrance(
            _known("zone", zone or self.zones[0], self.zones), _known("endpoint", endpoint, self.endpoints)
        )

    def roles(self) -> Mapping[str, str]:
        """What each database node says of itself right now: `{"pg-az-a": "primary", "pg-az-b": "replica", …}`."""
        return self._topology.roles(self._cluster)

    @property
    def writer(self) -> str:
        """The node that calls itself primary right now. Raises ClusterError when none does, or several do."""
        roles = self.roles()
        primaries = [node for node, role in roles.items() if role == "primary"]
        if len(primaries) != 1:
            raise ClusterError(f"there is no one writer: {', '.join(f'{node} is {role}' for node, role in roles.items())}")
        return primaries[0]

    def await_healthy(self, within: str = "60s") -> None:
        """Returns once every member itself says that it is healthy and in sync. Raises ClusterError, saying what is missing."""
        missing: list[str | None] = [None]

        def healthy() -> bool:
            missing[0] = self._topology.healthy(self._cluster)
            return missing[0] is None

        try:
            wait_until(healthy, _seconds("within", within), "every member to be healthy", every_s=0.5)
        except ClusterError as problem:
            raise ClusterError(f"{problem}: {missing[0]}") from None


class Chaos:
    """The fixture `chaos`: breaks the cluster on purpose, and carries out planned changes."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._given: dict[str, int] = {}

    @contextmanager
    def inject(
        self, kind: str, *, target: str, until: str | None = None, at_most: str | None = None, **options: Any
    ) -> Iterator[Injected]:
        """A fault for as long as a `with` block lasts: `with chaos.inject("crash", target="writer") as fault:`.

        The block begins once the fault's effect was witnessed; `fault.hit` names what was hit. Leaving it heals, whatever
        was raised in it. With `until` (a condition, as in a scenario file) healing waits until that is true, but no longer
        than `at_most` after the fault was injected. `options` are the fault's own.

        Raises UsageError for what no scenario file could say, TargetError when the target matches nothing, Unwitnessed when
        nobody saw the effect.
        """
        session = self._session
        plan = self._fault({"inject": kind, "target": target, "until": until, "at_most": at_most}, options)
        with session.nemesis.injected(plan) as fault:
            if not fault.witnessed:
                raise Unwitnessed(f"{kind} of {', '.join(fault.hit)}: nobody saw its effect, so this test can tell nothing of it")
            yield fault
            if plan.until:
                session.nemesis.await_end(plan, fault)
        session.check()

    def change(self, kind: str, **options: Any) -> Outcome:
        """Carries out a planned change, such as `chaos.change("switchover")`; returns once it is verified.

        Raises UsageError for what no scenario file could say, ClusterError when the change stopped half way.
        """
        session = self._session
        asked = session.understand({"changes": [{"change": kind, "at": "0s", **_own(options)}]}, ("changes", 0))
        outcome = session.nemesis.change(dataclasses.replace(asked.changes[0], id=self._named(kind)))
        session.check()
        if not outcome.verified:
            raise ClusterError(f"{kind}: {outcome.said}")
        return outcome

    def _fault(self, said: Mapping[str, Any], options: Mapping[str, Any]) -> scenario.FaultPlan:
        """The plan as the same words in a file would give it, but ended by the block instead of after a time."""
        given = {key: value for key, value in said.items() if value is not None}
        ends = {} if "until" in given or "at_most" in given else {"for": "1s"}
        asked = self._session.understand({"faults": [{**given, "at": "0s", **ends, **_own(options)}]}, ("faults", 0))
        return dataclasses.replace(asked.faults[0], id=self._named(asked.faults[0].kind), for_s=None)

    def _named(self, kind: str) -> str:
        """crash, crash-2, …: each fault and change of a test has a name of its own."""
        self._given[kind] = self._given.get(kind, 0) + 1
        return kind if self._given[kind] == 1 else f"{kind}-{self._given[kind]}"


class Probe:
    """The fixture `probe`: what the clients of every zone see, measured from the steady state on."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def measured(self, metric: str) -> Measured:
        """A metric over this test so far: its `value` with `lower` and `upper` bounds, `unit` (`s`, `share`, `count`) and `by`.

        `upper` is infinite while what is measured has not ended. Lost, duplicated and resurrected writes can be told only
        once nobody writes any more: asking for them ends probes and load, and with them this test's measurement.

        Raises UsageError for a metric that nobody measures, Unmeasured when the history has no answer.
        """
        return self._session.measured(metric)


class Load(Probe):
    """The fixture `load`: users that work on the cluster, in every zone, while the test goes on."""

    def start(self, workload: str | None = None, **options: Any) -> None:
        """Starts a workload, its options as in a scenario file: `load.start("ledger", users=6, rate="30/s")`.

        A Locust file of your own, `load.start(locustfile="shop.py", users=6)`, is looked for beside the test's file.
        Returns once the cluster is steady under it, and measuring begins there, unless something was broken before. It ends
        with the test; may be called again for another one beside it.
        Raises UsageError for what no scenario file could say, ClusterError when its users could not begin.
        """
        asked = self._session.understand({"workload": [{**({"use": workload} if workload else {}), **options}]}, ("workload", 0))
        self._session.add_load(asked.workloads[0])


def _own(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options, without any of the keys by which a file says when something starts and ends."""
    for key in OWN_TIMES:
        if key in options:
            raise UsageError(f"{key}: leave it out; a test says by its own order when a fault or change begins and ends")
    return options


def _known(what: str, word: str, words: Sequence[str]) -> str:
    if word not in words:
        raise UsageError(f"no {what} called '{word}'{suggestion(word, words)}")
    return word


def _seconds(name: str, text: str) -> float:
    try:
        return units.seconds(text)
    except ValueError as problem:
        raise UsageError(f"{name}: {problem}") from None


# --- a test's measurement ------------------------------------------------------------------------------------


class Session:
    """One test's measurement on a cluster: its probes, its history, and in the end its report.

    Files that the test names, such as a Locust file, lie `beside` it.
    """

    def __init__(self, lent: Lent, asked: Scenario, *, beside: Path, reports: Path, seed: int | None, progress: Progress) -> None:
        self.folder = runner.new_folder(reports, asked)
        self.seed = runner.drawn(seed)
        self._lent, self._asked, self._beside = lent, asked, beside
        name = secrets.token_hex(4)
        self._history = lent.cluster.folder / "history" / name
        self._history.mkdir()
        self._logged = {path: path.stat().st_size for path in lent.cluster.folder.glob("nodes/*/*.log")}
        self._notes = Notes(self._history / "events.jsonl")
        self._notes.write("run", now_ns(), **runner.first_event(asked, lent.topology, lent.runtime, self.seed))
        runner.note_layout(self._notes, asked, lent.topology, lent.cluster)
        self._measurement = Measurement(asked, lent.topology, lent.cluster, self._notes, self.seed, progress, name)
        self._progress = progress
        self._running = ExitStack()
        self._read: set[str] = set()  # the metrics that the test has looked at itself
        self._over = ""  # why nothing more can be measured
        self._result: RunResult | None = None

    def start(self) -> None:
        """Starts the probes; returns once the cluster is steady. Raises ClusterError when it does not become so."""
        with self._noting_aborts():
            self._running.enter_context(self._measurement.running())

    @property
    def nemesis(self) -> Nemesis:
        self._refuse_if_over()
        return self._measurement.nemesis

    def understand(self, document: Mapping[str, Any], below: tuple[str, int]) -> Scenario:
        """What arguments mean that would stand in a file at `below`. Raises UsageError, naming the argument."""
        self._refuse_if_over()
        whole = {"title": self._asked.title, "topology": _as_written(self._asked.topology), **document}
        return scenario.of(whole, name=self._asked.name, below=below, folder=self._beside)

    def add_load(self, workload: Use) -> None:
        with self._noting_aborts():
            self._asked = dataclasses.replace(self._asked, workloads=(*self._asked.workloads, workload))
            self._notes.write("about", now_ns(), **runner.asked(self._asked))
            self._measurement.add(workload)

    def check(self) -> None:
        """Raises what makes measuring on pointless: a guard, or a process of probes or load that is not there any more."""
        if not self._over:
            with self._noting_aborts():
                self._measurement.goes_on()

    def measured(self, metric: str) -> Measured:
        checker = _checker(metric)
        self._read.add(metric)
        if getattr(checker, "after_final_reads", False):
            self.finish(f"{metric} was asked for, which ends it")
        self.check()
        finding = checker().check(history.read(self._history))
        found: Measured = finding.measured.get(metric, Measured(None, ""))
        if found.value is None:
            raise Unmeasured(f"{metric} could not be measured: {finding.summary}")
        return found if found.upper is not None else dataclasses.replace(found, upper=math.inf)

    def finish(self, why: str) -> None:
        """Ends probes and load and reads what is left, unless that was done."""
        if self._over:
            return
        with self._noting_aborts():
            with self._running:  # which ends all that runs, with whatever is raised here
                self._measurement.goes_on()
            self._over = why

    def conclude(self, *, interrupted: bool = False) -> RunResult:
        """Ends the measurement, judges it, and writes its report; again only returns the result."""
        if self._result is None:
            with suppress(HarnessError):  # it is in the history, and makes the verdict UNKNOWN
                if interrupted:
                    self._interrupt()
                self.finish("the test is over")
            self._notes.write("about", now_ns(), expect=[_left_to_the_test(metric) for metric in sorted(self._read)])
            self._notes.write("phase", now_ns(), phase="done")
            self._notes.close()
            (self.folder / "history").rmdir()
            shutil.move(self._history, self.folder / "history")
            living.copy_logs(self._lent.cluster.folder / "nodes", self.folder / "nodes", self._logged)
            self._result = runner.conclude(self.folder, self._progress)
        return self._result

    def _interrupt(self) -> None:
        if not self._over:
            with self._noting_aborts(), self._running:
                raise Aborted("interrupted by the user")

    def _refuse_if_over(self) -> None:
        if self._over:
            raise UsageError(f"the measurement of this test has ended: {self._over}")

    @contextmanager
    def _noting_aborts(self) -> Iterator[None]:
        """What ends the measurement before its time goes into the history; nobody writes into that any more."""
        try:
            yield
        except UsageError:
            raise
        except Exception as problem:
            said = (
                str(problem) if isinstance(problem, HarnessError) else f"the harness crashed: {type(problem).__name__}: {problem}"
            )
            if not self._over:
                self._over = said
                self._notes.write("aborted", now_ns(), reason=said)
                self._running.close()
                self._lent.cluster.restore()
            raise


def _left_to_the_test(metric: str) -> dict[str, Any]:
    return {"metric": metric, "min": 0, "max": None, "during": None, "because": "the test judges it itself"}


def _checker(metric: str) -> Any:
    for word in registry.names("checkers"):
        if metric in registry.find("checkers", word).metrics:
            return registry.find("checkers", word)
    raise UsageError(f"no metric called '{metric}'{suggestion(metric, scenario.metrics())}")


# --- clusters that are used again ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lent:
    """A cluster while a test uses it: who it is, and what takes it away in the end."""

    topology: Topology
    cluster: Cluster
    runtime: str
    removal: ExitStack


class Clusters:
    """One cluster for each topology with its options, for as long as pytest runs; each worker of pytest-xdist has its own.

    After a test whatever it broke is healed. A cluster that is not healthy then is removed, and the next test gets a new one.
    """

    def __init__(self, runtime: Callable[[], Runtime], new_folder: Callable[[], Path], progress: Progress) -> None:
        self._runtime, self._new_folder, self._progress = runtime, new_folder, progress
        self._kept: dict[str, Lent] = {}

    @contextmanager
    def lent(self, asked: Scenario, *, fresh: bool) -> Iterator[Lent]:
        """A cluster for one test; a `fresh` one is nobody else's, before or after.

        Raises RuntimeUnavailable where no cluster can be started, ClusterError when it could not be formed.
        """
        key = json.dumps(scenario.as_run(asked)["topology"], sort_keys=True)
        lent = self._kept.pop(key, None) if not fresh else None
        lent = lent or self._launched(asked.topology.options)
        again = False
        try:
            yield lent
            again = not fresh and self._healed(lent)
        finally:
            if again:
                self._kept[key] = lent
            else:
                lent.removal.close()

    def close(self) -> None:
        """Removes every cluster that was kept."""
        with ExitStack() as all_:
            while self._kept:
                all_.push(self._kept.popitem()[1].removal)

    def _launched(self, topology: Topology) -> Lent:
        runtime = self._runtime()
        folder = self._new_folder()
        (folder / "history").mkdir()
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            cluster = stack.enter_context(runtime.launch(topology, folder))
            topology.form(cluster, self._progress)
            return Lent(topology, cluster, runtime.name, stack.pop_all())

    def _healed(self, lent: Lent) -> bool:
        try:
            lent.cluster.restore()
            TestCluster(lent.topology, lent.cluster).await_healthy(f"{HEALTHY_WITHIN_S:g}s")
        except HarnessError as problem:
            said = f"this test left its cluster broken, which is removed; the next one gets a new cluster ({problem})"
            warnings.warn(said, stacklevel=2)
            return False
        return True


# --- what a test asks for --------------------------------------------------------------------------------------


def asked_by(node_id: str, title: str, topologies: Sequence[str], options: Mapping[str, Any]) -> Scenario:
    """The scenario that a test is: its one topology, its name for the report, and nothing planned.

    Probes and load take the path that `cluster.dsn` gives the test's own code, so that they see what it sees.
    """
    if len(topologies) != 1:
        raise UsageError(f"one topology at a time, not {len(topologies)}")
    document = {
        "title": title,
        "topology": {"use": topologies[0], **options},
        "path": "toxiproxy",
        "max_runtime": "24h",  # how long a test may take is the matter of whoever runs tests
    }
    return scenario.of(document, name=report_name(node_id), below=("topology",))


def report_name(node_id: str) -> str:
    """A test's folder below the reports: `tests/test_mine.py::test_it[a b]` → `tests/test_mine.py/test_it[a_b]`."""
    parts = re.split("/|::", node_id)
    return "/".join(re.sub(r"[^\w.,=+\[\]-]", "_", part).lstrip(".")[:120] or "_" for part in parts)


def _as_written(topology: Use) -> dict[str, Any] | str:
    """Only its zones, nodes and endpoints matter for what is understood later, and no option changes these."""
    return topology.use
