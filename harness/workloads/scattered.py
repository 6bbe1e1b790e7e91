"""Is every value there once, in keys that are scattered over all the slots of a cluster, after clients were told that it is?"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from harness import keys
from harness.sessions import Done
from harness.units import MoreThan, some_of

if TYPE_CHECKING:
    from harness.load import Context
    from harness.sessions.redis import RedisSession

PREFIX = "workload:list:"
FILLED = 2000  # lists at once


@dataclass(frozen=True)
class Scattered:
    """Appends numbered values to lists, and reads the newest ones with a share of `reads`, at a fixed arrival rate.

    `lists` keys are drawn as `distribution` says; each holds a value of `value_bytes` before the run begins. `users`, `rate`,
    `zones`, `deadline` and `reconnect` as everywhere.
    """

    protocols: ClassVar[tuple[str, ...]] = ("redis_cluster", "redis")
    sets: ClassVar[dict[str, str]] = {"append": "scattered"}  # kind of operation → set of the final reads

    users: Annotated[int, MoreThan(0)] = 30
    rate_per_s: Annotated[float, MoreThan(0)] = 300
    zones: str | tuple[str, ...] = "all"
    deadline_s: Annotated[float, MoreThan(0)] = 1
    reconnect_s: Annotated[float, MoreThan(0)] = 0.5
    lists: Annotated[int, MoreThan(0)] = 10_000
    value_bytes: Annotated[int, MoreThan(keys.DIGITS - 1)] = 64  # a value carries its number
    reads_share: float = 0.3
    distribution: keys.Distribution = "uniform"

    def __post_init__(self) -> None:
        some_of("reads", self.reads_share, "values must be appended, and read")

    @property
    def mix(self) -> dict[str, float]:
        return {"append": 1 - self.reads_share, "read": self.reads_share}

    def invariants(self) -> dict[str, int]:
        """Every list that was there before the run is there once."""
        return {"lists": self.lists}

    def prepare(self, connection: Any) -> None:
        value = self._value(0)
        for first in range(0, self.lists, FILLED):
            filling = connection.pipeline(transaction=False)
            for key in range(first, min(first + FILLED, self.lists)):
                filling.rpush(self.name_of(key), value)
            filling.execute()

    def name_of(self, key: int) -> str:
        """What a key is called in the cluster, by which the part of the data is known that it belongs to."""
        return f"{PREFIX}{key}"

    def plan(self, kind: str, context: Context) -> tuple[int, int, Any]:
        return self._choose(context.random), context.unique() if kind == "append" else -1, None

    def perform(self, kind: str, session: RedisSession, key: int, value: int, payload: Any) -> Done:
        if kind == "append":
            outcome, error, _ = session.execute("RPUSH", self.name_of(key), self._value(value))
            return Done(outcome, error)
        outcome, error, newest = session.execute("LINDEX", self.name_of(key), -1, reads=True)
        return Done(outcome, error, keys.carried(newest) if newest else -1)

    @cached_property
    def _choose(self) -> Callable[[random.Random], int]:
        return keys.chooser(self.distribution, self.lists)

    @cached_property
    def _value(self) -> Callable[[int], str]:
        return keys.filler(self.value_bytes)

    def final_reads(self, connection: Any) -> Iterator[tuple[str, list[int]]]:
        for held in self._held(connection):
            yield "scattered", [number for numbers in held for number in numbers if number]

    def facts(self, connection: Any) -> dict[str, Any]:
        """How many of the lists that were filled beforehand are here."""
        return {"lists": sum(numbers.count(0) for held in self._held(connection) for numbers in held)}

    def _held(self, connection: Any) -> Iterator[list[list[int]]]:
        """The numbers of every list of a node, some thousand lists at once."""
        cursor = 0
        while True:
            cursor, names = connection.scan(cursor, match=f"{PREFIX}*", count=FILLED)
            asking = connection.pipeline(transaction=False)
            for name in names:
                asking.lrange(name, 0, -1)
            if names:
                yield [[keys.carried(value) for value in values] for values in asking.execute()]
            if not cursor:
                return
