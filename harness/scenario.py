"""What does this scenario file ask, and is it a question that a run can answer?

A file becomes frozen values, or one line per problem, `file:line:column: what is wrong; what would be right`.
What an option is called, which type and unit it has and whether it must be there is read off the dataclasses of
faults, topologies, workloads and of this module: a field `delay_ms` is the option `delay`, and its value carries
the unit (`100ms`). Validation and the JSON Schema for editors are made from the same models.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from graphlib import CycleError, TopologicalSorter
from ipaddress import IPv4Network
from itertools import chain
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

from harness import conditions, registry, targets, units
from harness.conditions import Condition
from harness.errors import Place, UsageError, suggestion
from harness.layout import Plan, client_nodes
from harness.protocols import NodeSpec, Topology
from harness.targets import Target

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

# --- a scenario as values -------------------------------------------------------------------------------------


def _at_least(value: object) -> float:
    """`>= 99.9%` → 0.999."""
    return units.share(value.strip().removeprefix(">=").strip() if isinstance(value, str) else value)


def _one_word(text: str) -> str:
    if not re.fullmatch(conditions.FAULT_ID, text):
        raise ValueError(f"'{text}' is not one word; use letters, digits, '-' and '_'")
    return text


_NUMBER = r"\d+(\.\d+)?"
_DURATION = rf"^{_NUMBER}\s*(us|ms|s|m|min|h)$"
_RATE = rf"^{_NUMBER}\s*/\s*(s|min)$"
_PERCENTAGE = r"(100(\.0+)?|\d?\d(\.\d+)?)\s*%"
_SHARE = rf"^{_PERCENTAGE}$"
_LOWER_SHARE = rf"^(>=\s*)?{_PERCENTAGE}$"

AtLeast = Annotated[
    float, BeforeValidator(_at_least), WithJsonSchema({"type": "string", "pattern": _LOWER_SHARE, "examples": [">= 99.9%"]})
]
Word = Annotated[
    str,
    AfterValidator(_one_word),
    WithJsonSchema({"type": "string", "pattern": f"^{conditions.FAULT_ID}$", "examples": ["smoke"]}),
]
NotEmpty = Annotated[str, Field(min_length=1)]
MoreThanNone = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class Use:
    """A topology or a workload: its word, and an instance of its dataclass."""

    use: str
    options: Any


@dataclass(frozen=True)
class SteadyState:
    """The bounds (shares from 0 to 1) that must hold for `for_s` seconds before the first fault."""

    for_s: MoreThanNone = 5
    write_success: AtLeast = 0.999
    read_success: AtLeast = 0.999


@dataclass(frozen=True)
class Recovery:
    """For how many seconds service must be stable to count as recovered, and how long a run waits for it."""

    stable_for_s: MoreThanNone = 5
    at_most_s: MoreThanNone = 120


@dataclass(frozen=True)
class FaultPlan:
    """One fault: what, on which target, from when to when. Times are seconds.

    It starts `at_s` after the steady state was reached, or `at_s` after the fault `after` was healed, or once `when`
    is true. It ends after `for_s`, or once `until` is true but no later than `at_most_s` after it was injected.
    """

    kind: str
    fault: Any
    target: Target
    id: Word = ""
    at_s: float | None = None
    after: str | None = None
    when: Condition | None = None
    for_s: MoreThanNone | None = None
    until: Condition | None = None
    at_most_s: MoreThanNone | None = None


@dataclass(frozen=True)
class Expectation:
    """A bound on a metric, in its base unit: seconds, share from 0 to 1, or count.

    `during` is `before`, `fault` or `after`, None for the metric's headline.
    """

    metric: str
    min: float | None = None
    max: float | None = None
    during: Literal["before", "fault", "after"] | None = None
    because: NotEmpty | None = None

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ValueError(f"{self.metric} has neither min nor max: write {{max: …}} or {{min: …}}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min of {self.metric} is more than its max: nothing can be both")


@dataclass(frozen=True)
class Scenario:
    """One question about one system.

    `name` is the file's path below its folder `scenarios`, without suffix; `text` is the file as it was read.
    `images` replaces the image of a server family; `path_through` is what clients' paths lead through.
    """

    name: str
    path: Path
    text: str
    title: str
    topology: Use
    workloads: tuple[Use, ...]
    steady_state: SteadyState = SteadyState()
    faults: tuple[FaultPlan, ...] = ()
    expect: tuple[Expectation, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    path_through: Literal["direct", "toxiproxy"] = "direct"
    max_runtime_s: float = 600
    markers: tuple[str, ...] = ()
    recovery: Recovery = Recovery()


def load(path: Path) -> Scenario:
    """Reads a scenario file.

    Raises UsageError, one line `file:line:column: …` per problem, for a file that is no scenario or asks for
    something that cannot be.
    """
    text = _read(path)
    document = _Document(path, text)
    try:
        raw: Any = _file_model().model_validate(document.value)
    except ValidationError as problems:
        raise UsageError("\n".join(_in_our_words(document, problems))) from None
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
    contradictions = [f"{document.place(steps, key)}: {what}" for steps, key, what in _contradictions(scenario)]
    if contradictions:
        raise UsageError("\n".join(contradictions))
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


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a scenario file, with which editors complete and check it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_file_model().model_json_schema(schema_generator=_Untitled),
    }


def options(cls: type[Any]) -> dict[str, dict[str, Any]]:
    """The options of a fault, topology or workload as a file writes them: name → its JSON Schema.

    An option that must be given has `required: true` there, any other its `default`, written with its unit.
    """
    described = _model(cls).model_json_schema(schema_generator=_Untitled)
    required = described.get("required", ())
    return {name: {**about, "required": name in required} for name, about in described.get("properties", {}).items()}


def _options(cls: Any) -> Iterator[dataclasses.Field[Any]]:
    """The fields that a file may set: what a class makes for itself (its passwords) is no option."""
    return (option for option in dataclasses.fields(cls) if option.init)


def _given(instance: Any) -> dict[str, Any]:
    """An instance's options, in base units."""
    return {option.name: getattr(instance, option.name) for option in _options(instance)}


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


