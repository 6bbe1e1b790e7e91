"""What is done on a cluster, in which order, to measure what a scenario asks?

Steady, broken, healed, recovered, read: one measurement writes one history, and nothing is concluded here. The cluster
is there before and stays there after: it may have been made for this one measurement, or live on through many.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any

from harness import interrupts, wall_clock
from harness.clients import Clients
from harness.clock import SECOND_NS, now_ns, wait_until
from harness.endpoints import with_role
from harness.errors import ClusterError
from harness.guards import Guards
from harness.intervals import of_each_shard
from harness.layout import keeps
from harness.nemesis import Nemesis
from harness.protocols import Cluster, KeepsRecords, KeepsRoutes, Looping, ManagerRecord, Node, NodeSpec, Progress, Topology
from harness.recording import Notes
from harness.scenario import Scenario, Use, as_run
from harness.watch import HostWatch

WARM_UP_S = 2.0  # from the first operation to the beginning of the steady state
STEADY_WITHIN_S = 60.0
HEALTH_EVERY_S = 2.0
AFTER_AT_LEAST_S, AFTER_AT_MOST_S = 5.0, 60.0  # how long is measured after recovery: as long as the outage was


@dataclass
class Measurement:
    """One scenario measured on a cluster that is formed; `session` as for Clients.

    With `dephased`, each fault comes later by a random part of the manager's loop.
    """

    scenario: Scenario
    topology: Topology
    cluster: Cluster
    notes: Notes
    seed: int
    progress: Progress
    session: str = ""
    dephased: bool = False
    _gone: list[NodeSpec] = field(default_factory=list)  # nodes that were there once

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        self.clients = Clients(
            self.topology, self.cluster, self.scenario.workloads, self.scenario.path_through, rng, self.session
        )  # fmt: skip
        self.readings = self.clients.readings
        self.nemesis = Nemesis(
            self.cluster, self.topology, (*self.scenario.faults, *self.scenario.changes), self.readings, self.notes, rng,
            self.scenario.recovery.stable_for_s, self.progress, _loop_s(self.topology) if self.dephased else 0,
        )  # fmt: skip
        # On a cluster that lives on, a node's log tells of earlier measurements too.
        self._logged = (
            {name: len(node.logs()) for name, node in self._of("database", "manager", "router")} if self.session else {}
        )
        self.guards = Guards(self.scenario, self.cluster.zones, self.readings, shards=self._shards())
        self._there = {name: node.spec for name, node in self.cluster.nodes.items()}

    def carry_out(self) -> None:
        """Measures, breaks, heals, measures on, reads what is left."""
        with self.running():
            self._break()
            self._await_recovery()
            self._measure_on()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Probes and load, from the steady state on; leaving ends them and reads what is left, unless something was raised."""
        self.clients.await_endpoints()
        self.clients.prepare()
        self.progress("starting probes and load" if self.scenario.workloads else "starting probes")
        self.first_at = self.guards.first_at = self.clients.start()
        for process, url in self.clients.web_uis.items():
            self.progress(f"Locust's web UI of {process}: {url}")
        with HostWatch(self.notes), self.cluster.watched() as self.accidents:
            self._await_steady()
            self._phase("faults")
            yield
        self._phase("final_reads")
        self.clients.stop()
        self._final_reads()
        self._note_rejoins()
        self._note_records()

    def _phase(self, name: str, at: int | None = None) -> None:
        self.notes.write("phase", now_ns() if at is None else at, phase=name)

    def _await_steady(self) -> None:
        """Waits for a window in which the steady state's bounds held in every zone."""
        steady = self.scenario.steady_state
        self._phase("warming_up")
        self.progress(f"measuring the steady state for {steady.for_s:g} s")
        since = self.first_at + int(WARM_UP_S * SECOND_NS)
        last = ""
        end = since + int(STEADY_WITHIN_S * SECOND_NS)
        while since < end:
            until = since + int(steady.for_s * SECOND_NS)
            self._pass_time(until + SECOND_NS)
            last = self._below(since, until)
            if not last:
                self._phase("steady", since)
                return
            self.progress(f"not steady yet: {last}")
            since = until
        raise ClusterError(f"no steady state within {STEADY_WITHIN_S:g} s: {last}")

    def _below(self, since: int, until: int) -> str:
        """Which bound did not hold between two instants, in words; empty when all held."""
        steady = self.scenario.steady_state
        for zone in self.cluster.zones:
            for endpoint in self._asked:
                reads = endpoint == "reader"
                bound = steady.read_success if reads else steady.write_success
                ok, asked = self.readings.success(f"probe-{zone}", "kept", endpoint, since, until, reads)
                if not asked or ok / asked < bound:
                    return f"{ok} of {asked} probes of the {endpoint} in {zone} were ok"
        return ""

    @property
    def _asked(self) -> list[str]:
        """What the probes' endpoints are for: `writer` and, where there is one, `reader`."""
        return [role for role in ("writer", "reader") if with_role(self.topology.endpoint_names, role)]

    def _pass_time(self, until: int) -> None:
        wait_until(lambda: self.goes_on() and now_ns() >= until, (until - now_ns()) / SECOND_NS + 10, "time to pass")

    def goes_on(self) -> bool:
        """True; raises what ends the run now: the user, a guard, an accident, a full disk, or an end of probes or load."""
        interrupts.check()
        self.notes.check()
        self._note_nodes()
        for accident in self.accidents.all():
            on_purpose = accident.node in self.nemesis.touched or accident.node not in self.cluster.nodes
            if accident.node is None or not on_purpose:
                raise ClusterError(f"{accident}, which no fault of this run did" if accident.node else str(accident))
        self.guards.check()
        return self.clients.alive()

    def _note_nodes(self) -> None:
        """Nodes that a change has added are observed from now on, those that it has taken away no more; both are on record."""
        there = {name: node.spec for name, node in self.cluster.nodes.items()}
        came = [spec for name, spec in there.items() if name not in self._there]
        gone = [spec for name, spec in self._there.items() if name not in there]
        if not came and not gone:
            return
        self._gone += gone
        self._there = there
        self.guards.shards = self._shards()
        databases = [spec for spec in came if spec.role == "database"]
        self.clients.observe(databases, [spec.name for spec in gone if spec.role == "database"])
        self.notes.write("laid_out", now_ns(), topology=told_layout(self.scenario, self.cluster, self._gone))

    def _shards(self) -> dict[str, str]:
        return {name: node.spec.shard for name, node in self._of("database")}

    # --- during ---

    def _break(self) -> None:
        """Lets the nemesis act; heals at once when a guard or the user ends the run."""
        self.broken_at = now_ns()
        self.nemesis.start(self.broken_at)
        try:
            wait_until(
                lambda: self.goes_on() and not self.nemesis.under_way(), self.scenario.max_runtime_s + 60, "the faults to end"
            )
        finally:
            with interrupts.shielded():
                self.nemesis.stop()

    def add(self, workload: Use) -> None:
        """Starts a workload beside what runs already. Measuring begins anew with it, unless something was broken before."""
        self.progress(f"starting {workload.use}")
        self.first_at = self.clients.add(workload)
        if not self.nemesis.acted:
            self._await_steady()
            self._phase("faults")

    def _await_recovery(self) -> None:
        """Waits until clients in every zone are served and every member is healthy; says so either way."""
        self._phase("recovering")
        self.progress("waiting for stable recovery")
        recovery = self.scenario.recovery
        limit = now_ns() + int(recovery.at_most_s * SECOND_NS)
        served = False
        while now_ns() < limit:
            served = all(self.readings.stable(self.cluster.zones, recovery.stable_for_s, name) for name in self._asked)
            missing = self.topology.healthy(self.cluster)
            self.notes.write("cluster", now_ns(), healthy=missing is None, missing=missing)
            if served and missing is None:
                self.progress("recovered")
                return
            self._pass_time(now_ns() + int(HEALTH_EVERY_S * SECOND_NS))
        self.progress(f"not recovered within {recovery.at_most_s:g} s: {missing if served else 'clients are not served'}")

    def _measure_on(self) -> None:
        """Goes on measuring for as long as the outage was: the reconnects and the cold caches belong to it."""
        outage = self.readings.longest_gap_s(self.cluster.zones, self.broken_at)
        more = min(AFTER_AT_MOST_S, max(AFTER_AT_LEAST_S, outage))
        self.progress(f"measuring for {more:.0f} s more")
        self._pass_time(now_ns() + int(more * SECOND_NS))

    # --- after ---

    def _final_reads(self) -> None:
        self.progress("final reads on every node")
        self._note_nodes()
        shards = {name: shard for name, shard in self._shards().items() if keeps(self.topology, name)}
        roles = {name: role for name, role in self.topology.roles(self.cluster).items() if name in shards}
        if primaries := of_each_shard(roles, shards):
            self.notes.write("authority", now_ns(), nodes=list(primaries))
        self.clients.final_reads()

    def _note_rejoins(self) -> None:
        for name, node in self._of("database"):
            if way := self.topology.rejoin_way(self._log(name, node)):
                self.notes.write("rejoin", now_ns(), node=name, way=way)

    def _note_records(self) -> None:
        """What managers and routers wrote down, put on this run's clock; what came before the first operation is no matter."""
        topology = self.topology
        if isinstance(topology, KeepsRecords):
            for name, node in self._of(topology.recorded_by):
                self._note_told(name, node, topology.records)
        if isinstance(topology, KeepsRoutes):
            for name, node in self._of("router"):
                self._note_told(name, node, lambda log, _: topology.routes(log))

    def _note_told(self, name: str, node: Node, told: Callable[[str, tzinfo], Iterable[ManagerRecord]]) -> None:
        if (offset := wall_clock.offset(node)) is None:
            self.progress(f"{name}: its clock could not be asked, so its log tells nothing of when")
            return
        for one in told(self._log(name, node), offset.zone):
            if (at := offset.here(one.at)) >= self.first_at:
                self.notes.write(
                    "manager", at, node=name, what=one.what, about=one.about or name, said=one.said, error_s=offset.error_s
                )  # fmt: skip

    def _log(self, name: str, node: Node) -> str:
        """What the node has written since this measurement began."""
        return node.logs()[self._logged.get(name, 0) :]

    def _of(self, *roles: str) -> list[tuple[str, Node]]:
        return [(name, node) for name, node in self.cluster.nodes.items() if node.spec.role in roles]


def told_layout(scenario: Scenario, cluster: Cluster, gone: Sequence[NodeSpec] = ()) -> dict[str, Any]:
    """What a history says of the nodes that there are, and of those that there were."""
    nodes = [told_node(node.spec) | {"address": node.spec.address} for node in cluster.nodes.values()]
    nodes += [told_node(spec) | {"address": spec.address, "removed": True} for spec in gone]
    told: dict[str, Any] = as_run(scenario)["topology"]
    return told | {"zones": list(cluster.zones), "nodes": nodes}


def told_node(spec: NodeSpec) -> dict[str, Any]:
    kept: dict[str, Any] = {"shard": spec.shard} if spec.shard else {}
    if limits := {name: value for name, value in dataclasses.asdict(spec.limits).items() if value is not None}:
        kept["limits"] = limits
    return {"name": spec.name, "zone": spec.zone, "role": spec.role, "server": spec.server, **kept}


def _loop_s(topology: Topology) -> float:
    return topology.manager_loop_s if isinstance(topology, Looping) else 0.0
