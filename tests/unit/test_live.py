"""What is shown while a cluster is broken is what its clients see, said once."""

from __future__ import annotations

import io
from collections.abc import Mapping

from rich.console import Console

from harness.live import Seen, Zone, changes, roles, table

HEALTHY = {"pg-a": "primary", "pg-b": "replica"}


def seen(silent_s: float | None, now: Mapping[str, str] = HEALTHY, **errors: int) -> Seen:
    return Seen({"az-a": Zone(silent_s, errors)}, now)


def said(*moments: Seen) -> list[str]:
    longest: dict[str, float] = {}
    return [line for before, now in zip((None, *moments), moments, strict=False) for line in changes(before, now, longest)]


def shown(moment: Seen) -> str:
    terminal = io.StringIO()
    console = Console(file=terminal, width=120)
    console.print(table(moment, {"az-a": 6.24}))
    console.print(roles(moment))
    return terminal.getvalue()


def test_an_outage_is_said_when_it_begins_and_when_it_ends_with_its_length() -> None:
    lines = said(seen(0.02), seen(1.1), seen(5.5), seen(0.01), seen(0.02))
    assert lines == ["clients in az-a cannot write", "clients in az-a can write again, after about 5.5 s"]


def test_a_second_outage_is_said_again() -> None:
    assert said(seen(2), seen(0), seen(3), seen(0))[2:] == [
        "clients in az-a cannot write",
        "clients in az-a can write again, after about 3.0 s",
    ]


def test_a_client_that_has_not_begun_yet_is_not_an_outage() -> None:
    assert said(seen(None), seen(None), seen(0.01)) == []


def test_a_change_of_role_is_said_once_and_a_first_reading_is_none() -> None:
    moved = {"pg-a": "unreachable", "pg-b": "primary"}
    assert said(seen(0, {}), seen(0), seen(0, moved), seen(0, moved)) == [
        "pg-a is unreachable",
        "pg-b says that it is primary",
    ]


def test_the_table_says_how_long_each_zone_is_without_a_write_and_how_its_probes_fail() -> None:
    text = shown(seen(6.2, deadline=31))
    assert "6.2 s" in text
    assert "31 × deadline" in text
    assert "pg-a primary" in text


def test_text_from_a_server_is_not_obeyed() -> None:
    moment = Seen({"az-a": Zone(0.0, {"[red]x\x1b[2J": 1})}, HEALTHY)
    assert "\x1b[2J" not in shown(moment)
    assert "[red]x" in shown(moment)