# --- YAML → plain values, and where each was written -----------------------------------------------------------

Steps = tuple[str | int, ...]  # the keys and indices that lead to a value: ("faults", 0, "target")

_MAX_BYTES = 256 * 1024
_MAX_DEPTH = 20
_MAX_VALUES = 10_000  # after aliases were followed
_TAG = "tag:yaml.org,2002:"


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as problem:
        raise UsageError(f"{path}: cannot be read: {problem.strerror}") from None
    if len(raw) > _MAX_BYTES:
        raise UsageError(f"{Place(str(path), 1, 1)}: {len(raw)} bytes are too many for a scenario (at most {_MAX_BYTES})")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        before = raw[: problem.start]
        place = Place(str(path), before.count(b"\n") + 1, problem.start - before.rfind(b"\n"))
        raise UsageError(f"{place}: byte 0x{raw[problem.start]:02x} is not UTF-8; a scenario is a text file in UTF-8") from None


class _Document:
    """A YAML file as plain values, each with its place.

    Raises UsageError at the first thing that is not plain YAML with every key once.
    """

    def __init__(self, path: Path, text: str) -> None:
        self._path = str(path)
        self._places: dict[Steps, tuple[Place, Place]] = {}
        self._budget = _MAX_VALUES
        try:
            self._refuse_depth(text)
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.reader.ReaderError as problem:
            before = text[: problem.position]
            place = Place(self._path, before.count("\n") + 1, problem.position - before.rfind("\n"))
            raise UsageError(f"{place}: character #x{ord(text[problem.position]):04x} may not be in a text file") from None
        except yaml.MarkedYAMLError as problem:
            what = ", ".join(part for part in (problem.problem, problem.context) if part)
            raise self._stop(problem.problem_mark or problem.context_mark, f"no valid YAML: {what}") from None
        if node is None:
            raise UsageError(f"{Place(self._path, 1, 1)}: the file is empty; a scenario needs title, topology and workload")
        self.value = self._plain(node, ())

    def known(self, steps: Iterable[str | int]) -> Steps:
        """The steps that are in the file; others (a list that was written as one value, a model's name) are passed over."""
        at: Steps = ()
        for step in steps:
            if (*at, step) in self._places:
                at = (*at, step)
        return at

    def place(self, steps: Iterable[str | int], key: bool = False) -> Place:
        """Where the value at the known ones of `steps` (or its key) was written."""
        return self._places[self.known(steps)][0 if key else 1]

    def _stop(self, mark: Any, what: str) -> UsageError:
        return UsageError(f"{self._at(mark)}: {what}")

    def _at(self, mark: Any) -> Place:
        return Place(self._path, mark.line + 1, mark.column + 1)

    def _refuse_depth(self, text: str) -> None:
        """Before composing, which calls itself once per level."""
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise self._stop(event.start_mark, f"nested more than {_MAX_DEPTH} levels deep; no scenario needs that")

    def _plain(self, node: yaml.Node, at: Steps, key: Place | None = None) -> Any:
        place = self._at(node.start_mark)
        self._places[at] = (key or place, place)
        self._budget -= 1
        if self._budget < 0 or len(at) > _MAX_DEPTH:
            grown = self._places[at[:1]][0]  # the key of the file that it happens below: aliases have no place of their own
            raise UsageError(f"{grown}: stands for more than {_MAX_VALUES} values once its aliases are followed")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self._plain(item, (*at, index)) for index, item in enumerate(node.value))
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, at: Steps) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._stop(key.start_mark, "a key must be a word")
            if key.value in plain:
                first = self.place((*at, key.value), key=True).line
                raise self._stop(key.start_mark, f"the key '{key.value}' is here twice; it is first on line {first}")
            plain[key.value] = self._plain(value, (*at, key.value), self._at(key.start_mark))
        return plain

    def _scalar(self, node: yaml.Node) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if kind in ("str", "timestamp"):
            return node.value
        if kind not in ("int", "float", "bool", "null"):
            tag = node.tag.replace(_TAG, "!!")
            raise self._stop(node.start_mark, f"the tag '{tag}' has no meaning in a scenario; leave it out")
        try:
            return yaml.constructor.SafeConstructor().construct_object(node)
        except ValueError:
            raise self._stop(node.start_mark, f"'{node.value:.40}' is no number") from None


