"""Which faults, topologies, workloads, checkers and reporters are there?

`inject: reset_peer` means the class `ResetPeer` in `harness/faults/reset_peer.py`. Packages outside add
theirs by an entry point in the group `harness.faults` (…), its name the word, its value `module:Class`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from harness.errors import UsageError, suggestion

KINDS = ("faults", "topologies", "workloads", "checkers", "reporters", "changes")
# How a name is written in scenario files: `rds-multi-az`, but `reset_peer`.
_HYPHENATED = ("topologies",)


def class_name(word: str) -> str:
    """`reset_peer` → `ResetPeer`, `rds-multi-az` → `RdsMultiAz`."""
    return "".join(part.capitalize() for part in word.replace("-", "_").split("_"))


@cache
def _added(kind: str) -> dict[str, EntryPoint]:
    """What packages outside add, by word; looked for once, since it means to look through all that is installed."""
    return {entry.name: entry for entry in entry_points(group=f"harness.{kind}")}


@cache
def names(kind: str) -> tuple[str, ...]:
    """Every known word of a kind, sorted."""
    try:
        package = importlib.import_module(f"harness.{kind}")
    except ModuleNotFoundError:
        return ()
    own = {module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")}
    if kind in _HYPHENATED:
        own = {name.replace("_", "-") for name in own}
    return tuple(sorted(own | _added(kind).keys()))


@cache
def find(kind: str, word: str) -> type[Any]:
    """The class that a word of a kind means. Raises UsageError, with a suggestion, when there is none."""
    if word not in names(kind):
        singular = kind[:-3] + "y" if kind.endswith("ies") else kind[:-1]
        raise UsageError(f"no {singular} called '{word}'{suggestion(word, names(kind))}")
    if word in _added(kind):
        loaded: type[Any] = _added(kind)[word].load()
        return loaded
    module = importlib.import_module(f"harness.{kind}.{word.replace('-', '_')}")
    found: type[Any] = getattr(module, class_name(word))
    return found
