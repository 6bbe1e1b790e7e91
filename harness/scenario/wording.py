"""What is wrong with a file, in our own words, and what would be right?"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from harness import registry
from harness.errors import UsageError, suggestion
from harness.scenario.document import Document, Given, Steps
from harness.scenario.fields import names_itself

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
_MAX_PROBLEMS, _MAX_LENGTH = 20, 1000
_ONE_LINE = {ord("\n"): "\\n", ord("\r"): "\\r", 0x85: "\\x85", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_NAMES = {
    "topology": ("topologies", "use"),
    "workload": ("workloads", "use"),
    "faults": ("faults", "inject"),
    "changes": ("changes", "change"),
}


def in_our_words(document: Document | Given, problems: ValidationError) -> list[str]:
    """A line for each problem, in the order of the document."""
    found: list[tuple[Any, str]] = []
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
            found.append((document.place(steps), f"expected {' or '.join(types)}, not {shortly(errors[0]['input'])}"))
    return [said(place, what) for place, what in sorted(found, key=lambda line: line[0])]


def said(place: object, what: str) -> str:
    """A problem with its place, which is empty when the whole call is meant."""
    return f"{place}: {what}".removeprefix(": ")


def refusal(path: Path | None, problems: Sequence[str]) -> UsageError:
    """One line for each problem; neither their number nor their length is the document's to choose."""
    lines = [line.translate(_ONE_LINE) for line in problems[:_MAX_PROBLEMS]]
    lines = [line if len(line) <= _MAX_LENGTH else f"{line[:_MAX_LENGTH]}…" for line in lines]
    if len(problems) > _MAX_PROBLEMS:
        lines.append(said(path or "", f"and {len(problems) - _MAX_PROBLEMS} problems more"))
    return UsageError("\n".join(lines))


def _reworded(error: ErrorDetails) -> Iterator[tuple[Steps, bool, str]]:
    """What is wrong: the steps on from the error's own, whether the key is meant, and the words."""
    context: Mapping[str, Any] = error.get("ctx", {})
    match error["type"]:
        case "unknown_keys":
            what, known = context["what"], context["known"]
            yield from (((key,), True, f"{what} '{key}'{suggestion(key, known)}") for key in context["keys"])
        case "missing":
            yield (), False, f"'{error['loc'][-1]}' is missing here"
        case "union_tag_invalid" | "union_tag_not_found":
            yield _no_such_word(str(error["loc"][0]), error["input"])
        case "literal_error":
            yield (), False, _no_such_choice(context["expected"], error["input"])
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


def _no_such_choice(expected: str, value: Any) -> str:
    close = difflib.get_close_matches(str(value), re.findall(r"'([^']*)'", expected), n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    return f"expected {expected}, not {shortly(value)}{hint}"


def _no_such_word(where: str, value: Any) -> tuple[Steps, bool, str]:
    """What is wrong with a mapping whose word says which fault, change, topology or workload it is."""
    kind, key = _NAMES[where]
    if isinstance(value, dict) and key not in value:
        for meant in (*(word for word in registry.names(kind) if names_itself(kind, word)), key):
            if close := difflib.get_close_matches(meant, value, n=1):
                return (close[0],), True, f"unknown key '{close[0]}'; did you mean '{meant}'?"
        return (), False, f"'{key}' is missing here{suggestion('', registry.names(kind))}"
    word = value[key] if isinstance(value, dict) else value
    if not isinstance(word, str):
        return (key,), False, f"expected a word, not {shortly(word)}{suggestion('', registry.names(kind))}"
    try:
        registry.find(kind, word)
    except UsageError as problem:
        return (key,), False, str(problem)
    if kind == "topologies":  # which alone may be inside one another
        return (key,), False, f"{word} has others inside itself, and cannot be inside another"
    raise AssertionError(f"there is {word} among the {kind}, but the model of a scenario has it not")


def shortly(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, tuple):
        return "a list"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"
