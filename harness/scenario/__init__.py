"""What does this scenario file ask, and is it a question that a run can answer?

A file becomes frozen values, or one line per problem, `file:line:column: what is wrong; what would be right`.
The file is read with the place of each value (document), taken by a model that is made of the dataclasses of values,
faults, topologies and workloads (fields, models), and examined as a whole (contradictions). Validation and the JSON
Schema for editors are made from the same models.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.conditions import Condition
from harness.scenario.contradictions import contradictions_in
from harness.scenario.document import Document, read
from harness.scenario.fields import fields_of, options
from harness.scenario.models import file_model, metrics, schema
from harness.scenario.values import Expectation, FaultPlan, Recovery, Scenario, SteadyState, Use
from harness.scenario.wording import in_our_words, refusal

__all__ = [
    "Expectation",
    "FaultPlan",
    "Recovery",
    "Scenario",
    "SteadyState",
    "Use",
    "as_run",
    "load",
    "metrics",
    "options",
    "schema",
]


def load(path: Path) -> Scenario:
    """Reads a scenario file.

    Raises UsageError, one line `file:line:column: …` per problem, for a file that is no scenario or asks for
    something that cannot be.
    """
    text = read(path)
    document = Document(path, text)
    try:
        raw: Any = file_model().model_validate(document.value)
    except ValidationError as problems:
        raise refusal(path, in_our_words(document, problems)) from None
    scenario = Scenario(
        name=_name(path),
        path=path,
        text=text,
        title=raw.title,
        topology=raw.topology,
        workloads=raw.workload,
        steady_state=raw.steady_state,
        faults=_with_ids(raw.faults),
        expect=tuple(sorted(raw.expect, key=lambda bound: list(document.value["expect"]).index(bound.metric))),
        images=raw.images,
        path_through=raw.path,
        max_runtime_s=raw.max_runtime,
        markers=raw.markers,
        recovery=raw.recovery,
    )
    contradictions = [f"{document.place(steps, key)}: {what}" for steps, key, what in contradictions_in(scenario)]
    if contradictions:
        raise refusal(path, contradictions)
    return scenario


def as_run(scenario: Scenario) -> dict[str, Any]:
    """The scenario as plain JSON values in base units, for the first event of its run's history."""

    def use(used: Use) -> dict[str, Any]:
        return {"name": used.use, **_given(used.options)}

    def plan(fault: FaultPlan) -> dict[str, Any]:
        timing = {
            name: str(value) if isinstance(value, Condition) else value
            for name in ("at_s", "after", "when", "for_s", "until", "at_most_s")
            if (value := getattr(fault, name)) is not None
        }
        kept = {"id": fault.id, "kind": fault.kind, "target": str(fault.target)}
        return {**kept, "options": _given(fault.fault), **timing}

    return {
        "scenario": scenario.name,
        "title": scenario.title,
        "topology": {"name": scenario.topology.use, "options": _given(scenario.topology.options)},
        "workloads": [use(workload) for workload in scenario.workloads],
        "steady_state": dataclasses.asdict(scenario.steady_state),
        "faults": [plan(fault) for fault in scenario.faults],
        "expect": [dataclasses.asdict(expectation) for expectation in scenario.expect],
        "images": dict(scenario.images),
        "path": scenario.path_through,
        "max_runtime_s": scenario.max_runtime_s,
        "markers": list(scenario.markers),
        "recovery": dataclasses.asdict(scenario.recovery),
    }


def _given(instance: Any) -> dict[str, Any]:
    """An instance's options, in base units."""
    return {option.name: getattr(instance, option.name) for option in fields_of(instance)}


def _name(path: Path) -> str:
    parts = path.absolute().with_suffix("").parts
    if "scenarios" not in parts[:-1]:
        return parts[-1]
    nearest = len(parts) - 2 - parts[:-1][::-1].index("scenarios")
    return "/".join(parts[nearest + 1 :])


def _with_ids(plans: Iterable[FaultPlan]) -> tuple[FaultPlan, ...]:
    """Gives the faults that the file did not name the name of their kind: crash, crash-2, …"""
    named = list(plans)
    taken = {plan.id for plan in named}
    for at, plan in enumerate(named):
        if not plan.id:
            numbered = (plan.kind if number == 1 else f"{plan.kind}-{number}" for number in range(1, len(named) + 2))
            named[at] = dataclasses.replace(plan, id=next(id_ for id_ in numbered if id_ not in taken))
            taken.add(named[at].id)
    return tuple(named)