# --- dataclasses → models --------------------------------------------------------------------------------------


class _Unit(NamedTuple):
    """How the fields with one suffix are written: `read` gives the field's own unit, `shown` formats a default."""

    suffix: str
    read: Callable[[object], float]
    shown: str
    pattern: str
    example: str


def _scaled(parse: Callable[[object], float], scale: float) -> Callable[[object], float]:
    def read(value: object) -> float:
        number = round(parse(value) * scale, 9)
        return int(number) if number.is_integer() else number  # a strict int takes no 3.0

    return read


_SECONDS = _Unit("_s", _scaled(units.seconds, 1), "{:g}s", _DURATION, "5s")
_SHARES = _Unit("_share", units.share, "{:g}%", _SHARE, "99.9%")
_UNITS = (  # the first suffix that fits counts
    _Unit("_per_s", _scaled(units.per_second, 1), "{:g}/s", _RATE, "600/s"),
    _Unit("_ms", _scaled(units.seconds, 1e3), "{:g}ms", _DURATION, "100ms"),
    _Unit("_us", _scaled(units.seconds, 1e6), "{:g}us", _DURATION, "50us"),
    _SECONDS,
    _SHARES,
)
_UNIT_OF_METRIC = {"s": _SECONDS, "share": _SHARES}


def _text(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


def _carrying(unit: _Unit, type_: Any) -> Any:
    """`type_`, its value read from a text that carries the unit."""
    return Annotated[type_, BeforeValidator(unit.read), _text(unit.pattern, unit.example)]


# Values of our own that a file writes as a text.
_AS_TEXT = {
    Target: Annotated[str, AfterValidator(targets.parse), _text(targets.PATTERN, *targets.EXAMPLES)],
    Condition: Annotated[str, AfterValidator(conditions.parse), _text(conditions.PATTERN, *conditions.OF_CLUSTER)],
}


class _Untitled(GenerateJsonSchema):
    """Leaves out the titles that would only say each name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class _Strict(BaseModel):
    """Takes each value as it is written, and no key that it does not know."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    unknown: ClassVar[str] = "unknown key"

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, value: Any) -> Any:
        """Alone: what else is wrong with a mapping often only follows from its misspelt key."""
        known = [info.alias or name for name, info in cls.model_fields.items()]
        keys = [key for key in value if key not in known] if isinstance(value, dict) else []
        if keys:
            raise PydanticCustomError("unknown_keys", "{what}", {"what": cls.unknown, "keys": keys, "known": known})
        return value


