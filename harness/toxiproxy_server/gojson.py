"""How does Go read JSON, and in which words does it refuse what it cannot read?

Toxiproxy hands the words of Go's decoder on to its clients, so they are part of its API: the first value of a body
counts and what follows it does not, names of fields match in any case, null leaves a field as it was.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from typing import Any

_STRING = re.compile(r'"(?:\\.|[^"\\])*"')
_KINDS = ((bool, "bool"), (int, "number"), (float, "number"), (str, "string"), (list, "array"), (dict, "object"))
_GREATEST = float.fromhex("0x1.fffffep+127")  # in 32 bits
# What Python's parser found missing, and how Go says that of the character that it found instead.
_INSTEAD = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Expecting ':' delimiter": "after object key",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
}


class Unreadable(ValueError):
    """A body that Go's decoder would refuse, in its words."""


def first_value(body: bytes) -> Any:
    """The first JSON value of a body. Raises Unreadable."""
    text = body.decode(errors="replace").lstrip(" \t\r\n")
    if not text:
        raise Unreadable("EOF")
    try:
        return json.JSONDecoder(parse_constant=_no_constant).raw_decode(text)[0]
    except json.JSONDecodeError as error:
        raise Unreadable(_in_go(text, error)) from None
    except RecursionError:
        raise Unreadable("exceeded max depth") from None


def entries(value: object, into: str) -> list[Any]:
    """The entries of a list; null has none. Raises Unreadable."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise Unreadable(f"json: cannot unmarshal {_kind(value)} into Go value of type {into}")
    return value


def fields(value: object, types: Mapping[str, str], into: str, at: str = "") -> dict[str, Any]:
    """The known fields of an object, those that are null left out; `types` are Go's, by the fields' names.

    `into` is what Go would decode the object into, `at` what it puts before the name of a field. Raises Unreadable.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unreadable(f"json: cannot unmarshal {_kind(value)} into Go {into}")
    found = {}
    by_lower = {key.lower(): field for key, field in value.items()}
    for key, type_ in types.items():
        field = by_lower.get(key)
        if field is None:
            continue
        refused = _refused(field, type_)
        if refused:
            raise Unreadable(f"json: cannot unmarshal {refused} into Go struct field {at}.{key} of type {type_}")
        found[key] = float32(field) if type_ == "float32" else field
    return found


def float32(value: float) -> float:
    """What is left of a number in 32 bits, with no more digits than tell it apart from its neighbours."""
    (kept,) = struct.unpack("f", struct.pack("f", value))
    shortest = (float(f"{kept:.{digits}g}") for digits in range(1, 10))
    return next(number for number in shortest if struct.pack("f", number) == struct.pack("f", kept))


def _kind(value: object) -> str:
    """What Go calls a value."""
    return next(name for type_, name in _KINDS if isinstance(value, type_))


def _refused(field: object, type_: str) -> str:
    """What Go calls a value that does not fit the type; empty when it fits."""
    found = _kind(field)
    if type_ == "any":
        return ""
    if type_ in ("string", "bool"):
        return "" if found == type_ else found
    if type_ not in ("float32", "int", "int64"):
        return "" if found == "object" else found
    if isinstance(field, bool) or not isinstance(field, int | float):
        return found
    fits = abs(field) <= _GREATEST if type_ == "float32" else isinstance(field, int) and -(2**63) <= field < 2**63
    return "" if fits else f"number {json.dumps(field)}"


def _no_constant(word: str) -> None:
    """Python reads NaN and Infinity, Go does not."""
    raise Unreadable(f"invalid character '{word[0]}' looking for beginning of value")


def _in_go(text: str, error: json.JSONDecodeError) -> str:
    """The decoder's complaint about the character at which it stopped."""
    at = error.pos
    if error.msg.startswith("Unterminated string") or at >= len(text.rstrip()):
        return "unexpected EOF"
    if error.msg.startswith("Invalid \\escape"):  # Python points at the backslash, Go at what follows
        at += 1
    if error.msg.startswith("Illegal trailing comma"):  # newer Pythons point at the comma, Go at what follows
        at += len(text[at + 1 :]) - len(text[at + 1 :].lstrip()) + 1
        complaint = _INSTEAD["Expecting value" if text[at] == "]" else "Expecting property name enclosed in double quotes"]
    elif error.msg.startswith("Expecting ','"):
        complaint = f"after {'object key:value pair' if _opened(text[:at]) == '{' else 'array element'}"
    else:
        complaint = next(
            (said for found, said in _INSTEAD.items() if error.msg.startswith(found)), "looking for beginning of value"
        )
        for literal in ("true", "false", "null"):
            if text[at] == literal[0] and error.msg == "Expecting value":
                return _misspelt(text[at:], literal)
    return f"invalid character {_quoted(text[at])} {complaint}"


def _opened(text: str) -> str:
    """The bracket that is open at the end of a text."""
    open_: list[str] = []
    for character in _STRING.sub("", text):
        if character in "[{":
            open_.append(character)
        elif character in "]}":
            open_.pop()
    return open_[-1]


def _misspelt(text: str, literal: str) -> str:
    for found, wanted in zip(text, literal, strict=False):
        if found != wanted:
            return f"invalid character {_quoted(found)} in literal {literal} (expecting '{wanted}')"
    return "unexpected EOF"


def _quoted(character: str) -> str:
    return {"'": r"'\''", '"': "'\"'"}.get(character, f"'{json.dumps(character, ensure_ascii=False)[1:-1]}'")
