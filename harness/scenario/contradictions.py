"""What no single value shows to be wrong: which parts of a scenario cannot go together?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, get_args, get_type_hints

from harness import catalogue, conditions, registry, targets
from harness.bounds import RUNS_AT_LEAST
from harness.errors import UsageError, suggestion
from harness.layout import Plan, client_nodes
from harness.protocols import Database, Moves, NodeSpec, Topology
from harness.scenario import locust_files
from harness.scenario.document import Steps
from harness.scenario.fields import fields_of
from harness.scenario.models import by_phase, metrics
from harness.scenario.values import ChangePlan, Expectation, FaultPlan, Planned, Scenario, Use
from harness.scenario.wording import shortly
from harness.workloads.locustfile import SPAWNED_WITHIN_S, Locustfile

Contradiction = tuple[Steps, bool, str]  # where, whether the key is meant rather than its value, and what
Plans = Sequence[tuple[Steps, Planned]]  # each with where it was written

ACTS_ON = {"on_node": ("nodes",), "on_host": ("nodes",), "between": ("zones", "nodes"), "on_link": ("links",)}
_ENDS = {  # the conditions that may be said of each, the one that means its end first
    FaultPlan: conditions.OF_FAULT,
    ChangePlan: conditions.OF_CHANGE,
}
EXAMPLE_OF = {"nodes": "writer", "zones": "zone of writer", "links": "clients"}


def contradictions_in(scenario: Scenario, folder: Path, nodes: Sequence[NodeSpec] = ()) -> Iterator[Contradiction]:
    """What cannot go together; on a cluster that has these nodes, or else those that the topology lays out."""
    plans: Plans = [
        *((("faults", index), fault) for index, fault in enumerate(scenario.faults)),
        *((("changes", index), change) for index, change in enumerate(scenario.changes)),
    ]
    for steps, plan in plans:
        yield from ((steps + rest, key, what) for rest, key, what in _of_start(plan))
        if isinstance(plan, FaultPlan):
            yield from ((steps + rest, key, what) for rest, key, what in _of_end(plan))
        if plan.at_s is not None and plan.at_s >= scenario.max_runtime_s:
            yield (*steps, "at"), False, f"starts when the run is over already (max_runtime is {scenario.max_runtime_s:g}s)"
    yield from _of_order(plans)
    yield from _of_bounds(scenario.expect)
    yield from _of_topology(scenario, folder, nodes)
    yield from _of_guards(scenario)
    yield from _of_repeat(scenario)
    yield from _of_claims(scenario)


def _of_claims(scenario: Scenario) -> Iterator[Contradiction]:
    """Claims that nobody makes, and claims that no run of this could show to be false."""
    bounded = dict.fromkeys(bound.metric for bound in scenario.expect)
    ids = [claim.id for claim in scenario.claims]
    for index, claim in enumerate(scenario.claims):
        at: Steps = ("claim", index)
        if problem := catalogue.missing(claim.id):
            yield (*at, "id"), False, problem
        elif claim.id in ids[:index]:
            yield (*at, "id"), False, f"{claim.id} is put to the test already, by claim {ids.index(claim.id) + 1} of this file"
        if not bounded:
            yield at, False, "nothing is expected, so no run could show it false; write expect: {write_outage: {max: 35s}}"
        for place, metric in enumerate(claim.metrics if bounded else ()):
            if metric not in bounded:
                yield (*at, "metrics", place), False, f"nothing is expected of '{metric}'{suggestion(metric, bounded)}"


def _sort(plan: Planned) -> str:
    return "fault" if isinstance(plan, FaultPlan) else "change"


def _of_guards(scenario: Scenario) -> Iterator[Contradiction]:
    """A run that is ended before it can show what is expected of it."""
    ended = {"write_outage": scenario.abort_if.write_outage_s, "read_outage": scenario.abort_if.read_outage_s}
    for bound in scenario.expect:
        after_s = ended.get(bound.metric)
        if after_s is not None and bound.min is not None and bound.min >= after_s:
            yield (
                ("abort_if", bound.metric),
                False,
                f"ends the run before its {bound.metric} is {bound.min:g}s, which is expected",
            )


def _of_start(plan: Planned) -> Iterator[Contradiction]:
    if plan.at_s is None and plan.after is None and plan.when is None:
        yield (), False, f"the {_sort(plan)} '{plan.id}' never starts; write at: 5s, after: <id> or when: <condition>"
    if plan.when is not None and plan.after is not None:
        yield ("after",), True, f"a {_sort(plan)} starts either after another or when a condition holds, not both"
    elif plan.when is not None and plan.at_s is not None:
        yield ("at",), True, f"a {_sort(plan)} starts either at a time or when a condition holds, not both"


def _of_end(plan: FaultPlan) -> Iterator[Contradiction]:
    if plan.for_s is None and plan.until is None and plan.at_most_s is None:
        yield (), False, f"the fault '{plan.id}' never ends; write for: 30s, or until: <condition> with at_most: 60s"
    elif plan.for_s is not None and plan.until is not None:
        yield ("until",), True, "a fault ends either after a time (for) or on a condition (until, at_most), not both"
    elif plan.until is not None and plan.at_most_s is None:
        yield ("until",), True, "at_most is missing: a condition may never come true, and every fault ends; write at_most: 60s"
    elif plan.until is None and plan.at_most_s is not None:
        yield ("at_most",), True, "at_most bounds an until, which is missing; write for: 30s for a plain duration"


def _of_order(plans: Plans) -> Iterator[Contradiction]:
    """Names that name nothing, two things or the wrong sort of thing, and faults or changes that wait for each other."""
    named: dict[str, tuple[Steps, Planned]] = {}
    wrong = False
    for steps, plan in plans:
        if plan.id in named:
            (_, index), first = named[plan.id]
            wrong = True
            yield (*steps, "id"), False, f"the id '{plan.id}' is taken by {_sort(first)} {int(index) + 1} of this file"
        named.setdefault(plan.id, (steps, plan))
    for steps, plan in plans:
        for key, (id_, kind) in _waits(plan).items():
            problem = _of_name(id_, kind, {known: other for known, (_, other) in named.items()})
            if problem:
                wrong = True
                yield (*steps, key), False, problem
    if not wrong:
        yield from _of_waiting(plans)


def _waits(plan: Planned) -> dict[str, tuple[str, str | None]]:
    """Whom a plan waits for, by the key that says so: its id, and the kind of condition, if it is one."""
    waits: dict[str, tuple[str, str | None]] = {"after": (plan.after, None)} if plan.after else {}
    conditions_of = {"when": plan.when, "until": plan.until if isinstance(plan, FaultPlan) else None}
    return waits | {key: (said.of, said.kind) for key, said in conditions_of.items() if said is not None and said.of}


def _of_name(id_: str, kind: str | None, known: Mapping[str, Planned]) -> str | None:
    if id_ not in known:
        return f"no fault or change in this file has the id '{id_}'{suggestion(id_, known)}"
    plan = known[id_]
    moves = isinstance(plan, FaultPlan) or isinstance(plan.change, Moves)
    right = [word for word in _ENDS[type(plan)] if moves or word != conditions.CHANGE_IS_HALF_WAY]
    if kind == conditions.CHANGE_IS_HALF_WAY and not moves:
        return f"{plan.kind} moves no data bit by bit, and is never half way; write '{id_} {right[0]}'"
    if kind is not None and kind not in right:
        said = " or ".join(f"'{id_} {word}'" for word in right)
        return f"'{id_}' is a {_sort(plan)}; write {said}"
    return None


def _of_waiting(plans: Plans) -> Iterator[Contradiction]:
    over = {plan.id: f"{plan.id} {_ENDS[type(plan)][0]}" for _, plan in plans}
    awaits: dict[str, list[str]] = {}
    of: dict[str, tuple[int, Steps, Planned]] = {}
    for number, (steps, plan) in enumerate(plans):
        before_start = [str(event) for event in (over[plan.after] if plan.after else None, plan.when) if event]
        if isinstance(plan, FaultPlan):
            start = f"{plan.id} {conditions.FAULT_IS_INJECTED}"
            awaits[start] = before_start
            awaits[over[plan.id]] = [start, *([str(plan.until)] if plan.until else [])]
            of[start] = (number, steps, plan)
        else:
            awaits[over[plan.id]] = before_start
            half_way = f"{plan.id} {conditions.CHANGE_IS_HALF_WAY}"
            awaits[half_way] = before_start
            of[half_way] = (number, steps, plan)
        of[over[plan.id]] = (number, steps, plan)
    try:
        TopologicalSorter(awaits).prepare()
    except CycleError as error:
        circle = error.args[1][::-1]
        _, steps, plan = min((of[event] for event in circle if event in of), key=lambda found: found[0])
        yield (*steps, next(iter(_waits(plan)))), False, f"waits for itself: {', which awaits '.join(map(repr, circle))}"


def _of_repeat(scenario: Scenario) -> Iterator[Contradiction]:
    """Repeating that could never end as it is asked to."""
    repeat = scenario.repeat
    if repeat is None:
        return
    if repeat.max < repeat.min:
        yield ("repeat", "max"), False, f"at most {repeat.max} runs are fewer than the least, {repeat.min}"
    if repeat.until and repeat.max < RUNS_AT_LEAST:
        yield ("repeat", "max"), False, f"{repeat.max} runs have no interval, which needs {RUNS_AT_LEAST}; it can never get tight"
    for metric, within in repeat.until.items():
        if metric not in metrics():
            yield ("repeat", "until", metric), True, f"no metric called '{metric}'{suggestion(metric, metrics())}"
        elif within <= 0:
            yield ("repeat", "until", metric), True, f"{metric} can never get as tight as that; ask for more than ±0%"
        elif not scenario.faults and not scenario.changes:
            what = f"nothing is broken, so {metric} is none or as good as, and a share of that can never get tight"
            yield ("repeat", "until", metric), True, what


def _of_bounds(expect: Sequence[Expectation]) -> Iterator[Contradiction]:
    """Bounds on a part that a metric does not have; the run could only end UNKNOWN."""
    for number, bound in enumerate(expect):
        if bound.during and bound.metric not in by_phase():
            among = sum(other.metric == bound.metric for other in expect[:number])
            others = ", ".join(sorted(by_phase()))
            what = f"{bound.metric} is measured over the whole run only; leave during out, or bound {others}"
            yield ("expect", bound.metric, among, "during"), False, what


def _of_topology(scenario: Scenario, folder: Path, nodes: Sequence[NodeSpec]) -> Iterator[Contradiction]:
    topology: Topology = scenario.topology.options
    specs = nodes or _specs(topology)
    for index, plan in enumerate(scenario.faults):
        sorts = [sort for method, all_ in ACTS_ON.items() if hasattr(plan.fault, method) for sort in all_]
        if plan.target.sort not in sorts:
            meant = f"{plan.kind} acts on {' or '.join(sorts)}, but '{plan.target}' means {plan.target.sort}"
            yield ("faults", index, "target"), False, f"{meant}; write, for example, '{EXAMPLE_OF[sorts[0]]}'"
            continue
        grows = any(getattr(change.change, "adds_nodes", False) for change in scenario.changes)
        never = targets.never_matches(plan.target, specs, topology.zones, topology.endpoint_names, grows=grows)
        if never:
            yield ("faults", index, "target"), False, never
        if hasattr(plan.fault, "unfit"):
            known = (topology.zones, topology.endpoint_names)
            lacking = [plan.fault.unfit(one) for one in specs if not targets.never_matches(plan.target, [one], *known)]
            if lacking and all(lacking):
                none = f"{plan.kind} cannot act on '{plan.target}': none that it can mean {lacking[0]}"
                yield ("faults", index, "target"), False, none
        if hasattr(plan.fault, "on_link") and scenario.path_through != "toxiproxy":
            way = f"{plan.kind} acts on the way through Toxiproxy, which no client takes here; write path: toxiproxy"
            yield ("faults", index, "inject"), False, way
    for index, change in enumerate(scenario.changes):
        yield from (
            (("changes", index, *rest), key, what)
            for rest, key, what in _of_change(change, scenario.topology.use, topology, specs)
        )
    for index, workload in enumerate(scenario.workloads):
        of_workload = [
            *_of_protocol(workload, scenario.topology),
            *_of_zones(workload.options, topology.zones),
            *_of_locustfile(workload.options, folder),
        ]
        yield from ((("workload", index, *rest), key, what) for rest, key, what in of_workload)
    families = {"packets", *(spec.server for spec in specs)}
    for family in sorted(scenario.images.keys() - families):
        yield ("images", family), True, f"no server family called '{family}'{suggestion(family, families)}"


def _of_change(plan: ChangePlan, word: str, topology: Topology, specs: Sequence[NodeSpec]) -> Iterator[Contradiction]:
    """What the topology cannot do, and options that name a database that it has not."""
    if not isinstance(topology, plan.change.needs):
        yield ("change",), False, f"{word} cannot do that: it has no {', '.join(_asked(plan.change.needs))}"
    databases = [spec.name for spec in specs if spec.role == "database"]
    hints = get_type_hints(type(plan.change))
    for option in fields_of(plan.change):
        named = getattr(plan.change, option.name)
        if named is not None and Database in (hints[option.name], *get_args(hints[option.name])) and named not in databases:
            yield (option.name,), False, f"the topology has no database called '{named}'{suggestion(named, databases)}"


def _asked(capability: type[Any]) -> Iterator[str]:
    """The methods that a capability consists of."""
    return (f"'{name}'" for name in vars(capability) if not name.startswith("_"))


def _of_protocol(workload: Use, topology: Use) -> Iterator[Contradiction]:
    """A workload speaks what the topology's endpoints do; one that names no protocol brings a driver of its own."""
    speaks = getattr(workload.options, "protocols", ())
    if speaks and topology.options.protocol not in speaks:
        others = [
            word
            for word in registry.names("workloads")
            if topology.options.protocol in getattr(registry.find("workloads", word), "protocols", ())
        ]
        instead = f"; those that do: {', '.join(others)}" if others else ""
        said = f"{workload.use} speaks {' or '.join(speaks)}, but {topology.use} speaks {topology.options.protocol}{instead}"
        yield ("use",), False, said


