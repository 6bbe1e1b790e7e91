"""Which toxics are there, and what do their attributes say?

One toxic a file: type `reset_peer` means the class `ResetPeer` in `reset_peer.py`, a frozen dataclass of its
options, with the class of its stage as `stage`. Packages outside add theirs by an entry point in the group
`harness.toxiproxy_server.toxics`. On the wire the options have the names of Toxiproxy's attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields, replace
from typing import Any

from harness import registry
from harness.errors import UsageError

PACKAGE = "toxiproxy_server.toxics"


def attribute(name: str) -> Any:
    """An option, an integer of 0 unless said, that is called `name` on the wire."""
    return field(default=0, metadata={"attribute": name})


def of_type(type_: str) -> Any:
    """The options of a toxic type, all at their defaults. Raises UsageError when there is no such type."""
    return registry.find(PACKAGE, type_)()


def with_attributes(options: Any, attributes: Mapping[str, Any]) -> Any:
    """The options, changed where `attributes` says so; unknown names are passed over, as Toxiproxy does.

    Raises UsageError when a value is not a whole number.
    """
    changed = {}
    for option in fields(options):
        name = option.metadata["attribute"]
        value = attributes.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise UsageError(f"attribute '{name}' must be a whole number, not {value!r}")
        changed[option.name] = value
    return replace(options, **changed)


def to_attributes(options: Any) -> dict[str, int]:
    """The options under the names that they have on the wire."""
    return {option.metadata["attribute"]: getattr(options, option.name) for option in fields(options)}
