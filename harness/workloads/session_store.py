"""Is a user who logged in still known, and one who logged out gone for good?

Options are read on any machine; the rest runs in client nodes, where Locust and redis-py are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from harness.keys import DIGITS, Distribution, carried, chooser, filler
from harness.recording import Outcome
from harness.sessions import Done
from harness.units import MoreThan, some_of

if TYPE_CHECKING:
    import redis

    from harness.load import Context
    from harness.sessions.redis import RedisSession

PREFIX = "workload:session:"
GONE = 0  # what a look at a session has seen when there was none
ENDED_SHARE = 0.3  # of the looks are at a session that was logged out or had little time: the ones that must not come back
ENDED_KEPT = 200  # per process, to look at again


@dataclass(frozen=True)
class SessionStore:
    """Users log in, are looked up, stay logged in by coming back, log out, or are forgotten when they do not come back.

    A session is a key that carries its own number and expires `ttl` after the last visit; of `brief` ones, which are a fifth of
    the log-ins, after `brief_ttl`. `distribution` says which of the sessions is visited next: `zipfian` (those that came last
    most of all) or `uniform`. `value_bytes` is a session's size, `reads` the share of the operations that look a session
    up; of the rest 50 % log in, 30 % are visits (`touch`), 20 % log out. `users` are spread evenly over `zones` (`all`, or a
    list) and intend `rate` operations a second on an absolute schedule; one that could not begin before `deadline` has passed is
    not sent; `reconnect` is the least time between a user's attempts to connect.
    """

    protocols: ClassVar[tuple[str, ...]] = ("redis",)
    sets: ClassVar[dict[str, str]] = {}  # sessions come and go: the checker of sessions tells which are missing

    users: Annotated[int, MoreThan(0)] = 60
    rate_per_s: Annotated[float, MoreThan(0)] = 300
    zones: str | tuple[str, ...] = "all"
    deadline_s: Annotated[float, MoreThan(0)] = 1
    reconnect_s: Annotated[float, MoreThan(0)] = 0.5
    ttl_s: Annotated[float, MoreThan(0)] = 3600
    brief_ttl_s: Annotated[float, MoreThan(0)] = 3
    distribution: Distribution = "zipfian"
    value_bytes: int = 100
    reads_share: float = 0.5

    def __post_init__(self) -> None:
        if self.value_bytes < DIGITS:
            raise ValueError(f"value_bytes is {DIGITS} at least: a session carries its number")
        some_of("reads", self.reads_share, "sessions must be made, and looked at")

    @cached_property
    def _live(self) -> list[int]:
        """The sessions that this process's users are in, in the order of their log-ins."""
        return []

    @cached_property
    def _ended(self) -> list[int]:
        """Those that are gone, or soon will be."""
        return []

    @cached_property
    def _value(self) -> Callable[[int], str]:
        return filler(self.value_bytes)

    @property
    def mix(self) -> dict[str, float]:
        rest = 1 - self.reads_share
        kinds = {"log_in": 0.4, "log_in_briefly": 0.1, "touch": 0.3, "log_out": 0.2}
        return {"read": self.reads_share} | {kind: share * rest for kind, share in kinds.items()}

    def invariants(self) -> dict[str, int]:
        """None that is a number known before the run."""
        return {}

    def prepare(self, connection: redis.Redis) -> None:
        """Nothing: every session is made by its user."""

    def plan(self, kind: str, context: Context) -> tuple[int, int, Any]:
        """The session that is meant: a new one for a log-in, else one of those that this process's users know."""
        if kind in ("log_in", "log_in_briefly"):
            number = context.unique()
            return number, number, None
        if kind == "read" and self._ended and context.random.random() < ENDED_SHARE:
            return context.random.choice(self._ended), -1, None
        if not self._live:
            return GONE, -1, None  # nobody has logged in yet: nobody has this number
        at = len(self._live) - 1 - chooser(self.distribution, len(self._live))(context.random)
        number = self._live[at]
        if kind == "log_out":
            self._live.pop(at)
            self._end(number)
        return number, -1, None

    def perform(self, kind: str, session: RedisSession, key: int, value: int, payload: Any) -> Done:
        """Carries one operation out; what a look or a visit has found becomes its value."""
        name = f"{PREFIX}{key}"
        if kind in ("log_in", "log_in_briefly"):
            brief = kind == "log_in_briefly"
            ttl_ms = int((self.brief_ttl_s if brief else self.ttl_s) * 1000)
            said = session.execute("SET", name, self._value(value), "PX", ttl_ms)
            if said.outcome is Outcome.OK:
                self._end(key) if brief else self._live.append(key)
            return Done(said.outcome, said.error)
        if kind == "read":
            said = session.execute("GET", name, reads=True)
            return Done(said.outcome, said.error, -1 if said.outcome is not Outcome.OK else carried(said.reply or "0"))
        if kind == "touch":
            said = session.execute("PEXPIRE", name, int(self.ttl_s * 1000))
            return Done(said.outcome, said.error, -1 if said.outcome is not Outcome.OK else key * int(said.reply))
        said = session.execute("DEL", name)
        return Done(said.outcome, said.error)

    def _end(self, number: int) -> None:
        """Keeps the latest in mind."""
        self._ended.append(number)
        del self._ended[:-ENDED_KEPT]

    def final_reads(self, connection: redis.Redis) -> Iterator[tuple[str, list[int]]]:
        """The number of every session that a node holds, in pieces. Whoever expired since is not counted as there.

        No more of a session than its number is asked for: a node that is nearly full dies of answers that are larger than what
        it has left.
        """
        from harness.sessions.redis import batches  # noqa: PLC0415 (not on the machines that read options)

        for names in batches(connection, f"{PREFIX}*"):
            asking = connection.pipeline(transaction=False)
            for name in names:
                asking.getrange(name, 0, DIGITS - 1)
            yield "sessions", [carried(value) for value in asking.execute() if value]

    def facts(self, connection: redis.Redis) -> dict[str, Any]:
        return {}
