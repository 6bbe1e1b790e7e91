"""A board is right when everyone stands where the score belongs that was set last, as far as clients were told."""

from __future__ import annotations

from typing import Any

import pytest

from harness.checkers.leaderboard import Leaderboard
from harness.history import History, Outcome
from harness.verdict import Verdict
from harness.workloads.leaderboard import OF_RANK, OUT_OF_ORDER, score_of
from tests.unit.histories import Run

MEMBERS = 5
FIRST = 1000 << 40  # the number of the first update of a process


def board(run: Run, held: dict[int, int], *, moved: tuple[int, int] | None = None) -> History:
    """The run with a board on which each member (key) has the score of an update (value); two ranks are `moved`."""
    standing = sorted(held, key=lambda member: -score_of(held[member]))
    if moved:
        first, second = moved
        standing[first], standing[second] = standing[second], standing[first]
    run.run["workloads"] = [{"name": "leaderboard", "members": MEMBERS, "deadline_s": 1}]
    run.role(1, "cache-az-a", "primary")
    run.final("cache-az-a", leaderboard_ranks=[rank * OF_RANK + member for rank, member in enumerate(standing)],
              leaderboard_scores=sorted(score_of(number) for number in held.values()))  # fmt: skip
    return run.history()


def updated(*updates: tuple[float, int, int, Outcome]) -> Run:
    """A run with updates: at, member, which one, outcome. Each takes half a second."""
    run = Run()
    for at, member, which, outcome in updates:
        run.operation(at, outcome, takes=0.5, key=member, value=FIRST + which, kind="update")
    return run


OK, UNKNOWN, FAILED = Outcome.OK, Outcome.UNKNOWN, Outcome.FAILED
AT_FIRST = {member: member for member in range(MEMBERS)}


def figures(history: History) -> tuple[Verdict, dict[str, Any]]:
    finding = Leaderboard().check(history)
    return finding.verdict, {name.removeprefix("wrong_"): one.value for name, one in finding.measured.items()}


def test_scores_are_scattered_and_no_two_numbers_have_one() -> None:
    scores = [score_of(number) for number in (*range(1000), *range(FIRST, FIRST + 1000), 2999 << 40)]
    assert len(set(scores)) == len(scores)
    assert sorted(scores) != scores
    assert max(scores) < 1 << 52


def test_a_board_with_every_last_update_passes() -> None:
    run = updated((1, 2, 1, OK), (2, 2, 2, OK), (3, 4, 3, OK))
    verdict, found = figures(board(run, AT_FIRST | {2: FIRST + 2, 4: FIRST + 3}))
    assert (verdict, found) == (Verdict.PASS, {"lost_updates": 0, "scores": 0, "ranks": 0})


def test_an_acknowledged_update_that_is_not_there_any_more_was_lost() -> None:
    run = updated((1, 2, 1, OK), (2, 2, 2, OK), (3, 2, 3, OK), (4, 4, 4, OK))
    verdict, found = figures(board(run, AT_FIRST | {2: FIRST + 1}))
    assert (verdict, found) == (Verdict.FAIL, {"lost_updates": 3, "scores": 0, "ranks": 0})
    run = updated((1, 2, 1, OK)).expect("lost_updates", max=3)
    assert figures(board(run, AT_FIRST))[0] is Verdict.PASS, "the scenario bounds it"


def test_of_two_that_overlapped_either_may_be_the_last() -> None:
    for which in (1, 2):
        run = updated((1, 2, 1, OK), (1.3, 2, 2, OK))
        assert figures(board(run, AT_FIRST | {2: FIRST + which}))[0] is Verdict.PASS


@pytest.mark.parametrize("there", [True, False])
def test_an_update_whose_outcome_is_unknown_may_be_there_or_not(there: bool) -> None:
    run = updated((1, 2, 1, OK), (2, 2, 2, UNKNOWN))
    assert figures(board(run, AT_FIRST | {2: FIRST + (2 if there else 1)}))[0] is Verdict.PASS


@pytest.mark.parametrize(
    ("held", "what"),
    [
        ({2: FIRST + 2}, "a refused update's"),
        ({2: FIRST + 9}, "one that nobody set"),
        ({3: FIRST + 1, 2: 2}, "somebody else's"),
    ],
)
def test_a_score_that_the_member_never_had_is_wrong(held: dict[int, int], what: str) -> None:
    run = updated((1, 2, 1, OK), (2, 2, 2, FAILED))
    verdict, found = figures(board(run, AT_FIRST | held))
    assert (verdict, found["scores"]) == (Verdict.FAIL, 1), what


def test_who_stands_at_somebody_else_s_rank_is_at_a_wrong_one() -> None:
    history = board(updated((1, 2, 1, OK)), AT_FIRST | {2: FIRST + 1}, moved=(0, 3))
    verdict, found = figures(history)
    assert (verdict, found) == (Verdict.FAIL, {"lost_updates": 0, "scores": 0, "ranks": 2})
    evidence = Leaderboard().check(history).evidence
    assert [row["rank"] for row in evidence if row["what"] == "wrong rank"] == [0, 3]


def test_a_member_that_is_missing_is_wrong_and_so_is_an_empty_board() -> None:
    run = updated((1, 2, 1, OK))
    held = AT_FIRST | {2: FIRST + 1}
    del held[4]
    assert figures(board(run, held))[1]["scores"] == 1
    assert figures(board(updated((1, 2, 1, OK)), {}))[1]["scores"] == MEMBERS


def test_an_answer_out_of_order_during_the_run_is_a_wrong_rank() -> None:
    run = updated((1, 2, 1, OK)).operation(2, FAILED, kind="read top", error=OUT_OF_ORDER)
    assert figures(board(run, AT_FIRST | {2: FIRST + 1})) == (Verdict.FAIL, {"lost_updates": 0, "scores": 0, "ranks": 1})


def test_a_run_in_which_nothing_was_acknowledged_or_read_is_unknown() -> None:
    assert figures(board(updated((1, 2, 1, UNKNOWN)), AT_FIRST))[0] is Verdict.UNKNOWN
    unread = updated((1, 2, 1, OK))
    unread.run["workloads"] = [{"name": "leaderboard", "members": MEMBERS}]
    assert figures(unread.history())[0] is Verdict.UNKNOWN
    assert "no node was the primary" in Leaderboard().check(unread.history()).summary


def test_without_a_leaderboard_there_is_nothing_to_say() -> None:
    finding = Leaderboard().check(Run().history())
    assert (finding.verdict, dict(finding.measured)) == (Verdict.PASS, {})