def _of_zones(workload: Any, zones: Sequence[str]) -> Iterator[Contradiction]:
    """A workload's `zones` is `all`, or a list of the topology's; each needs a user."""
    chosen = getattr(workload, "zones", "all")
    if isinstance(chosen, str) or not chosen:
        if chosen != "all":
            yield ("zones",), False, f"expected all or a list of zones, such as [{zones[0]}], not {shortly(chosen)}"
            return
        chosen = zones
    for index, zone in enumerate(chosen):
        if zone not in zones:
            yield ("zones", index), False, f"the topology has no zone called '{zone}'{suggestion(zone, zones)}"
    users = getattr(workload, "users", len(chosen))
    if users < len(chosen):
        yield ("users",), False, f"too few for {len(chosen)} zones; each needs one at least"


def _of_locustfile(workload: Any, folder: Path) -> Iterator[Contradiction]:
    """A Locust file is there, holds users, and can be taken along; its users are there before measuring begins."""
    if not isinstance(workload, Locustfile):
        return
    path = folder / workload.locustfile
    if what := locust_files.problem(path, workload.locustfile):
        yield ("locustfile",), False, what
        return
    try:
        locust_files.along(path, workload.files)
    except UsageError as problem:
        yield ("files" if workload.files else "locustfile",), False, str(problem)
    if workload.users / workload.spawn_rate_per_s > SPAWNED_WITHIN_S:
        least = math.ceil(workload.users / SPAWNED_WITHIN_S)
        yield ("spawn_rate",), False, f"too slow: all users must be there within {SPAWNED_WITHIN_S} s; write {least}/s"


def _specs(topology: Topology) -> Sequence[NodeSpec]:
    """Every node that a runtime would lay out, at addresses that nobody uses."""
    plan = Plan(IPv4Network("198.18.0.0/20"), topology.zones)
    copy: Topology = dataclasses.replace(topology)  # type: ignore[type-var]  # a topology may remember where it was laid out
    return [*copy.nodes(plan.addresses()), *client_nodes(plan, copy)]
