"""What no single value shows to be wrong: which parts of a scenario cannot go together?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from ipaddress import IPv4Network
from typing import Any

from harness import conditions, targets
from harness.errors import suggestion
from harness.layout import Plan, client_nodes
from harness.protocols import NodeSpec, Topology
from harness.scenario.document import Steps
from harness.scenario.values import FaultPlan, Scenario
from harness.scenario.wording import shortly

Contradiction = tuple[Steps, bool, str]  # where, whether the key is meant rather than its value, and what

_SORTS = {"on_node": ("nodes",), "on_host": ("nodes",), "between": ("zones", "nodes"), "on_link": ("links",)}
_EXAMPLE = {"nodes": "writer", "zones": "zone of writer", "links": "clients"}


def contradictions_in(scenario: Scenario) -> Iterator[Contradiction]:
    for index, plan in enumerate(scenario.faults):
        steps: Steps = ("faults", index)
        yield from ((steps + rest, key, what) for rest, key, what in _of_start(plan))
        yield from ((steps + rest, key, what) for rest, key, what in _of_end(plan))
        if plan.at_s is not None and plan.at_s >= scenario.max_runtime_s:
            yield (*steps, "at"), False, f"starts when the run is over already (max_runtime is {scenario.max_runtime_s:g}s)"
    yield from _of_order(scenario.faults)
    yield from _of_topology(scenario)


def _of_start(plan: FaultPlan) -> Iterator[Contradiction]:
    if plan.at_s is None and plan.after is None and plan.when is None:
        yield (), False, f"the fault '{plan.id}' never starts; write at: 5s, after: <id> or when: <condition>"
    if plan.when is not None and plan.after is not None:
        yield ("after",), True, "a fault starts either after another or when a condition holds, not both"
    elif plan.when is not None and plan.at_s is not None:
        yield ("at",), True, "a fault starts either at a time or when a condition holds, not both"


def _of_end(plan: FaultPlan) -> Iterator[Contradiction]:
    if plan.for_s is None and plan.until is None and plan.at_most_s is None:
        yield (), False, f"the fault '{plan.id}' never ends; write for: 30s, or until: <condition> with at_most: 60s"
    elif plan.for_s is not None and plan.until is not None:
        yield ("until",), True, "a fault ends either after a time (for) or on a condition (until, at_most), not both"
    elif plan.until is not None and plan.at_most_s is None:
        yield ("until",), True, "at_most is missing: a condition may never come true, and every fault ends; write at_most: 60s"
    elif plan.until is None and plan.at_most_s is not None:
        yield ("at_most",), True, "at_most bounds an until, which is missing; write for: 30s for a plain duration"


def _of_order(plans: Sequence[FaultPlan]) -> Iterator[Contradiction]:
    """Names that name nothing or two things, and faults that wait for each other."""
    ids = [plan.id for plan in plans]
    wrong = False
    for index, plan in enumerate(plans):
        if plan.id in ids[:index]:
            wrong = True
            yield ("faults", index, "id"), False, f"the id '{plan.id}' is taken by fault {ids.index(plan.id) + 1} of this file"
        named = {"after": plan.after, "when": plan.when and plan.when.fault_id, "until": plan.until and plan.until.fault_id}
        for key, id_ in named.items():
            if id_ and id_ not in ids:
                wrong = True
                yield ("faults", index, key), False, f"no fault in this file has the id '{id_}'{suggestion(id_, ids)}"
    if not wrong:
        yield from _of_waiting(plans)


def _of_waiting(plans: Sequence[FaultPlan]) -> Iterator[Contradiction]:
    awaits: dict[str, list[str]] = {}
    for plan in plans:
        start, end = (f"{plan.id} {kind}" for kind in (conditions.FAULT_IS_INJECTED, conditions.FAULT_IS_HEALED))
        after = f"{plan.after} {conditions.FAULT_IS_HEALED}" if plan.after else None
        awaits[start] = [str(event) for event in (after, plan.when) if event]
        awaits[end] = [start, *([str(plan.until)] if plan.until else [])]
    try:
        TopologicalSorter(awaits).prepare()
    except CycleError as error:
        circle = error.args[1][::-1]
        keys = {f"{plan.id} {kind}": (index, plan) for index, plan in enumerate(plans) for kind in conditions.OF_FAULT}
        index, plan = min((keys[event] for event in circle if event in keys), key=lambda found: found[0])
        key = "after" if plan.after else "when" if plan.when and plan.when.fault_id else "until"
        yield ("faults", index, key), False, f"waits for itself: {', which awaits '.join(map(repr, circle))}"


def _of_topology(scenario: Scenario) -> Iterator[Contradiction]:
    topology: Topology = scenario.topology.options
    specs = _specs(topology)
    for index, plan in enumerate(scenario.faults):
        sorts = [sort for method, all_ in _SORTS.items() if hasattr(plan.fault, method) for sort in all_]
        if plan.target.sort not in sorts:
            meant = f"{plan.kind} acts on {' or '.join(sorts)}, but '{plan.target}' means {plan.target.sort}"
            yield ("faults", index, "target"), False, f"{meant}; write, for example, '{_EXAMPLE[sorts[0]]}'"
            continue
        never = targets.never_matches(plan.target, specs, topology.zones, topology.endpoint_names)
        if never:
            yield ("faults", index, "target"), False, never
    for index, workload in enumerate(scenario.workloads):
        yield from ((("workload", index, *rest), key, what) for rest, key, what in _of_zones(workload.options, topology.zones))
    families = {"packets", *(spec.server for spec in specs)}
    for family in sorted(scenario.images.keys() - families):
        yield ("images", family), True, f"no server family called '{family}'{suggestion(family, families)}"


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


def _specs(topology: Topology) -> Sequence[NodeSpec]:
    """Every node that a runtime would lay out, at addresses that nobody uses."""
    plan = Plan(IPv4Network("198.18.0.0/20"), topology.zones)
    copy: Topology = dataclasses.replace(topology)  # type: ignore[type-var]  # a topology may remember where it was laid out
    return [*copy.nodes(plan.addresses()), *client_nodes(plan, copy)]
