"""Is a leaderboard of millions in order, while scores change and players ask for their rank?

Options are read on any machine; the rest runs in client nodes, where Locust and redis-py are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from harness.keys import Distribution, chooser
from harness.recording import Outcome
from harness.sessions import Done
from harness.units import MoreThan, some_of

if TYPE_CHECKING:
    import redis

    from harness.load import Context
    from harness.sessions.redis import RedisSession

KEY = "workload:leaderboard"
RANKS, SCORES = "leaderboard_ranks", "leaderboard_scores"  # sets of the final reads
OF_RANK = 1 << 32  # a rank counts so much in the first of them, above the member that stands there
SCORES_END = 1 << 52  # every score below is a double, exactly
OUT_OF_ORDER, NO_MEMBER = "out of order", "no such member"
LOADED, FETCHED = 5000, 20_000  # members at once
# Odd, so that no two numbers get one score; golden, so that numbers in a row get scores that are far apart.
_SCATTER = 0x9E3779B97F4A7C15 % SCORES_END
GATHER = pow(_SCATTER, -1, SCORES_END)  # by which a score becomes its update's number again
_chooser = cache(chooser)


def score_of(number: int) -> int:
    """The score that an update with this number sets: no other number has it, and it may be anywhere on the board."""
    return number * _SCATTER % SCORES_END


@dataclass(frozen=True)
class Leaderboard:
    """Score updates, and of `reads` twice as many questions for a member's rank as for the top of the board, at a fixed rate.

    `members` are on the board from the start; `distribution` says who is updated and asked for: few of them often (`zipfian`)
    or all alike (`uniform`). Every update sets a score that no other sets. The top are the first `top`, whose order is looked at
    in each answer. `reads_from` is the endpoint of the questions; of replicas, answers may be old.
    """

    protocols: ClassVar[tuple[str, ...]] = ("redis",)
    sets: ClassVar[dict[str, str]] = {}  # a score is replaced by the next: what must be there, the checker leaderboard knows

    users: Annotated[int, MoreThan(0)] = 60
    rate_per_s: Annotated[float, MoreThan(0)] = 300
    zones: str | tuple[str, ...] = "all"
    deadline_s: Annotated[float, MoreThan(0)] = 1
    reconnect_s: Annotated[float, MoreThan(0)] = 0.5
    reads_from: Literal["writer", "reader"] = "writer"
    members: Annotated[int, MoreThan(0)] = 100_000
    distribution: Distribution = "zipfian"
    reads_share: float = 0.6
    top: Annotated[int, MoreThan(0)] = 10

    def __post_init__(self) -> None:
        if self.members >= OF_RANK:
            raise ValueError(f"{self.members} members; a board has fewer than {OF_RANK}")
        some_of("reads", self.reads_share, "scores must change, and ranks be asked for")

    @property
    def mix(self) -> dict[str, float]:
        return {"update": 1 - self.reads_share, "read rank": self.reads_share * 2 / 3, "read top": self.reads_share / 3}

    def invariants(self) -> dict[str, int]:
        """None that a sum could tell."""
        return {}

    def prepare(self, connection: redis.Redis) -> None:
        """Puts every member on the board, in the order of scores, which a server takes in half the time.

        A member's first score is that of its own number, which no update has.
        """
        order = sorted(range(self.members), key=score_of)
        for first in range(0, self.members, LOADED * 10):
            pipeline: Any = connection.pipeline(transaction=False)
            for begin in range(first, min(first + LOADED * 10, self.members), LOADED):
                members = order[begin : begin + LOADED]
                pipeline.execute_command("ZADD", KEY, *(part for member in members for part in (score_of(member), member)))
            pipeline.execute()

    def plan(self, kind: str, context: Context) -> tuple[int, int, Any]:
        """The member, and an update's number."""
        member = _chooser(self.distribution, self.members)(context.random) if kind != "read top" else -1
        return member, context.unique() if kind == "update" else -1, None

    def perform(self, kind: str, session: RedisSession, key: int, value: int, payload: Any) -> Done:
        """Carries one operation out; a rank that was seen is on record."""
        if kind == "update":
            answer = session.execute("ZADD", KEY, score_of(value), key)
            return Done(answer.outcome, answer.error)
        if kind == "read rank":
            answer = session.execute("ZREVRANK", KEY, key, reads=True)
            if answer.outcome is Outcome.OK and answer.reply is None:
                return Done(Outcome.FAILED, NO_MEMBER)
            return Done(answer.outcome, answer.error, -1 if answer.reply is None else int(answer.reply))
        answer = session.execute("ZREVRANGE", KEY, 0, self.top - 1, "WITHSCORES", reads=True)
        if answer.outcome is Outcome.OK and not _in_order(answer.reply):
            return Done(Outcome.FAILED, OUT_OF_ORDER)
        return Done(answer.outcome, answer.error)

    def final_reads(self, connection: Any) -> Iterator[tuple[str, list[int]]]:
        """Who stands where, and all scores; an empty board is read as one."""
        yield RANKS, []
        yield SCORES, []
        first = 0
        while rows := connection.zrevrange(KEY, first, first + FETCHED - 1, withscores=True):
            yield RANKS, [rank * OF_RANK + int(member) for rank, (member, _) in enumerate(rows, first)]
            yield SCORES, [int(score) for _, score in rows]
            first += FETCHED

    def facts(self, connection: redis.Redis) -> dict[str, Any]:
        """None."""
        del connection
        return {}


def _in_order(reply: list[Any]) -> bool:
    """Whether the scores of a reply (member, score, member, …) fall."""
    scores = [float(score) for score in reply[1::2]]
    return bool(scores) and all(before > after for before, after in pairwise(scores))
