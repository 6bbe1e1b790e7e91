"""How is a dataclass written in a scenario file, and which model reads it from there?

What an option is called, which type and unit it has and whether it must be there is read off the dataclass: a field
`delay_ms` is the option `delay`, and its value carries the unit (`100ms`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, ClassVar, NamedTuple, Union, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from harness import conditions, registry, targets, units
from harness.conditions import Condition
from harness.protocols import Part
from harness.targets import Target

_NUMBER = r"\d+(\.\d+)?"
_DURATION = rf"^{_NUMBER}\s*(us|ms|s|m|min|h)$"
_BYTES = rf"^{_NUMBER}\s*[kMG]?(B|bit)/s$"
_RATE = rf"^{_NUMBER}\s*/\s*(s|min)$"
PERCENTAGE = r"(100(\.0+)?|\d?\d(\.\d+)?)\s*%"
_SHARE = rf"^{PERCENTAGE}$"


class Unit(NamedTuple):
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


SECONDS = Unit("_s", _scaled(units.seconds, 1), "{:g}s", _DURATION, "5s")
SHARES = Unit("_share", units.share, "{:g}%", _SHARE, "99.9%")
_UNITS = (  # the first suffix that fits counts
    Unit("_bytes_per_s", _scaled(units.bytes_per_second, 1), "{:g}B/s", _BYTES, "10MB/s"),
    Unit("_per_s", _scaled(units.per_second, 1), "{:g}/s", _RATE, "600/s"),
    Unit("_ms", _scaled(units.seconds, 1e3), "{:g}ms", _DURATION, "100ms"),
    Unit("_us", _scaled(units.seconds, 1e6), "{:g}us", _DURATION, "50us"),
    SECONDS,
    SHARES,
)


def text_of(pattern: str, *examples: str) -> WithJsonSchema:
    """As annotation: editors are told of a text like this, whatever becomes of it."""
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


def carrying(unit: Unit, type_: Any) -> Any:
    """`type_`, its value read from a text that carries the unit."""
    return Annotated[type_, BeforeValidator(unit.read), text_of(unit.pattern, unit.example)]


# How a topology inside another is written, given by the models, which know all of them: `elasticache-memcached`, or a mapping.
INSIDE: dict[type[Any], Callable[[], Any]] = {}
# Values of our own that a file writes as a text.
_AS_TEXT = {
    Target: Annotated[str, AfterValidator(targets.parse), text_of(targets.PATTERN, *targets.EXAMPLES)],
    Condition: Annotated[str, AfterValidator(conditions.parse), text_of(conditions.PATTERN, *conditions.OF_CLUSTER)],
}


class Untitled(GenerateJsonSchema):
    """Leaves out the titles that would only say each name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 (pydantic's signature)
        return False


class Strict(BaseModel):
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


def options(cls: type[Any]) -> dict[str, dict[str, Any]]:
    """The options of a fault, topology or workload as a file writes them: name → its JSON Schema.

    An option that must be given has `required: true` there, any other its `default`, written with its unit.
    """
    described = model_of(cls).model_json_schema(schema_generator=Untitled)
    required = described.get("required", ())
    return {name: {**about, "required": name in required} for name, about in described.get("properties", {}).items()}


def fields_of(cls: Any) -> Iterator[dataclasses.Field[Any]]:
    """The fields that a file may set: what a class makes for itself (its passwords) is no option."""
    return (option for option in dataclasses.fields(cls) if option.init)


def names_itself(kind: str, word: str) -> bool:
    """Whether an option has the word of what it is an option of: `locustfile: mine.py` needs no `use: locustfile`."""
    return word in (option.name for option in fields_of(registry.find(kind, word)))


def model_of(*classes: type[Any], base: type[Strict] = Strict, without: Sequence[str] = (), name: str = "", **more: Any) -> Any:
    """The model of some dataclasses' options, `more` fields first; the last class describes it, or `base` one with a `name`."""
    found: dict[str, Any] = dict(more)
    keys = set(more)
    for cls in classes:
        hints = get_type_hints(cls, include_extras=True)
        for option in fields_of(cls):
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
    annotation = carrying(unit, type_) if unit else _AS_TEXT.get(type_, type_)
    annotation = INSIDE[type_]() if type_ in INSIDE else annotation
    if option.default is dataclasses.MISSING and option.default_factory is dataclasses.MISSING:
        return alias, (annotation, Field(alias=alias))
    default: Callable[[], Any] = (
        option.default_factory if option.default_factory is not dataclasses.MISSING else lambda: option.default
    )
    # A factory, since pydantic would publish the value itself as the default: 5, where a file must say 5s.
    return alias, (annotation, Field(alias=alias, default_factory=default, json_schema_extra=_shown(option, default(), unit)))


def as_written(instance: Any) -> dict[str, Any]:
    """An instance's options as a file would write them, each duration, rate and share with its unit."""
    written = {}
    for option in fields_of(instance):
        unit = next((unit for unit in _UNITS if option.name.endswith(unit.suffix)), None)
        value = getattr(instance, option.name)
        if value is not None:
            key = option.name.removesuffix(unit.suffix) if unit else option.name
            inside = {"use": value.use, **as_written(value.topology)} if isinstance(value, Part) else value
            written[key] = _shown(option, inside, unit).get("default", inside)
    return written


def _never_none(type_: Any) -> Any:
    """`X | None` → `X`: an option is left out, it is not given as nothing."""
    if get_origin(type_) not in (Union, UnionType) or type_ in _AS_TEXT:
        return type_
    return Union[tuple(part for part in get_args(type_) if part is not type(None))]  # noqa: UP007 (parts are known at run time)


def _shown(option: dataclasses.Field[Any], default: Any, unit: Unit | None) -> dict[str, Any]:
    """The default as a file would write it (its field's metadata may say); none for what has no words in a file."""
    if default is None or default == "":
        return {}
    if "shown" in option.metadata:
        return {"default": option.metadata["shown"]}
    if unit:
        return {"default": unit.shown.format(default * 100 if unit is SHARES else default)}
    return {"default": list(default) if isinstance(default, tuple) else default}


def built(cls: type[Any], model: Any, **more: Any) -> Any:
    """The dataclass of a validated model; `more` are the fields that the file does not hold."""
    read = {option.name: getattr(model, option.name) for option in fields_of(cls) if option.name not in more}
    return cls(**read, **more)


def becoming(build: Callable[[Any], Any], model: Any) -> Any:
    """`model`, made a value of our own once it is valid; a ValueError of that is a problem of the mapping."""
    return Annotated[model, AfterValidator(build)]


def many(type_: Any) -> Any:
    return tuple[type_, ...]


@dataclass(frozen=True)
class OneOf:
    """As annotation: a mapping whose `key` names by its word which of the choices it is.

    Without `key`, a mapping is the one of the choices `selves` whose word is one of its keys.
    """

    key: str
    choices: Mapping[str, Any]
    selves: Sequence[str] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {f"~{word}": handler.generate_schema(choice) for word, choice in self.choices.items()}
        return core_schema.tagged_union_schema(choices, self._tag)  # the ~ keeps tags and keys apart in a problem's path

    def _tag(self, value: Any) -> str:
        if isinstance(value, dict) and self.key not in value:
            return f"~{next((word for word in self.selves if word in value), None)}"
        return f"~{value[self.key] if isinstance(value, dict) else value}"


@dataclass(frozen=True)
class Or:
    """As annotation: editors may offer a shorter form, too, which a validator makes the longer one of."""

    short: Callable[[dict[str, Any]], dict[str, Any]]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        long = handler(core)
        return {"anyOf": [self.short(long), long]}


def or_many(type_: Any) -> Any:
    """One value of a type, or a list of at least one: either way a tuple."""
    return Annotated[
        many(type_),
        Field(min_length=1),
        BeforeValidator(lambda value: value if isinstance(value, tuple) else (value,)),
        Or(lambda many: dict(many["items"])),
    ]
