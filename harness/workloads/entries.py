"""What does a cache still hold of what was put into it?

Options are read on any machine; the rest runs in client nodes, where Locust and pymemcache are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from harness.keys import Distribution, carried, chooser, filler
from harness.recording import Outcome
from harness.sessions import Done
from harness.units import MoreThan, some_of

if TYPE_CHECKING:
    from harness.load import Context
    from harness.sessions.memcached import MemcachedSession, Nodes

WRITTEN, FILLED = "entry:", "filled:"
NOT_THERE = "not there"


@dataclass(frozen=True)
class Entries:
    """Reads of `keys` that were filled in before, and new entries; what is gone is not filled in again.

    A read that finds nothing is ok, and no hit. Keys are asked for as `distribution` says (uniform or zipfian), values
    have `value_bytes`; `reads` is the share of the reads. `users`, `rate`, `zones`, `deadline` and `reconnect` are as for ledger.
    """

    protocols: ClassVar[tuple[str, ...]] = ("memcached",)
    sets: ClassVar[dict[str, str]] = {"write": "entries"}

    users: Annotated[int, MoreThan(0)] = 30
    rate_per_s: Annotated[float, MoreThan(0)] = 300
    zones: str | tuple[str, ...] = "all"
    deadline_s: Annotated[float, MoreThan(0)] = 1
    reconnect_s: Annotated[float, MoreThan(0)] = 0.5
    keys: Annotated[int, MoreThan(0)] = 3000
    distribution: Distribution = "uniform"
    value_bytes: Annotated[int, MoreThan(19)] = 100  # the number that a value carries takes 20
    reads_share: float = 0.9

    def __post_init__(self) -> None:
        some_of("reads", self.reads_share, "entries must be made, and asked for")

    @property
    def mix(self) -> dict[str, float]:
        return {"write": 1 - self.reads_share, "read cached": self.reads_share}

    def invariants(self) -> dict[str, int]:
        return {}

    @cached_property
    def _choose(self) -> Any:
        return chooser(self.distribution, self.keys)

    @cached_property
    def _value(self) -> Any:
        return filler(self.value_bytes)

    def prepare(self, connection: Nodes) -> None:
        """Fills every key in."""
        for key in range(self.keys):
            connection.set(f"{FILLED}{key}", self._value(key))

    def plan(self, kind: str, context: Context) -> tuple[int, int, Any]:
        return (self._choose(context.random), -1, None) if kind == "read cached" else (-1, context.unique(), None)

    def perform(self, kind: str, session: MemcachedSession, key: int, value: int, payload: Any) -> Done:
        if kind == "write":
            return Done(*session.store(f"{WRITTEN}{value}", self._value(value)))
        outcome, error, found = session.fetch(f"{FILLED}{key}")
        if outcome is not Outcome.OK:
            return Done(outcome, error)
        return Done(outcome, "", carried(found)) if found is not None else Done(outcome, NOT_THERE)

    def final_reads(self, connection: Nodes) -> Iterator[tuple[str, list[int]]]:
        from harness.sessions.memcached import numbered  # noqa: PLC0415 (where the driver is)

        yield "entries", []
        for numbers in numbered(connection, WRITTEN):
            yield "entries", numbers

    def facts(self, connection: Nodes) -> dict[str, Any]:
        """How many of the keys that were filled in are there."""
        from harness.sessions.memcached import numbered  # noqa: PLC0415 (where the driver is)

        return {"filled": sum(len(numbers) for numbers in numbered(connection, FILLED))}
