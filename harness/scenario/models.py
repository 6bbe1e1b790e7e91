"""Which model takes a whole scenario file? It knows every fault, topology, workload and metric there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, create_model

from harness import registry
from harness.protocols import Part
from harness.scenario.fields import (
    INSIDE,
    SECONDS,
    SHARES,
    OneOf,
    Or,
    Strict,
    Untitled,
    becoming,
    built,
    carrying,
    many,
    model_of,
    names_itself,
    options,
    or_many,
)
from harness.scenario.values import (
    AbortIf,
    ChangePlan,
    Claim,
    Expectation,
    FaultPlan,
    MoreThanNone,
    NotEmpty,
    Recovery,
    Repeat,
    SteadyState,
    Use,
    Word,
)

_UNIT_OF_METRIC = {"s": SECONDS, "share": SHARES}


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a scenario file, with which editors complete and check it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **file_model().model_json_schema(schema_generator=Untitled),
    }


class _Metrics(Strict):
    """What must hold for the run to pass: for a metric its bound, or a list of bounds at different times."""

    unknown: ClassVar[str] = "no metric called"


_STARTS: dict[str, Any] = {
    "oneOf": [
        {"required": ["at"], "not": {"required": ["after"]}},
        {"required": ["after"]},
        {"required": ["when"]},
    ]
}
_ENDS: dict[str, Any] = {
    "oneOf": [
        {"required": ["for"], "not": {"anyOf": [{"required": ["until"]}, {"required": ["at_most"]}]}},
        {"required": ["until", "at_most"], "not": {"required": ["for"]}},
    ]
}


class _Started(Strict):
    """When a change starts is a matter of several keys."""

    model_config = ConfigDict(json_schema_extra=_STARTS)


class _Timed(Strict):
    """When a fault starts and ends is a matter of several keys."""

    model_config = ConfigDict(json_schema_extra={"allOf": [_STARTS, _ENDS]})


class _Bounded(Strict):
    """A bound on a metric: `min`, `max` or both. `during` is a phase, without it the metric's headline is meant."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["min"]}, {"required": ["max"]}]})


def _part() -> Any:
    """A topology inside another: one that has none inside itself."""
    all_ = registry.names("topologies")
    words = [word for word in all_ if Part not in get_type_hints(registry.find("topologies", word)).values()]
    return Annotated[_use("topologies", words), AfterValidator(lambda use: Part(use.use, use.options))]


INSIDE[Part] = _part


def _use(kind: str, words: Sequence[str] = ()) -> Any:
    """`use: word` with its options, or the word alone; any word of the kind, or one of those given."""

    def choice(word: str) -> Any:
        cls = registry.find(kind, word)
        use = (Literal[word], Field(default_factory=lambda: word) if names_itself(kind, word) else ...)
        chosen: Any = Annotated[
            becoming(lambda model: Use(word, built(cls, model)), model_of(cls, use=use)),
            BeforeValidator(lambda value: {"use": value} if isinstance(value, str) else value),
        ]
        needs = any(about["required"] for about in options(cls).values())  # then the word alone is not enough
        return chosen if needs else Annotated[chosen, Or(lambda _: {"const": word})]

    words = words or registry.names(kind)
    selves = [word for word in words if names_itself(kind, word)]
    return Annotated[Any, OneOf("use", {word: choice(word) for word in words}, selves)]


def _fault() -> Any:
    """`inject: word` with target, timing and the fault's own options."""

    def choice(word: str) -> Any:
        cls = registry.find("faults", word)
        model = model_of(FaultPlan, cls, base=_Timed, without=("kind", "fault"), inject=(Literal[word], ...))
        return becoming(lambda m: built(FaultPlan, m, kind=word, fault=built(cls, m)), model)

    return Annotated[Any, OneOf("inject", {word: choice(word) for word in registry.names("faults")})]


