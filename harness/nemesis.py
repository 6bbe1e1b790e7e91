"""Who carries the faults and changes out, proves that they were there, and always heals?

One thread a fault: it waits for the fault's moment, resolves the target, looks through the witnesses, injects, looks
again, waits for the fault's end, looks, heals, and looks a last time. Whatever happens in between, healing is done.
One thread a change: it waits for its moment, looks, carries the change out, and looks again. A change that was begun
comes to its end, whatever happens: left half way it would be a fault.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from harness import conditions, targets
from harness.clock import SECOND_NS, now_ns
from harness.conditions import Condition
from harness.errors import ClusterError, HarnessError
from harness.protocols import Cluster, Group, HostFault, LinkFault, NodeFault, Outcome, Sharded, Topology, Witness
from harness.readings import Readings
from harness.recording import Notes
from harness.scenario import ChangePlan, FaultPlan, Planned

BEGIN_WITHIN_S = 5.0  # an effect that nobody has seen by then counts as none
AFTER_WITHIN_S = 60.0  # a server that was started again may take this long to answer
LOOK_S = 1.0  # how long a look at a fault that answers nothing takes at most
POLL_S = 0.1
HALF = 0.5
_STAGE = {conditions.FAULT_IS_INJECTED: "injected", conditions.FAULT_IS_HEALED: "healed", conditions.CHANGE_IS_DONE: "done"}


@dataclass(frozen=True)
class Injected:
    """A fault in force: what it `hit` (nodes, zones or links, by name), since when (`at`, ns), and whether it is `witnessed`."""

    id: str
    kind: str
    hit: Sequence[str]
    at: int
    witnessed: bool


@dataclass
class Nemesis:
    """Carries a scenario's faults and changes out; `notes` gets `fault`, `change` and `witness` events.

    `steady_at` is ns, CLOCK_MONOTONIC.
    """

    cluster: Cluster
    topology: Topology
    plans: Sequence[Planned]
    readings: Readings
    notes: Notes
    rng: random.Random
    stable_for_s: float
    progress: Callable[[str], None]
    dephase_s: float = 0  # each fault or change is put off by up to so much, drawn uniformly
    stopping: threading.Event = field(default_factory=threading.Event)
    cut_off: set[str] = field(default_factory=set)  # zones that a network fault holds now
    touched: set[str] = field(default_factory=set)  # nodes that a fault has hit
    _primaries_before: dict[str, frozenset[str]] = field(default_factory=dict)
    _state: dict[str, set[str]] = field(default_factory=dict)
    _threads: list[threading.Thread] = field(default_factory=list)
    _steady_at: int = 0
    _put_off: dict[str, float] = field(default_factory=dict)

    def start(self, steady_at: int) -> None:
        self._steady_at = steady_at
        self._put_off = {plan.id: self.rng.uniform(0, self.dephase_s) for plan in self.plans}
        self._primaries_before = dict.fromkeys((plan.id for plan in self.plans), _primaries(self.readings.roles()))
        for plan in self.plans:
            thread = threading.Thread(target=self._carry_out, args=(plan,), name=f"nemesis {plan.id}", daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def acted(self) -> bool:
        """Whether any fault or change was begun."""
        return bool(self._state)

    def under_way(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Heals everything now and returns when it is healed, and every change that was begun is over."""
        self.stopping.set()
        for thread in self._threads:
            thread.join()

    # --- one fault, or one change ---

    def _carry_out(self, plan: Planned) -> None:
        with suppress(Exception), self._noting_failure(plan):  # which has said so, and a thread can do no more
            if not self._await_start(plan):
                return
            if isinstance(plan, ChangePlan):
                self.change(plan)
                return
            with self.injected(plan) as fault:
                self.await_end(plan, fault)

    @contextmanager
    def _noting_failure(self, plan: Planned) -> Iterator[None]:
        """An error reaches the history, whatever it is, and is raised on."""
        try:
            yield
        except Exception as problem:
            said = str(problem) if isinstance(problem, HarnessError) else f"{type(problem).__name__}: {problem}"
            if not self._is(plan.id, "failed"):
                self._note(plan, "failed", error=said)
                self.progress(f"{plan.id}: {said}")
            raise

    def change(self, plan: ChangePlan) -> Outcome:
        """Carries a change out now, to its end."""
        with self._noting_failure(plan):
            change = plan.change
            self._note_seen(plan, "before", change.look(self.cluster, self.topology), {})
            self._note(plan, "begun", changes_roles=change.changes_roles)
            self.progress(f"{plan.id}: {plan.kind} begins")
            outcome: Outcome = change.carry_out(self.cluster, self.topology)
            stage, key = ("done", "said") if outcome.verified else ("failed", "error")
            figures = {"measured": dict(outcome.measured)} if outcome.measured else {}
            self._note(plan, stage, hit=list(outcome.touched), **{key: outcome.said}, **figures)
            self.progress(f"{plan.id}: {outcome.said}")
            self._note_seen(plan, "after", change.look(self.cluster, self.topology), outcome.expected)
            return outcome

    @contextmanager
    def injected(self, plan: FaultPlan) -> Iterator[Injected]:
        """A fault that is injected now, and healed when the context is left, whatever was raised in it."""
        raised: BaseException | None = None
        blinded: HarnessError | None = None
        with self._noting_failure(plan):
            roles = self.readings.roles()
            specs = [node.spec for node in self.cluster.nodes.values()]
            hit = targets.resolve(plan.target, specs, roles, self.rng, self.topology.endpoint_names, self._shard_of())
            self._primaries_before[plan.id] = _primaries(roles)
            self.touched |= set(hit.nodes)
            acts, witnesses = self._acts(plan, hit)
            self._look(plan, "before", witnesses, normal=True, within_s=BEGIN_WITHIN_S)
            self._note(plan, "injecting", hit=list(hit.names), changes_roles=plan.fault.changes_roles)
            with ExitStack() as healing:  # whatever happens below, what was entered is left
                for act in acts:
                    healing.enter_context(act())
                injected = self._note(plan, "injected")
                self.progress(f"{plan.id}: {plan.kind} injected at {', '.join(hit.names)}")
                try:
                    shown = self._look(plan, "begin", witnesses, within_s=BEGIN_WITHIN_S)
                    self.progress(f"{plan.id}: " + ("its effect is witnessed" if shown else "nobody can see its effect"))
                    try:
                        yield Injected(plan.id, plan.kind, hit.names, injected, shown)
                    except BaseException as problem:  # noqa: BLE001 (raised again once it is healed)
                        raised = problem
                    self._look(plan, "end", witnesses)
                    if plan.for_s and not raised:
                        healed_at = injected + plan.for_s * SECOND_NS
                        self._wait(lambda: now_ns() >= healed_at, every_s=0.001)
                except HarnessError as problem:  # nobody can look on any more: a node is gone, perhaps
                    blinded = problem
                self._note(plan, "healing")
            self._note(plan, "healed")
            self.cut_off -= set(hit.zones)
            self.progress(f"{plan.id}: healed")
            if blinded:
                raise raised or blinded
            self._look(plan, "after", witnesses, normal=True, within_s=BEGIN_WITHIN_S if raised else AFTER_WITHIN_S)
        if raised:
            raise raised

    def _shard_of(self) -> Callable[[str], str] | None:
        """Which shard keeps a key now, where the topology has shards."""
        return partial(self.topology.shard_of, self.cluster) if isinstance(self.topology, Sharded) else None

    def _acts(
        self, plan: FaultPlan, hit: targets.Resolved
    ) -> tuple[list[Callable[[], AbstractContextManager[None]]], list[Witness]]:
        """How to inject the fault on everything that was hit, and who looks."""
        cluster, fault = self.cluster, plan.fault
        if isinstance(fault, NodeFault):
            nodes = [cluster.nodes[name] for name in hit.nodes]
            return (
                [partial(fault.on_node, node) for node in nodes],
                [witness for node in nodes for witness in fault.witnesses_on_node(cluster, node)],
            )
        if isinstance(fault, HostFault):
            nodes = [cluster.nodes[name] for name in hit.nodes]
            return (
                [partial(fault.on_host, cluster, node) for node in nodes],
                [witness for node in nodes for witness in fault.witnesses_on_host(cluster, node)],
            )
        if isinstance(fault, LinkFault):
            links = [cluster.link(zone, endpoint) for zone, endpoint in hit.links]
            return (
                [partial(fault.on_link, link) for link in links],
                [witness for link in links for witness in fault.witnesses_on_link(cluster, link)],
            )
        inside, outside = self._sides(hit)
        self.cut_off |= set(hit.zones)
        return [partial(fault.between, cluster.network, inside, outside)], list(fault.witnesses_between(cluster, inside, outside))

    def _sides(self, hit: targets.Resolved) -> tuple[Group, Group]:
        """What was hit, and everything else that has an address."""
        zones = [self.cluster.zone_group(zone) for zone in self.cluster.zones]
        if hit.zones:
            near = [group for group, zone in zip(zones, self.cluster.zones, strict=True) if zone in hit.zones]
            far = [group for group in zones if group not in near]
            return _joined(near), _joined(far)
        addresses = {node.spec.name: node.spec.address for node in self.cluster.nodes.values()}
        return (
            Group(", ".join(hit.nodes), tuple(addresses[name] for name in hit.nodes)),
            Group("all others", tuple(address for name, address in addresses.items() if name not in hit.nodes)),
        )

    # --- waiting ---

    def _await_start(self, plan: Planned) -> bool:
        """False when the run is stopped before the plan's moment has come.

        Raises ClusterError when it waits for what has failed, and so will never come.
        """
        began = self._steady_at
        if plan.after:
            if not self._wait(partial(self._comes, plan.after, lambda: self._is(plan.after, "healed", "done"))):
                return False
            began = now_ns()
        when = plan.when
        if when and not self._wait(partial(self._comes, when.of, lambda: self._true(when, plan))):
            return False
        due = began + int(((plan.at_s or 0) + self._put_off[plan.id]) * SECOND_NS)
        return self._wait(lambda: now_ns() >= due)

    def _comes(self, of: str | None, condition: Callable[[], bool]) -> bool:
        """Whether the condition is true, which is about the fault or change `of` (None: about neither)."""
        failed, done = self._is(of, "failed"), self._is(of, "done")  # first: it may come to that meanwhile
        true = condition()
        if not true and failed:
            raise ClusterError(f"waited for {of}, which failed")
        if not true and done:
            raise ClusterError(f"waited for {of} to be half way, which nobody saw before it was done")
        return true

    def _is(self, id_: str | None, *stages: str) -> bool:
        """Whether a fault or change has reached one of the stages."""
        return any(id_ in self._state.get(stage, ()) for stage in stages)

    def await_end(self, plan: FaultPlan, fault: Injected) -> None:
        """Waits until the last look is due: the fault's end, or, when its length is given, as long before as a look may take."""
        length_s = plan.for_s - LOOK_S if plan.for_s else plan.at_most_s or 0
        limit = fault.at + int(length_s * SECOND_NS)
        until = plan.until
        self._wait(lambda: now_ns() >= limit or (until is not None and (self._true(until, plan) or self._is(until.of, "done"))))

    def _wait(self, condition: Callable[[], bool], every_s: float = POLL_S) -> bool:
        """Waits until a condition is true; False as soon as the run is being stopped."""
        while not condition():
            if self.stopping.wait(every_s):
                return False
        return True

    def _true(self, condition: Condition, plan: Planned) -> bool:
        if condition.kind == conditions.CHANGE_IS_HALF_WAY:
            moving = next(other for other in self.plans if other.id == condition.of)
            assert isinstance(moving, ChangePlan), "a scenario that says so of another is refused"
            return (moving.change.moved(self.cluster, self.topology) or 0) >= HALF
        if condition.of:
            return self._is(condition.of, _STAGE[condition.kind])
        if condition.kind == conditions.CLUSTER_IS_HEALTHY:
            return self.topology.healthy(self.cluster) is None
        zones = [zone for zone in self.cluster.zones if zone not in self.cut_off]
        if condition.kind == conditions.NEW_WRITER_IS_STABLE:
            roles = self.readings.roles()
            before = self._primaries_before.get(plan.id, frozenset())
            if not _primaries(roles) - before:
                return False
        return self.readings.stable(zones, self.stable_for_s)

    # --- looking and noting ---

    def _look(
        self, plan: FaultPlan, stage: str, witnesses: Sequence[Witness], *, normal: bool = False, within_s: float = 0
    ) -> bool:
        """Notes what every witness sees, once each sees what it should or the time is over; whether all did."""
        if not witnesses:
            return False
        limit = now_ns() + int(within_s * SECOND_NS)
        with ThreadPoolExecutor(len(witnesses)) as pool:
            while True:
                seen = list(pool.map(lambda witness: (now_ns(), witness.look()), witnesses))
                expected = [witness.normal if normal else witness.expected for witness in witnesses]
                shown = [answer for _, answer in seen] == expected
                if shown or now_ns() >= limit or (within_s and self.stopping.wait(POLL_S)):
                    break
        for witness, wanted, (at, answer) in zip(witnesses, expected, seen, strict=True):
            self.notes.write("witness", at, id=plan.id, stage=stage, vantage=witness.vantage, expected=wanted, seen=answer)
        return shown

    def _note_seen(self, plan: ChangePlan, stage: str, seen: Mapping[str, str], expected: Mapping[str, str]) -> None:
        """Notes what each vantage point says; where nothing is expected of it, whatever it says will do."""
        for vantage in {**seen, **expected}:
            said = seen.get(vantage, "nothing")
            wanted = expected.get(vantage, said)
            self.notes.write("witness", now_ns(), id=plan.id, stage=stage, vantage=vantage, expected=wanted, seen=said)

    def _note(self, plan: Planned, stage: str, **more: Any) -> int:
        now = now_ns()
        self._state.setdefault(stage, set()).add(plan.id)
        sort, named = ("fault", {"target": str(plan.target)}) if isinstance(plan, FaultPlan) else ("change", {})
        self.notes.write(sort, now, id=plan.id, kind=plan.kind, **named, stage=stage, **more)
        return now


def _primaries(roles: Mapping[str, str]) -> frozenset[str]:
    return frozenset(node for node, role in roles.items() if role == "primary")


def _joined(groups: Sequence[Group]) -> Group:
    return Group(", ".join(group.name for group in groups), tuple(range_ for group in groups for range_ in group.ranges))
