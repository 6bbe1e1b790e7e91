"""What does a YAML file hold, or who calls from Python give, as plain values, and where is each?"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import Place, UsageError

Steps = tuple[str | int, ...]  # the keys and indices that lead to a value: ("faults", 0, "target")

_MAX_BYTES = 256 * 1024
_MAX_DEPTH = 20
_MAX_VALUES = 10_000  # after aliases were followed
_MAX_DIGITS = 100
_TAG = "tag:yaml.org,2002:"


def read(path: Path) -> str:
    """The text of a scenario file. Raises UsageError for what is no text of a sensible size."""
    try:
        raw, size = _bytes(path)
    except OSError as problem:
        raise UsageError(f"{path}: cannot be read: {problem.strerror}") from None
    if size > _MAX_BYTES:
        raise UsageError(f"{Place(str(path), 1, 1)}: {size} bytes are too many for a scenario (at most {_MAX_BYTES})")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        before = raw[: problem.start]
        place = Place(str(path), before.count(b"\n") + 1, problem.start - before.rfind(b"\n"))
        raise UsageError(f"{place}: byte 0x{raw[problem.start]:02x} is not UTF-8; a scenario is a text file in UTF-8") from None


def _bytes(path: Path) -> tuple[bytes, int]:
    """What is in the file, and how much it is; no more than a scenario may hold is read."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):  # reading it may fail, wait for a writer, or never end
        raise UsageError(f"{path}: cannot be read: it is {_SORTS.get(stat.S_IFMT(about.st_mode), 'a device')}, not a file")
    with path.open("rb") as file:
        raw = file.read(_MAX_BYTES + 1)
    return raw, max(about.st_size, len(raw))


_SORTS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


class Document:
    """A YAML file as plain values, each with its place.

    Raises UsageError at the first thing that is not plain YAML with every key once.
    """

    def __init__(self, path: Path, text: str) -> None:
        self._path = str(path)
        self._places: dict[Steps, tuple[Place, Place]] = {}
        self._budget = _MAX_VALUES
        try:
            self._refuse_excess(text)
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

    def _refuse_excess(self, text: str) -> None:
        """Before composing, which calls itself once per level and keeps every value."""
        loader = yaml.SafeLoader(text)
        depth = values = 0
        try:
            while loader.check_event():
                event: Any = loader.get_event()  # type: ignore[no-untyped-call]
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                values += isinstance(event, yaml.NodeEvent)
                if depth > _MAX_DEPTH:
                    raise self._stop(event.start_mark, f"nested more than {_MAX_DEPTH} levels deep; no scenario needs that")
                if values > _MAX_VALUES:
                    raise self._stop(event.start_mark, f"more than {_MAX_VALUES} values; no scenario needs that")
        except (ValueError, OverflowError):  # PyYAML takes an escaped character, or a version, for a number of its own size
            raise self._stop(loader.get_mark(), "no valid YAML: a number that is out of range") from None

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
            self._refuse_control(key)
            if key.value in plain:
                first = self.place((*at, key.value), key=True).line
                raise self._stop(key.start_mark, f"the key {key.value[:60]!r} is here twice; it is first on line {first}")
            plain[key.value] = self._plain(value, (*at, key.value), self._at(key.start_mark))
        return plain

    def _scalar(self, node: yaml.Node) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if kind in ("str", "timestamp"):
            self._refuse_control(node)
            return node.value
        if kind not in ("int", "float", "bool", "null"):
            tag = node.tag.replace(_TAG, "!!")[:60]
            raise self._stop(node.start_mark, f"the tag {tag!r} has no meaning in a scenario; leave it out")
        try:
            if len(node.value) <= _MAX_DIGITS:
                return yaml.constructor.SafeConstructor().construct_object(node)
        except (ValueError, KeyError, IndexError):  # whatever PyYAML meets when a tag says that a word is a number
            pass
        raise self._stop(node.start_mark, f"{node.value[:40]!r} is no {_NAMED.get(kind, 'number')}")

    def _refuse_control(self, node: yaml.Node) -> None:
        """Escaped, too, such a character has no place in a title or a word: a terminal would obey it."""
        found = yaml.reader.Reader.NON_PRINTABLE.search(node.value)
        if found:
            raise self._stop(node.start_mark, f"character #x{ord(found[0]):04x} may not be in a text")


_NAMED = {"bool": "true or false", "null": "null"}


@dataclass(frozen=True, order=True)
class Argument:
    """A value's place among those that were given, and its name there: `target`, `faults[1].target`."""

    order: int
    name: str

    def __str__(self) -> str:
        return self.name


class Given:
    """Values that were given in memory, each with its name as its place.

    What was given as arguments of a call lies below the steps `below`; it is named from there on.
    """

    def __init__(self, values: Mapping[str, Any], below: Steps = ()) -> None:
        self._below = below
        self._order: dict[Steps, int] = {}
        self.value = self._plain(values, ())

    def known(self, steps: Iterable[str | int]) -> Steps:
        """As for a Document."""
        at: Steps = ()
        for step in steps:
            if (*at, step) in self._order:
                at = (*at, step)
        return at

    def place(self, steps: Iterable[str | int], key: bool = False) -> Argument:  # noqa: ARG002 (a key is where its value is)
        """The name of the known ones of `steps`; empty for the call, or the document, as a whole."""
        at = self.known(steps)
        shown = at[len(self._below) :] if at[: len(self._below)] == self._below else at
        name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in shown)
        return Argument(self._order[at], name.removeprefix("."))

    def _plain(self, value: Any, at: Steps) -> Any:
        self._order[at] = len(self._order)
        if isinstance(value, Mapping):
            for key in value:
                self._refuse_control(str(key), at)
            return {str(key): self._plain(item, (*at, str(key))) for key, item in value.items()}
        if isinstance(value, str):
            self._refuse_control(value, at)
            return value
        if isinstance(value, Sequence):
            return tuple(self._plain(item, (*at, index)) for index, item in enumerate(value))
        return value

    def _refuse_control(self, text: str, at: Steps) -> None:
        """A terminal would obey it, and no file could hold it."""
        found = yaml.reader.Reader.NON_PRINTABLE.search(text)
        if found:
            raise UsageError(f"{self.place(at)}: character #x{ord(found[0]):04x} may not be in a text".removeprefix(": "))