def _change() -> Any:
    """`change: word` with its start and the change's own options."""

    def choice(word: str) -> Any:
        cls = registry.find("changes", word)
        model = model_of(ChangePlan, cls, base=_Started, without=("kind",), change=(Literal[word], ...))
        return becoming(lambda m: built(ChangePlan, m, kind=word, change=built(cls, m)), model)

    return Annotated[Any, OneOf("change", {word: choice(word) for word in registry.names("changes")})]


@cache
def metrics() -> Mapping[str, str]:
    """Every metric that some checker measures, with its unit: `s`, `share`, `count` or `ratio`."""
    found: dict[str, str] = {}
    for word in registry.names("checkers"):
        found.update(registry.find("checkers", word).metrics)
    return dict(sorted(found.items()))


@cache
def by_phase() -> frozenset[str]:
    """The metrics that are measured before, during and after the faults, too."""
    checkers = [registry.find("checkers", word) for word in registry.names("checkers")]
    return frozenset(metric for checker in checkers if getattr(checker, "by_phase", False) for metric in checker.metrics)


def _expect() -> Any:
    """For each metric its bounds, which become one tuple of Expectation."""

    def bounds(metric: str, unit: str) -> Any:
        type_ = carrying(_UNIT_OF_METRIC[unit], float) if unit in _UNIT_OF_METRIC else Annotated[float, Field(ge=0)]
        bound = (type_, Field(default_factory=lambda: None))
        name = f"{registry.class_name(metric)}Bound"
        model = model_of(Expectation, base=_Bounded, without=("metric",), name=name, min=bound, max=bound)
        return or_many(becoming(lambda m: built(Expectation, m, metric=metric), model)), Field(default_factory=tuple)

    fields: dict[str, Any] = {metric: bounds(metric, unit) for metric, unit in metrics().items()}
    model: Any = create_model("Expect", __base__=_Metrics, __doc__=_Metrics.__doc__, **fields)
    return becoming(lambda m: tuple(chain.from_iterable(getattr(m, metric) for metric in fields)), model)


@cache
def file_model(*, needs_workload: bool = True) -> Any:
    """The model of a whole scenario file, made when first needed."""

    def part(cls: type[Any]) -> Any:
        return becoming(lambda model: built(cls, model), model_of(cls)), Field(default_factory=cls)

    workload: dict[str, Any] = {} if needs_workload else {"default_factory": tuple}
    fields: dict[str, Any] = {
        "title": (NotEmpty, Field(description="the question, in a sentence")),
        "topology": (_use("topologies"), Field(description="the system under test: a word, or `use: word` with its options")),
        "workload": (or_many(_use("workloads")), Field(description="what clients ask: one workload or a list", **workload)),
        "steady_state": part(SteadyState),
        "faults": (many(_fault()), Field(default_factory=tuple, description="what is broken on purpose, and until when")),
        "changes": (many(_change()), Field(default_factory=tuple, description="what is changed as an operator would, and when")),
        "expect": (_expect(), Field(default_factory=tuple, description="the bounds, written before the run")),
        "images": (dict[str, NotEmpty], Field(default_factory=dict, description="images to use instead, by server family")),
        "path": (Literal["direct", "toxiproxy"], Field(default="direct", description="what every client's path leads through")),
        "max_runtime": (
            carrying(SECONDS, MoreThanNone),
            Field(default_factory=lambda: 600, json_schema_extra={"default": "600s"}),
        ),
        "claim": (
            or_many(becoming(lambda model: built(Claim, model), model_of(Claim))),
            Field(default_factory=tuple, description="what this puts to the test, by id, and why it would show"),
        ),
        "markers": (tuple[Word, ...], Field(default_factory=tuple, description="pytest markers")),
        "recovery": part(Recovery),
        "abort_if": part(AbortIf),
        "repeat": (
            becoming(lambda model: built(Repeat, model), model_of(Repeat)),
            Field(default_factory=lambda: None, description="run it again and again, until the figures are sure enough"),
        ),
    }
    what = "One question about one system: what is broken, under which load, and what must hold."
    return create_model("Scenario", __base__=Strict, __doc__=what, **fields)