class _Metrics(_Strict):
    """What must hold for the run to pass: for a metric its bound, or a list of bounds at different times."""

    unknown: ClassVar[str] = "no metric called"


class _Timed(_Strict):
    """When a fault starts and ends is a matter of several keys."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                {
                    "oneOf": [
                        {"required": ["at"], "not": {"required": ["after"]}},
                        {"required": ["after"]},
                        {"required": ["when"]},
                    ]
                },
                {
                    "oneOf": [
                        {"required": ["for"], "not": {"anyOf": [{"required": ["until"]}, {"required": ["at_most"]}]}},
                        {"required": ["until", "at_most"], "not": {"required": ["for"]}},
                    ]
                },
            ]
        }
    )


class _Bounded(_Strict):
    """A bound on a metric: `min`, `max` or both. `during` is a phase, without it the metric's headline is meant."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["min"]}, {"required": ["max"]}]})


def _model(*classes: type[Any], base: type[_Strict] = _Strict, without: Sequence[str] = (), name: str = "", **more: Any) -> Any:
    """The model of some dataclasses' options, `more` fields first; the last class describes it, or `base` one with a `name`."""
    found: dict[str, Any] = dict(more)
    keys = set(more)
    for cls in classes:
        hints = get_type_hints(cls, include_extras=True)
        for option in _options(cls):
            if option.name in (*more, *without):
                continue
            key, found[option.name] = _option(option, hints[option.name])
            if key in keys:
                raise TypeError(f"{cls.__name__}.{option.name} cannot be an option: '{key}' has a meaning already")
            keys.add(key)
    described = base if name else classes[-1]
    return create_model(name or described.__name__, __base__=base, __doc__=described.__doc__, **found)


def _option(option: dataclasses.Field[Any], type_: Any) -> tuple[str, Any]:
    """A field's key in a file, and its field in a model."""
    unit = next((unit for unit in _UNITS if option.name.endswith(unit.suffix)), None)
    alias = option.name.removesuffix(unit.suffix) if unit else option.name
    type_ = _never_none(type_)
    if type_ in (int, float):
        type_ = Annotated[type_, Field(ge=0)]  # a number of things; an option that may be negative says so itself
    annotation = _carrying(unit, type_) if unit else _AS_TEXT.get(type_, type_)
    if option.default is dataclasses.MISSING and option.default_factory is dataclasses.MISSING:
        return alias, (annotation, Field(alias=alias))
    default: Callable[[], Any] = (
        option.default_factory if option.default_factory is not dataclasses.MISSING else lambda: option.default
    )
    # A factory, since pydantic would publish the value itself as the default: 5, where a file must say 5s.
    return alias, (annotation, Field(alias=alias, default_factory=default, json_schema_extra=_shown(default(), unit)))


def _never_none(type_: Any) -> Any:
    """`X | None` → `X`: an option is left out, it is not given as nothing."""
    if get_origin(type_) not in (Union, UnionType) or type_ in _AS_TEXT:
        return type_
    return Union[tuple(part for part in get_args(type_) if part is not type(None))]  # noqa: UP007 (parts are known at run time)


def _shown(default: Any, unit: _Unit | None) -> dict[str, Any]:
    """The default as a file would write it; none for what has no words in a file."""
    if default is None or default == "":
        return {}
    if unit:
        return {"default": unit.shown.format(default * 100 if unit is _SHARES else default)}
    return {"default": list(default) if isinstance(default, tuple) else default}


def _built(cls: type[Any], model: Any, **more: Any) -> Any:
    """The dataclass of a validated model; `more` are the fields that the file does not hold."""
    read = {option.name: getattr(model, option.name) for option in _options(cls) if option.name not in more}
    return cls(**read, **more)


def _becoming(build: Callable[[Any], Any], model: Any) -> Any:
    """`model`, made a value of our own once it is valid; a ValueError of that is a problem of the mapping."""
    return Annotated[model, AfterValidator(build)]


def _many(type_: Any) -> Any:
    return tuple[type_, ...]


