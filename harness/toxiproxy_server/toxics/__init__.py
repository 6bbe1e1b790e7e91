"""Which toxics are there, and what do their attributes say?

One toxic a file: type `reset_peer` means the class `ResetPeer` in `reset_peer.py`, a frozen dataclass of its
options, with the class of its stage as `stage`. Packages outside add theirs by an entry point in the group
`harness.toxiproxy_server.toxics`. On the wire the options have the names of Toxiproxy's attributes.
"""

from __future__ import annotations

from dataclasses import field, fields, replace
from typing import Any

from harness import registry
from harness.toxiproxy_server import gojson

PACKAGE = "toxiproxy_server.toxics"


def attribute(name: str, type_: str = "int64") -> Any:
    """An option, an integer of 0 unless said, that is called `name` on the wire and has this type in Toxiproxy."""
    return field(default=0, metadata={"attribute": name, "type": type_})


def of_type(type_: str) -> Any:
    """The options of a toxic type, all at their defaults. Raises UsageError when there is no such type."""
    return registry.find(PACKAGE, type_)()


def with_attributes(options: Any, attributes: object) -> Any:
    """The options, changed where `attributes` says so; unknown names are passed over, as Toxiproxy does.

    Raises gojson.Unreadable when a value is not a whole number.
    """
    named = {option.metadata["attribute"]: option for option in fields(options)}
    types = {name: option.metadata["type"] for name, option in named.items()}
    struct = f"{type(options).__name__}Toxic"
    found = gojson.fields(attributes, types, f"struct field .attributes of type toxics.{struct}", f"{struct}.attributes")
    return replace(options, **{named[name].name: value for name, value in found.items()})


def to_attributes(options: Any) -> dict[str, int]:
    """The options under the names that they have on the wire."""
    return {option.metadata["attribute"]: getattr(options, option.name) for option in fields(options)}
