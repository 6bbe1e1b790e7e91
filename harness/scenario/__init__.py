"""What does this scenario ask, and is it a question that a run can answer?

A file becomes frozen values, or one line per problem, `file:line:column: what is wrong; what would be right`. What was
given in memory, by a command or a test, goes the same way; its places are the names of arguments.
The file is read with the place of each value (document), taken by a model that is made of the dataclasses of values,
faults, changes, topologies and workloads (fields, models), and examined as a whole (contradictions). Validation and the JSON
Schema for editors are made from the same models.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from harness.conditions import Condition
from harness.protocols import NodeSpec, Part
from harness.scenario.contradictions import contradictions_in
from harness.scenario.document import Document, Given, Steps, read
from harness.scenario.fields import as_written, fields_of, options
from harness.scenario.locust_files import along
from harness.scenario.models import file_model, metrics, schema
from harness.scenario.values import (
    AbortIf,
    ChangePlan,
    Claim,
    Expectation,
    FaultPlan,
    Planned,
    Recovery,
    Repeat,
    Scenario,
    SteadyState,
    Use,
)
from harness.scenario.wording import in_our_words, refusal, said
from harness.workloads.locustfile import Locustfile

__all__ = [
    "AbortIf",
    "ChangePlan",
    "Claim",
    "Expectation",
    "FaultPlan",
    "Planned",
    "Recovery",
    "Repeat",
    "Scenario",
    "SteadyState",
    "Use",
    "as_run",
    "as_written",
    "load",
    "metrics",
    "of",
    "options",
    "schema",
]

P = TypeVar("P", FaultPlan, ChangePlan)


def load(path: Path) -> Scenario:
    """Reads a scenario file.

    Raises UsageError, one line `file:line:column: …` per problem, for a file that is no scenario or asks for
    something that cannot be.
    """
    text = read(path)
    return _examined(Document(path, text), file_model(), path=path, folder=path.parent, name=_name(path), text=text)


def of(
    document: Mapping[str, Any], *, name: str, below: Steps = (), folder: Path = Path(), nodes: Sequence[NodeSpec] = ()
) -> Scenario:
    """The scenario that values mean which a file could hold, units and all: `{"title": …, "faults": [{"for": "30s", …}]}`.

    It needs no workload. Raises UsageError, one line `argument: …` per problem; what lies below the steps `below`, such
    as `("faults", 0)`, was given as arguments of its own and is named so: `target: …` instead of `faults[0].target: …`.
    Files that it names lie below `folder`. It is for a cluster that has these `nodes`, where that is given: a living one may have
    others than it was laid out with.
    """
    given = Given(document, below)
    text = yaml.safe_dump(_listed(given.value), sort_keys=False, allow_unicode=True)
    return _examined(given, file_model(needs_workload=False), path=None, folder=folder, name=name, text=text, nodes=nodes)


def _examined(
    document: Document | Given,
    model: Any,
    *,
    path: Path | None,
    folder: Path,
    name: str,
    text: str,
    nodes: Sequence[NodeSpec] = (),
) -> Scenario:
    try:
        raw: Any = model.model_validate(document.value)
    except ValidationError as problems:
        raise refusal(path, in_our_words(document, problems)) from None
    faults, changes = _with_ids(raw.faults, raw.changes)
    scenario = Scenario(
        name=name,
        path=path,
        text=text,
        title=raw.title,
        topology=raw.topology,
        workloads=raw.workload,
        steady_state=raw.steady_state,
        faults=faults,
        changes=changes,
        expect=tuple(sorted(raw.expect, key=lambda bound: list(document.value["expect"]).index(bound.metric))),
        images=raw.images,
        path_through=raw.path,
        max_runtime_s=raw.max_runtime,
        markers=raw.markers,
        recovery=raw.recovery,
        abort_if=raw.abort_if,
        repeat=raw.repeat,
        claims=raw.claim,
    )
    contradictions = [said(document.place(steps, key), what) for steps, key, what in contradictions_in(scenario, folder, nodes)]
    if contradictions:
        raise refusal(path, contradictions)
    return dataclasses.replace(scenario, workloads=tuple(_with_files(workload, folder) for workload in raw.workload))


def _with_files(workload: Use, folder: Path) -> Use:
    if not isinstance(workload.options, Locustfile):
        return workload
    return dataclasses.replace(workload, files=along(folder / workload.options.locustfile, workload.options.files))


def _listed(value: Any) -> Any:
    """As YAML writes plain values: lists where a document has tuples, and a text for what it has no word for."""
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_listed(item) for item in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def as_run(scenario: Scenario) -> dict[str, Any]:
    """The scenario as plain JSON values in base units, for the first event of its run's history."""

    def use(used: Use) -> dict[str, Any]:
        return {"name": used.use, **_given(used.options)}

    def timing(plan: Planned, *names: str) -> dict[str, Any]:
        given = {name: getattr(plan, name) for name in ("at_s", "after", "when", *names)}
        return {name: str(v) if isinstance(v, Condition) else v for name, v in given.items() if v is not None}

    def fault(plan: FaultPlan) -> dict[str, Any]:
        kept = {"id": plan.id, "kind": plan.kind, "target": str(plan.target), "options": _given(plan.fault)}
        return kept | timing(plan, "for_s", "until", "at_most_s")

    def change(plan: ChangePlan) -> dict[str, Any]:
        return {"id": plan.id, "kind": plan.kind, "options": _given(plan.change), **timing(plan)}

    return {
        "scenario": scenario.name,
        "title": scenario.title,
        "topology": {"name": scenario.topology.use, "options": _given(scenario.topology.options)},
        "workloads": [use(workload) for workload in scenario.workloads],
        "steady_state": dataclasses.asdict(scenario.steady_state),
        "faults": [fault(plan) for plan in scenario.faults],
        "changes": [change(plan) for plan in scenario.changes],
        "claims": [dataclasses.asdict(claim) for claim in scenario.claims],
        "expect": [dataclasses.asdict(expectation) for expectation in scenario.expect],
        "images": dict(scenario.images),
        "path": scenario.path_through,
        "max_runtime_s": scenario.max_runtime_s,
        "markers": list(scenario.markers),
        "recovery": dataclasses.asdict(scenario.recovery),
        "abort_if": dataclasses.asdict(scenario.abort_if),
        "repeat": dataclasses.asdict(scenario.repeat) if scenario.repeat else None,
    }


