"""An event is counted by the step that acknowledges it, and so once, whoever it is given to and however often."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from harness.clock import wait_until
from harness.recording import Outcome
from harness.sessions import Done
from harness.sessions.redis import Answer, Redis
from harness.workloads.dashboard import COUNTED, COUNTS, EVENTS, GROUP, STREAM, TOTALS, Dashboard
from tests.unit.valkey_server import Server

BOARD = Dashboard(claim_after_s=0.05)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("server") / "one")
    with one.running():
        yield one


@pytest.fixture
def session(server: Server) -> Any:
    with Redis().opened(server.login) as connection:
        connection.unlink(STREAM, TOTALS, COUNTED)
        BOARD.prepare(connection)
    session = Redis().session(server.login, reconnect_s=0)
    assert session.connect() is None
    return session


NUMBERS = count(1000 << 40)
CONTEXT: Any = SimpleNamespace(random=random.Random(1), unique=lambda: next(NUMBERS))


def sent(session: Any, events: int) -> list[int]:
    """Sends events; their numbers."""
    numbers = []
    for _ in range(events):
        key, value, payload = BOARD.plan("write", CONTEXT)
        assert BOARD.perform("write", session, key, value, payload) == Done(Outcome.OK)
        numbers.append(value)
    return numbers


def read(server: Server) -> tuple[dict[str, list[int]], Any]:
    found: dict[str, list[int]] = {}
    with Redis().opened(server.login) as connection:
        for name, values in BOARD.final_reads(connection):
            found.setdefault(name, []).extend(values)
        return found, BOARD.facts(connection)["dashboard"]


def counted(board: Dashboard, kind: str, session: Any) -> Done:
    return board.perform(kind, session, *board.plan(kind, CONTEXT))


def test_events_are_counted_into_their_buckets(server: Server, session: Any) -> None:
    numbers = sent(session, 30)
    assert counted(BOARD, "count", session) == Done(Outcome.OK)
    held, totals = read(server)
    assert (held[EVENTS], held[COUNTS]) == (numbers, numbers)
    assert sum(number for number, _ in totals.values()) == 30
    assert sum(amount for _, amount in totals.values()) == sum(number % 100 for number in numbers)


def test_no_more_than_a_batch_is_taken_at_once_and_none_when_there_is_none(server: Server, session: Any) -> None:
    sent(session, 5)
    for left in (2, 4, 5, 5):
        assert counted(replace(BOARD, batch=2), "count", session) == Done(Outcome.OK)
        assert len(read(server)[0][COUNTS]) == left


def test_a_screen_says_which_event_is_its_newest(session: Any) -> None:
    assert BOARD.perform("read screen", session, -1, -1, None) == Done(Outcome.OK)
    numbers = sent(session, 3)
    counted(BOARD, "count", session)
    assert BOARD.perform("read screen", session, -1, -1, None) == Done(Outcome.OK, "", numbers[-1])


def test_what_a_lost_consumer_was_given_is_taken_over_and_counted_once(server: Server, session: Any) -> None:
    numbers = sent(session, 4)
    given = session.execute("XREADGROUP", "GROUP", GROUP, "lost", "STREAMS", STREAM, ">")
    assert len(given.reply[0][1]) == 4
    assert counted(BOARD, "count", session) == Done(Outcome.OK), "they were given away already"
    assert read(server)[0][COUNTS] == []

    def taken_over() -> bool:
        assert counted(BOARD, "take over", session) == Done(Outcome.OK)
        return bool(read(server)[0][COUNTS])

    wait_until(taken_over, 5, "the entries to have been idle for long enough", every_s=0.02)
    taken_over()
    assert read(server)[0][COUNTS] == numbers


def test_two_who_were_given_the_same_event_count_it_once(server: Server, session: Any) -> None:
    """As when a consumer is slow, not lost, and what it had was taken over: both count it in the end."""
    numbers = sent(session, 1)
    given = session.execute("XREADGROUP", "GROUP", GROUP, "slow", "STREAMS", STREAM, ">")
    twice = SimpleNamespace(
        execute=lambda *command: Answer(Outcome.OK, "", given.reply) if command[0] == "XREADGROUP" else session.execute(*command)
    )
    for _ in range(2):
        assert counted(BOARD, "count", twice) == Done(Outcome.OK)
    held, totals = read(server)
    assert held[COUNTS] == numbers
    assert [number for number, _ in totals.values()] == [1]


def test_a_step_that_was_not_answered_is_unknown(session: Any) -> None:
    sent(session, 1)

    def unanswered(*command: Any) -> Answer:
        return session.execute(*command) if command[0] != "EVAL" else Answer(Outcome.UNKNOWN, "connection closed")

    dies: Any = SimpleNamespace(execute=unanswered)
    assert counted(BOARD, "count", dies) == Done(Outcome.UNKNOWN, "connection closed")