@dataclass(frozen=True)
class _OneOf:
    """As annotation: a mapping whose `key` names by its word which of the choices it is."""

    key: str
    choices: Mapping[str, Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {f"~{word}": handler.generate_schema(choice) for word, choice in self.choices.items()}
        return core_schema.tagged_union_schema(choices, self._tag)  # the ~ keeps tags and keys apart in a problem's path

    def _tag(self, value: Any) -> str:
        return f"~{value.get(self.key) if isinstance(value, dict) else value}"


@dataclass(frozen=True)
class _Or:
    """As annotation: editors may offer a shorter form, too, which a validator makes the longer one of."""

    short: Callable[[dict[str, Any]], dict[str, Any]]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        long = handler(core)
        return {"anyOf": [self.short(long), long]}


def _or_many(type_: Any) -> Any:
    """One value of a type, or a list of at least one: either way a tuple."""
    return Annotated[
        _many(type_),
        Field(min_length=1),
        BeforeValidator(lambda value: value if isinstance(value, tuple) else (value,)),
        _Or(lambda many: dict(many["items"])),
    ]


def _use(kind: str) -> Any:
    """`use: word` with its options, or the word alone."""

    def choice(word: str) -> Any:
        cls = registry.find(kind, word)
        return Annotated[
            _becoming(lambda model: Use(word, _built(cls, model)), _model(cls, use=(Literal[word], ...))),
            BeforeValidator(lambda value: {"use": value} if isinstance(value, str) else value),
            _Or(lambda _: {"const": word}),
        ]

    return Annotated[Any, _OneOf("use", {word: choice(word) for word in registry.names(kind)})]


def _fault() -> Any:
    """`inject: word` with target, timing and the fault's own options."""

    def choice(word: str) -> Any:
        cls = registry.find("faults", word)
        model = _model(FaultPlan, cls, base=_Timed, without=("kind", "fault"), inject=(Literal[word], ...))
        return _becoming(lambda m: _built(FaultPlan, m, kind=word, fault=_built(cls, m)), model)

    return Annotated[Any, _OneOf("inject", {word: choice(word) for word in registry.names("faults")})]


@cache
def metrics() -> Mapping[str, str]:
    """Every metric that some checker measures, with its unit: `s`, `share` or `count`."""
    found: dict[str, str] = {}
    for word in registry.names("checkers"):
        found.update(registry.find("checkers", word).metrics)
    return dict(sorted(found.items()))


def _expect() -> Any:
    """For each metric its bounds, which become one tuple of Expectation."""

    def bounds(metric: str, unit: str) -> Any:
        type_ = _carrying(_UNIT_OF_METRIC[unit], float) if unit in _UNIT_OF_METRIC else Annotated[float, Field(ge=0)]
        bound = (type_, Field(default_factory=lambda: None))
        name = f"{registry.class_name(metric)}Bound"
        model = _model(Expectation, base=_Bounded, without=("metric",), name=name, min=bound, max=bound)
        return _or_many(_becoming(lambda m: _built(Expectation, m, metric=metric), model)), Field(default_factory=tuple)

    fields: dict[str, Any] = {metric: bounds(metric, unit) for metric, unit in metrics().items()}
    model: Any = create_model("Expect", __base__=_Metrics, __doc__=_Metrics.__doc__, **fields)
    return _becoming(lambda m: tuple(chain.from_iterable(getattr(m, metric) for metric in fields)), model)


@cache
def _file_model() -> Any:
    """The model of a whole scenario file, made when first needed: it knows every fault, topology and workload."""

    def part(cls: type[Any]) -> Any:
        return _becoming(lambda model: _built(cls, model), _model(cls)), Field(default_factory=cls)

    fields: dict[str, Any] = {
        "title": (NotEmpty, Field(description="the question, in a sentence")),
        "topology": (_use("topologies"), Field(description="the system under test: a word, or `use: word` with its options")),
        "workload": (_or_many(_use("workloads")), Field(description="what clients ask: one workload or a list")),
        "steady_state": part(SteadyState),
        "faults": (_many(_fault()), Field(default=(), description="what is broken on purpose, and until when")),
        "expect": (_expect(), Field(default=(), description="the bounds, written before the run")),
        "images": (dict[str, NotEmpty], Field(default_factory=dict, description="images to use instead, by server family")),
        "path": (Literal["direct", "toxiproxy"], Field(default="direct", description="what every client's path leads through")),
        "max_runtime": (
            _carrying(_SECONDS, MoreThanNone),
            Field(default_factory=lambda: 600, json_schema_extra={"default": "600s"}),
        ),
        "markers": (tuple[Word, ...], Field(default=(), description="pytest markers")),
        "recovery": part(Recovery),
    }
    what = "One question about one system: what is broken, under which load, and what must hold."
    return create_model("Scenario", __base__=_Strict, __doc__=what, **fields)


# --- problems → our own words -----------------------------------------------------------------------------------

_WANTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_NAMES = {"topology": ("topologies", "use"), "workload": ("workloads", "use"), "faults": ("faults", "inject")}


def _in_our_words(document: _Document, problems: ValidationError) -> list[str]:
    """A line for each problem, in the order of the file."""
    found: list[tuple[Place, str]] = []
    wanted: dict[Steps, list[ErrorDetails]] = {}
    for error in problems.errors():
        steps = document.known(error["loc"])
        if error["type"] in _WANTED:
            wanted.setdefault(steps, []).append(error)
        else:
            found.extend((document.place((*steps, *rest), key), what) for rest, key, what in _reworded(error))
    for steps, errors in wanted.items():
        # A value that may be of several types has a problem for each; the one that got deepest is the one that was meant.
        if not any(other[: len(steps)] == steps and other != steps for other in wanted):
            types = dict.fromkeys(_WANTED[error["type"]] for error in errors)
            found.append((document.place(steps), f"expected {' or '.join(types)}, not {_shortly(errors[0]['input'])}"))
    return [f"{place}: {what}" for place, what in sorted(found, key=lambda line: (line[0].line, line[0].column))]


def _reworded(error: ErrorDetails) -> Iterator[tuple[Steps, bool, str]]:
    """What is wrong: the steps on from the error's own, whether the key is meant, and the words."""
    context: Mapping[str, Any] = error.get("ctx", {})
    match error["type"]:
        case "unknown_keys":
            for key in context["keys"]:
                yield (key,), True, f"{context['what']} '{key}'{suggestion(key, context['known'])}"
        case "missing":
            yield (), False, f"'{error['loc'][-1]}' is missing here"
        case "union_tag_invalid" | "union_tag_not_found":
            yield _no_such_word(str(error["loc"][0]), error["input"])
        case "literal_error":
            words = re.findall(r"'([^']*)'", context["expected"])
            close = difflib.get_close_matches(str(error["input"]), words, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            yield (), False, f"expected {context['expected']}, not {_shortly(error['input'])}{hint}"
        case "value_error":
            yield (), False, str(context["error"])
        case "greater_than":
            yield (), False, f"must be more than {context['gt']:g}"
        case "greater_than_equal":
            yield (), False, f"must be at least {context['ge']:g}"
        case "too_short" if error["input"]:
            pass  # it is not short: its items were wrong, which is said of them
        case "string_too_short" | "too_short":
            yield (), False, "must not be empty"
        case _:
            yield (), False, error["msg"][:1].lower() + error["msg"][1:]


def _no_such_word(where: str, value: Any) -> tuple[Steps, bool, str]:
    """What is wrong with a mapping whose word says which fault, topology or workload it is."""
    kind, key = _NAMES[where]
    if isinstance(value, dict) and key not in value:
        close = difflib.get_close_matches(key, value, n=1)
        if close:
            return (close[0],), True, f"unknown key '{close[0]}'; did you mean '{key}'?"
        return (), False, f"'{key}' is missing here{suggestion('', registry.names(kind))}"
    word = value[key] if isinstance(value, dict) else value
    if not isinstance(word, str):
        return (key,), False, f"expected a word, not {_shortly(word)}{suggestion('', registry.names(kind))}"
    try:
        registry.find(kind, word)
    except UsageError as problem:
        return (key,), False, str(problem)
    raise AssertionError(f"there is {word} among the {kind}, but the model of a scenario has it not")


def _shortly(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, tuple):
        return "a list"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"


# --- what no single value shows to be wrong ---------------------------------------------------------------------

Contradiction = tuple[Steps, bool, str]  # where, whether the key is meant rather than its value, and what

_SORTS = {"on_node": ("nodes",), "between": ("zones", "nodes"), "on_link": ("links",)}
_EXAMPLE = {"nodes": "writer", "zones": "zone of writer", "links": "clients"}


def _contradictions(scenario: Scenario) -> Iterator[Contradiction]:
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
            yield ("zones",), False, f"expected all or a list of zones, such as [{zones[0]}], not {_shortly(chosen)}"
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
