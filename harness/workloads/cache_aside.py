"""How stale is what a cache serves, what does it spare the database, and what when it has lost everything?

Options are read on any machine; the rest runs in client nodes, where Locust and the drivers are.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from harness.keys import Distribution, carried, chooser, filler
from harness.recording import Outcome
from harness.sessions import Done
from harness.units import MoreThan

if TYPE_CHECKING:
    from harness.load import Context
    from harness.sessions.cached import CachedSession, Connections, Origin

READ, DIRECT, UPDATE = "read cached", "read origin", "update"
# How a read that was ok came by its value, where the cache did not have it: the word is in the place of an error's class.
MISS, SHARED, PAST_CACHE = "miss", "miss, shared", "past the cache"


@dataclass(frozen=True)
class CacheAside:
    """Reads ask the cache first, and the origin for what is not there, which they put into the cache for `ttl` (0s: for ever).

    Of the operations, the share `reads` reads through the cache, the share `direct` reads the origin itself, to compare with, and
    the rest updates the origin. After an update, the key is removed from the cache (`on_update: invalidate`), written there
    (`write`), or left to its ttl (`nothing`). A ttl is longer or shorter by up to `ttl_jitter` of it, drawn for each entry; with
    `warm`, all are in the cache at first. With `single_flight`, of the users in one zone that miss a key at once, one asks the
    origin, and the others wait for its answer. There are `keys`, asked for as `distribution` says (zipfian or uniform), of values
    of `value_bytes`. A cache that does not answer is passed over. `users`, `rate`, `zones`, `deadline` and `reconnect` are as for
    ledger.
    """

    protocols: ClassVar[tuple[str, ...]] = ("cached",)
    sets: ClassVar[dict[str, str]] = {UPDATE: "updates"}

    users: Annotated[int, MoreThan(0)] = 60
    rate_per_s: Annotated[float, MoreThan(0)] = 300
    zones: str | tuple[str, ...] = "all"
    deadline_s: Annotated[float, MoreThan(0)] = 1
    reconnect_s: Annotated[float, MoreThan(0)] = 0.5
    keys: Annotated[int, MoreThan(0)] = 2000
    distribution: Distribution = "zipfian"
    value_bytes: Annotated[int, MoreThan(19)] = 200  # the number that a value carries takes 20
    reads_share: float = 0.93
    direct_share: float = 0.02
    ttl_s: float = 30
    ttl_jitter_share: float = 0
    warm: bool = True
    single_flight: bool = False
    on_update: Literal["invalidate", "write", "nothing"] = "invalidate"

    def __post_init__(self) -> None:
        if self.reads_share <= 0 or self.reads_share + self.direct_share > 1:
            raise ValueError("reads are more than 0 %, and together with direct at most 100 %")
        if not 0 <= self.ttl_jitter_share < 1:
            raise ValueError("ttl_jitter is less than 100 %")
        if self.ttl_s and self.ttl_s * (1 - self.ttl_jitter_share) < 1:
            raise ValueError("a ttl is 1s at least, also when it is shortened: caches count in seconds")

    @property
    def mix(self) -> dict[str, float]:
        """The kinds of operations and their shares."""
        return {READ: self.reads_share, DIRECT: self.direct_share, UPDATE: 1 - self.reads_share - self.direct_share}

    def invariants(self) -> dict[str, int]:
        return {"items": self.keys}

    @cached_property
    def _choose(self) -> Any:
        return chooser(self.distribution, self.keys)

    @cached_property
    def _value(self) -> Any:
        return filler(self.value_bytes)

    @cached_property
    def _random(self) -> random.Random:
        return random.Random(self.keys)

    @cached_property
    def _flights(self) -> dict[int, Any]:
        """What this process asks the origin for right now, by key."""
        return {}

    def prepare(self, connection: Connections) -> None:
        """Puts all items into the origin, and fills the cache in."""
        origin = connection.origin
        origin.driver.stock(origin.connection, ((key, self._value(0)) for key in range(self.keys)))
        if self.warm:
            entries = ((_named(key), self._value(0), self._ttl_s()) for key in range(self.keys))
            connection.of_cache.fill(connection.cache, entries)

    def plan(self, kind: str, context: Context) -> tuple[int, int, Any]:
        return self._choose(context.random), context.unique() if kind == UPDATE else -1, None

    def perform(self, kind: str, session: CachedSession, key: int, value: int, payload: Any) -> Done:
        if kind == UPDATE:
            return self._update(session, key, value)
        return self._from_origin(session, key)[0] if kind == DIRECT else self._read(session, key)

    def _read(self, session: CachedSession, key: int) -> Done:
        cache, why = session.part("cache")
        outcome, why, found = (Outcome.FAILED, why, None) if why else cache.fetch(_named(key))
        if outcome is not Outcome.OK:
            done, _ = self._from_origin(session, key)
            return Done(done.outcome, done.error or PAST_CACHE, done.seen)
        if found is not None:
            return Done(Outcome.OK, "", carried(found))
        return self._shared(session, key) if self.single_flight else self._load(session, key)

    def _shared(self, session: CachedSession, key: int) -> Done:
        from gevent.event import AsyncResult  # noqa: PLC0415 (where users run)

        if (flight := self._flights.get(key)) is not None:
            done: Done = flight.get()
            return Done(done.outcome, done.error if done.error != MISS else SHARED, done.seen)
        flight = self._flights[key] = AsyncResult()
        done = Done(Outcome.FAILED, "origin: deadline")  # for those who wait, when this user is cut short
        try:
            done = self._load(session, key)
        finally:
            del self._flights[key]
            flight.set(done)
        return done

    def _load(self, session: CachedSession, key: int) -> Done:
        """From the origin into the cache."""
        done, value = self._from_origin(session, key)
        if value is None:
            return done
        cache, why = session.part("cache")
        if not why:
            cache.store(_named(key), value, self._ttl_s())
        return Done(done.outcome, MISS, done.seen)

    def _from_origin(self, session: CachedSession, key: int) -> tuple[Done, str | None]:
        origin, why = session.part("origin")
        if why:
            return Done(Outcome.FAILED, f"origin: {why}"), None
        outcome, error, found = origin.look_up(key)
        if outcome is not Outcome.OK or found is None:
            return Done(Outcome.FAILED, f"origin: {error or 'no such item'}"), None
        return Done(Outcome.OK, "", carried(found)), found

    def _update(self, session: CachedSession, key: int, value: int) -> Done:
        origin, why = session.part("origin")
        if why:
            return Done(Outcome.FAILED, f"origin: {why}")
        text = self._value(value)
        outcome, error = origin.change(key, text, value)
        if outcome is not Outcome.FAILED and self.on_update != "nothing":
            cache, why = session.part("cache")
            if not why and self.on_update == "write" and outcome is Outcome.OK:
                _, why = cache.store(_named(key), text, self._ttl_s())
            elif not why:
                _, why = cache.forget(_named(key))
            error = error or (PAST_CACHE if why else "")
        return Done(outcome, error)

    def _ttl_s(self) -> float:
        return self.ttl_s * (1 + self._random.uniform(-self.ttl_jitter_share, self.ttl_jitter_share))

    def final_reads(self, connection: Origin) -> Iterator[tuple[str, list[int]]]:
        """What the origin holds."""
        for values in connection.driver.changed(connection.connection):
            yield "updates", values

    def facts(self, connection: Origin) -> dict[str, Any]:
        return {"items": connection.driver.stocked(connection.connection)}


def _named(key: int) -> str:
    return f"item:{key}"
