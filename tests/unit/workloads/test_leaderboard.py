"""Scores are set by updates that are on record, and a board is read as it stands."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import scenario
from harness.errors import UsageError
from harness.recording import Outcome
from harness.sessions import Done
from harness.sessions.redis import Redis
from harness.workloads.leaderboard import KEY, NO_MEMBER, OF_RANK, OUT_OF_ORDER, RANKS, SCORES, Leaderboard, score_of
from tests.unit.valkey_server import Server

BOARD = Leaderboard(members=12_345, distribution="uniform")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("server") / "one")
    with one.running():
        yield one


@pytest.fixture
def session(server: Server) -> Any:
    """A session with a server on which the board is as it was at first."""
    with Redis().opened(server.login) as connection:
        connection.unlink(KEY)
        BOARD.prepare(connection)
    session = Redis().session(server.login, reconnect_s=0)
    assert session.connect() is None
    return session


def context() -> Any:
    numbers = count(1000 << 40)
    return SimpleNamespace(random=random.Random(1), unique=lambda: next(numbers))


def read(server: Server) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    with Redis().opened(server.login) as connection:
        for name, values in BOARD.final_reads(connection):
            found.setdefault(name, []).extend(values)
    return found


def test_every_member_is_on_the_board_from_the_start_and_ranks_fall_with_scores(server: Server, session: Any) -> None:
    held = read(server)
    standing = [rank % OF_RANK for rank in held[RANKS]]
    assert [rank // OF_RANK for rank in held[RANKS]] == list(range(BOARD.members))
    assert standing == sorted(range(BOARD.members), key=lambda member: -score_of(member))
    assert held[SCORES] == [score_of(member) for member in standing]


def test_an_update_sets_the_score_of_its_number_and_moves_the_member(server: Server, session: Any) -> None:
    member, number, _ = BOARD.plan("update", context())
    assert BOARD.perform("update", session, member, number, None) == Done(Outcome.OK)
    held = read(server)
    place = held[SCORES].index(score_of(number))
    assert held[RANKS][place] % OF_RANK == member
    assert BOARD.perform("read rank", session, member, -1, None) == Done(Outcome.OK, "", place)


def test_an_answer_out_of_order_and_a_member_that_is_missing_are_told(session: Any) -> None:
    assert BOARD.perform("read top", session, -1, -1, None) == Done(Outcome.OK)
    assert BOARD.perform("read rank", session, BOARD.members, -1, None) == Done(Outcome.FAILED, NO_MEMBER)
    turned: Any = SimpleNamespace(
        execute=lambda *_, **__: SimpleNamespace(outcome=Outcome.OK, error="", reply=["1", "5", "2", "7"])
    )
    assert BOARD.perform("read top", turned, -1, -1, None) == Done(Outcome.FAILED, OUT_OF_ORDER)


def test_an_empty_board_is_read_as_one(server: Server) -> None:
    with Redis().opened(server.login) as connection:
        connection.unlink(KEY)
    assert read(server) == {RANKS: [], SCORES: []}


def test_a_seed_repeats_what_is_planned_and_few_members_are_asked_for_often() -> None:
    board = Leaderboard(members=1000)
    planned = [[board.plan("read rank", told)[0] for _ in range(2000)] for told in (context(), context())]
    assert planned[0] == planned[1]
    assert planned[0].count(0) > 100
    assert asdict(board)["members"] == 1000


@pytest.mark.parametrize("members", ["0", str(OF_RANK)])
def test_a_board_that_cannot_be_is_one_clear_line(tmp_path: Path, members: str) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(f"title: x\ntopology: elasticache-redis\nworkload: {{use: leaderboard, members: {members}}}\n")
    with pytest.raises(UsageError, match=r"^[^\n]*one\.yaml:3:\d+: [^\n]*(more than 0|fewer than)[^\n]*$"):
        scenario.load(path)