def _given(instance: Any) -> dict[str, Any]:
    """An instance's options, in base units."""
    given = {option.name: getattr(instance, option.name) for option in fields_of(instance)}
    return {
        name: {"use": value.use, **_given(value.topology)} if isinstance(value, Part) else value for name, value in given.items()
    }


def _name(path: Path) -> str:
    parts = path.absolute().with_suffix("").parts
    if "scenarios" not in parts[:-1]:
        return parts[-1]
    nearest = len(parts) - 2 - parts[:-1][::-1].index("scenarios")
    return "/".join(parts[nearest + 1 :])


def _with_ids(faults: Sequence[FaultPlan], changes: Sequence[ChangePlan]) -> tuple[tuple[FaultPlan, ...], tuple[ChangePlan, ...]]:
    """Gives the faults and changes that the file did not name the name of their kind: crash, crash-2, …"""
    taken = {*(plan.id for plan in faults), *(plan.id for plan in changes)}

    def named(plan: P) -> P:
        if plan.id:
            return plan
        numbered = (plan.kind if number == 1 else f"{plan.kind}-{number}" for number in count(1))
        id_ = next(id_ for id_ in numbered if id_ not in taken)
        taken.add(id_)
        return dataclasses.replace(plan, id=id_)

    return tuple(map(named, faults)), tuple(map(named, changes))
