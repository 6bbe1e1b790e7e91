"""Is the leaderboard in order in the end, and does everyone have the score that was set last?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from harness.bounds import expectations, judge
from harness.checkers.durability import read_at
from harness.history import NOTHING, Array, History, Outcome
from harness.intervals import authorities
from harness.verdict import Finding, Measured, Verdict, count
from harness.workloads.leaderboard import GATHER, NO_MEMBER, OF_RANK, OUT_OF_ORDER, RANKS, SCORES, SCORES_END

EVIDENCE_MAX = 20
METRICS = ("lost_updates", "wrong_scores", "wrong_ranks")
NOBODY = -1


@dataclass(frozen=True)
class Leaderboard:
    """Compares the board that the primary holds in the end with the updates that clients sent, member by member.

    A score is right when it is that of the member's last acknowledged update, or of one whose outcome is unknown, or of one that
    overlapped with the last. An acknowledged update that began after the one whose score is there had ended was lost. A score
    that the member never had, or that a refused update would have set, is wrong, and so is a member that is missing. A rank is
    wrong when somebody else stands there than whose score it is; so is an answer during the run that was out of order. Without
    bounds in the scenario, none of these may be.
    """

    metrics: ClassVar[Mapping[str, str]] = dict.fromkeys(METRICS, "count")
    after_final_reads: ClassVar[bool] = True

    def check(self, history: History) -> Finding:
        boards = [one for one in history.run.get("workloads", ()) if one.get("name") == "leaderboard"]
        if not boards:
            return Finding("leaderboard", Verdict.PASS, "there was no leaderboard")
        nodes = authorities(history)
        held = history.final_reads.values.get(nodes[0], {}) if len(nodes) == 1 else {}
        if RANKS not in held or SCORES not in held:
            return _unknown(f"the board of {nodes[0]} was not read" if nodes else "no node was the primary in the end")
        updates = Updates.of(history)
        acknowledged = int((updates.outcomes == Outcome.OK).sum())
        if not acknowledged:
            return _unknown("no update was acknowledged")
        board = Board(held[RANKS], held[SCORES], updates, int(boards[0]["members"]))
        served = int(history.operations.mask(lane="workload", error=[OUT_OF_ORDER, NO_MEMBER]).sum())
        lost = board.lost
        measured = {
            "lost_updates": count(int(lost.sum())),
            "wrong_scores": count(int(board.wrong_score.sum()) + len(board.missing)),
            "wrong_ranks": count(int(board.wrong_rank.sum()) + served),
        }
        verdict, sentences = judge(measured, expectations(history, self.metrics, **dict.fromkeys(METRICS, 0)))
        said = [f"{int(lost.sum())} of {acknowledged} acknowledged updates lost", *sentences, f"by the final read of {nodes[0]}"]
        notes = [f"{served} answers were out of order, or knew a member not that was there from the start"] if served else []
        return Finding("leaderboard", verdict, "; ".join(said), measured, board.evidence(), notes)


@dataclass(frozen=True)
class Updates:
    """The updates that were sent, by number: whose they are, when they began and ended, and what is known of them."""

    numbers: Array
    members: Array
    started: Array
    ended: Array
    outcomes: Array

    @classmethod
    def of(cls, history: History) -> Updates:
        sent = history.operations.where(lane="workload", kind="update")
        sent = sent.at((sent["value"] != NOTHING) & (sent["started"] != NOTHING))
        sent = sent.at(np.argsort(sent["value"], kind="stable"))
        late = (sent["outcome"] == Outcome.OK) & (sent["ended"] > read_at(history))
        outcomes = np.where(late, Outcome.UNKNOWN, sent["outcome"])
        return cls(sent["value"], sent["key"], sent["started"], sent["ended"], outcomes)

    def places(self, numbers: Array) -> Array:
        """The index of the update with each of these numbers, -1 where none has it."""
        at = np.minimum(np.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
        return np.where(self.numbers[at] == numbers, at, NOBODY)

    def acknowledged_after(self, members: Array, ends: Array) -> Array:
        """How many acknowledged updates of each of these members began after an end of its own."""
        ok = self.outcomes == Outcome.OK
        order = np.lexsort((self.started[ok], self.members[ok]))
        whose, began = self.members[ok][order], self.started[ok][order]
        first = np.searchsorted(whose, members, side="left")
        last = np.searchsorted(whose, members, side="right")
        later = np.zeros(len(members), dtype=np.int64)
        for at in np.flatnonzero((last > first) & (began[last - 1] > ends)).tolist():  # few, where next to nothing was lost
            later[at] = last[at] - first[at] - np.searchsorted(began[first[at] : last[at]], ends[at], side="right")
        return later


class Board:
    """The board as it was read, from the first rank to the last: who stands there, and whose score that rank's is.

    Scores are read sorted, so a member that stands where its score does not belong has the score of somebody else there.
    """

    def __init__(self, ranks: Array, scores: Array, updates: Updates, members: int) -> None:
        length = min(len(ranks), len(scores))
        self.standing = (ranks % OF_RANK)[:length]
        self.numbers = _numbers_of(scores[::-1][:length])
        self.updates = updates
        first_score = (self.numbers >= 0) & (self.numbers < members)
        place = updates.places(self.numbers)
        self.owner = np.where(first_score, self.numbers, np.where(place == NOBODY, NOBODY, updates.members[place]))
        refused = ~first_score & (place != NOBODY) & ~np.isin(updates.outcomes[place], (Outcome.OK, Outcome.UNKNOWN))
        elsewhere = _marked(self.owner[~refused], members)[np.clip(self.standing, 0, members - 1)] & (self.standing < members)
        at_home = self.owner == self.standing
        self.missing = np.flatnonzero(~_marked(self.standing, members))
        self.wrong_rank = (~at_home & elsewhere) | (ranks[:length] // OF_RANK != np.arange(length))
        self.wrong_score = (~at_home & ~elsewhere) | (at_home & refused)
        known = at_home & ~refused & (first_score | (updates.outcomes[place] == Outcome.OK))
        ends = np.where(first_score, NOTHING, updates.ended[place])
        self.lost = np.zeros(length, dtype=np.int64)
        self.lost[known] = updates.acknowledged_after(self.standing[known], ends[known])

    def evidence(self) -> list[dict[str, Any]]:
        """The first of each sort, by rank."""
        rows = []
        for what, where in (("lost update", self.lost > 0), ("wrong score", self.wrong_score), ("wrong rank", self.wrong_rank)):
            for rank in np.flatnonzero(where)[:EVIDENCE_MAX].tolist():
                owner = int(self.owner[rank])
                rows.append(
                    {
                        "what": what,
                        "rank": rank,
                        "member": int(self.standing[rank]),
                        "update": int(self.numbers[rank]),
                        "update_of": None if owner == NOBODY else owner,
                        "lost": int(self.lost[rank]),
                    }
                )
        return rows + [{"what": "missing member", "member": int(member)} for member in self.missing[:EVIDENCE_MAX]]


def _marked(found: Array, members: int) -> Array:
    """Which of the members are among these: as a table, since a million are looked up at once."""
    marks = np.zeros(members, dtype=bool)
    marks[found[(found >= 0) & (found < members)]] = True
    return marks


def _numbers_of(scores: Array) -> Array:
    """The numbers of the updates that set these scores."""
    wrapped = scores.astype(np.uint64) * np.uint64(GATHER)  # modulo a power of two beyond that of scores
    return (wrapped % np.uint64(SCORES_END)).astype(np.int64)


def _unknown(why: str) -> Finding:
    said = f"the board cannot be told: {why}"
    return Finding("leaderboard", Verdict.UNKNOWN, said, {metric: Measured(None, "count") for metric in METRICS})
