"""What does a YAML file hold, as plain values, and where was each written?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from harness.errors import Place, UsageError

Steps = tuple[str | int, ...]  # the keys and indices that lead to a value: ("faults", 0, "target")

_MAX_BYTES = 256 * 1024
_MAX_DEPTH = 20
_MAX_VALUES = 10_000  # after aliases were followed
_TAG = "tag:yaml.org,2002:"


def read(path: Path) -> str:
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


class Document:
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
