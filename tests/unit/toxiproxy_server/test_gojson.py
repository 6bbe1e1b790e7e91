"""Does the reader of bodies take and refuse what Go's does, in its words?"""

from __future__ import annotations

import pytest

from harness.toxiproxy_server import gojson


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"1", 1),
        (b' {"a": [true]}', {"a": [True]}),
        (b"1 and what follows", 1),
        (b'"\xff"', "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_the_first_value_counts(body: bytes, value: object) -> None:
    """What follows it is not looked at."""
    assert gojson.first_value(body) == value


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "EOF"),
        (b" \n", "EOF"),
        (b'{"a"', "unexpected EOF"),
        (b'{"a": "b', "unexpected EOF"),
        (b"tru", "unexpected EOF"),
        (b"{a}", "invalid character 'a' looking for beginning of object key string"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b'{"a":{"b":[1]} x}', "invalid character 'x' after object key:value pair"),
        (b'["}{", 1 2]', "invalid character '2' after array element"),
        (b"nothing", "invalid character 'o' in literal null (expecting 'u')"),
        (b"NaN", "invalid character 'N' looking for beginning of value"),
        (b"'a'", r"invalid character '\'' looking for beginning of value"),
        (b'"a\nb"', r"invalid character '\n' in string literal"),
        (b'"\\q"', "invalid character 'q' in string escape code"),
        (b"[" * 100_000, "exceeded max depth"),
    ],
)
def test_what_is_no_json_is_refused_in_gos_words(body: bytes, complaint: str) -> None:
    """Up to the character at which it stopped."""
    with pytest.raises(gojson.Unreadable) as refused:
        gojson.first_value(body)
    assert str(refused.value) == complaint


@pytest.mark.parametrize(
    ("type_", "value", "refused"),
    [
        ("string", 1, "number"),
        ("bool", 1, "number"),
        ("int64", True, "bool"),
        ("int64", 1.5, "number 1.5"),
        ("int64", 2**63, "number 9223372036854775808"),
        ("int", [], "array"),
        ("float32", 1e39, "number 1e+39"),
        ("float32", False, "bool"),
        ("toxics.NoopToxic", "x", "string"),
    ],
)
def test_a_field_of_another_type_is_refused(type_: str, value: object, refused: str) -> None:
    """By its place and the type that was wanted."""
    with pytest.raises(gojson.Unreadable) as error:
        gojson.fields({"Field": value}, {"field": type_}, "value of type toxics.T", "T")
    assert str(error.value) == f"json: cannot unmarshal {refused} into Go struct field T.field of type {type_}"


def test_null_and_what_nobody_knows_are_left_out() -> None:
    """Names match in any case."""
    given = {"KNOWN": 1, "unknown": 2, "empty": None}
    assert gojson.fields(given, {"known": "int", "empty": "int"}, "value of type T") == {"known": 1}
    assert gojson.fields(None, {"known": "int"}, "value of type T") == {}
    assert gojson.entries(None, "[]T") == []
