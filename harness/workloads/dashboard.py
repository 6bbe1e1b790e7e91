"""Does a dashboard count every event of a stream once, and how old is what it shows?

Options are read on any machine; the rest runs in client nodes, where Locust and redis-py are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from harness.clock import SECOND_NS, now_ns
from harness.recording import Outcome
from harness.sessions import Done
from harness.units import MoreThan, some_of

if TYPE_CHECKING:
    import redis

    from harness.load import Context
    from harness.sessions.redis import RedisSession

# One tag in braces: wherever keys are spread over shards, these stay together.
STREAM, TOTALS, COUNTED = "workload:{dashboard}:events", "workload:{dashboard}:totals", "workload:{dashboard}:counted"
GROUP = "dashboard"
EVENTS, COUNTS = "events", "counted"  # sets of the final reads: what the stream holds, and what was counted
AMOUNTS = 100  # an event's amount is its number modulo this
CONSUMERS = 8
FETCHED = 10_000
FIELDS = ("value", "bucket", "at")
# An entry is counted by whoever takes it off the group's list of what was delivered and not acknowledged, in the same step.
# Delivered again, after its consumer was lost, or after an acknowledgement whose answer was, it is not on that list any more.
_COUNT = f"""
local counted = 0
for i = 2, #ARGV, 4 do
  if redis.call('XACK', KEYS[1], ARGV[1], ARGV[i]) == 1 then
    redis.call('HINCRBY', KEYS[2], ARGV[i + 2] .. ':count', 1)
    redis.call('HINCRBY', KEYS[2], ARGV[i + 2] .. ':sum', ARGV[i + 1] % {AMOUNTS})
    redis.call('RPUSH', KEYS[3], ARGV[i + 1])
    local newest = redis.call('HGET', KEYS[2], 'at')
    if not newest or tonumber(ARGV[i + 3]) > tonumber(newest) then
      redis.call('HSET', KEYS[2], 'at', ARGV[i + 3], 'newest', ARGV[i + 1])
    end
    counted = counted + 1
  end
end
return counted
"""


@dataclass(frozen=True)
class Dashboard:
    """Events go into a stream, consumers count them into totals, and screens show these, at a fixed arrival rate.

    An event belongs to a bucket, `bucket` long. A consumer of the group takes up to `batch` new events and, in one step on the
    server, acknowledges each and adds it to its bucket's count and sum, if it was still to be acknowledged. From time to time
    one takes over what others were given more than `claim_after` ago and did not acknowledge. A screen shows the last `shown`
    buckets, and which event is the newest in them. `reads` is the screens' share of the operations; of the rest, two in three are
    events. `reads_from` is the endpoint of the screens; a replica may be behind.
    """

    protocols: ClassVar[tuple[str, ...]] = ("redis",)
    sets: ClassVar[dict[str, str]] = {"write": EVENTS}  # kind of operation → set of the final reads

    users: Annotated[int, MoreThan(0)] = 60
    rate_per_s: Annotated[float, MoreThan(0)] = 300
    zones: str | tuple[str, ...] = "all"
    deadline_s: Annotated[float, MoreThan(0)] = 1
    reconnect_s: Annotated[float, MoreThan(0)] = 0.5
    reads_from: Literal["writer", "reader"] = "writer"
    reads_share: float = 0.25
    bucket_s: Annotated[float, MoreThan(0)] = 1
    shown: Annotated[int, MoreThan(0)] = 10
    batch: Annotated[int, MoreThan(0)] = 100
    claim_after_s: Annotated[float, MoreThan(0)] = 2

    def __post_init__(self) -> None:
        some_of("reads", self.reads_share, "events must come, and be shown")

    @property
    def mix(self) -> dict[str, float]:
        rest = 1 - self.reads_share
        return {"write": rest * 50 / 75, "count": rest * 22 / 75, "take over": rest * 3 / 75, "read screen": self.reads_share}

    def invariants(self) -> dict[str, int]:
        """None that is known before the run."""
        return {}

    def prepare(self, connection: redis.Redis) -> None:
        """Makes the stream and its group."""
        connection.xgroup_create(STREAM, GROUP, id="0", mkstream=True)

    def plan(self, kind: str, context: Context) -> tuple[int, int, Any]:
        """An event's bucket and number; of those that count, which consumer of the group it is."""
        if kind == "write":
            return self._bucket(), context.unique(), None
        return context.random.randrange(CONSUMERS) if kind in ("count", "take over") else -1, -1, None

    def _bucket(self) -> int:
        return int(now_ns() / SECOND_NS / self.bucket_s)

    def perform(self, kind: str, session: RedisSession, key: int, value: int, payload: Any) -> Done:
        """Carries one operation out; of a screen, the newest event that it shows is on record."""
        if kind == "write":
            answer = session.execute("XADD", STREAM, "*", *_fields(value, key))
            return Done(answer.outcome, answer.error)
        if kind == "read screen":
            return self._look(session)
        if kind == "count":
            answer = session.execute("XREADGROUP", "GROUP", GROUP, f"consumer-{key}", "COUNT", self.batch, "STREAMS", STREAM, ">")
        else:
            idle_ms = int(self.claim_after_s * 1000)
            answer = session.execute("XAUTOCLAIM", STREAM, GROUP, f"consumer-{key}", idle_ms, "0-0", "COUNT", self.batch)
        if answer.outcome is not Outcome.OK:
            return Done(answer.outcome, answer.error)
        entries = _entries(answer.reply, taken_over=kind == "take over")
        if not entries:
            return Done(Outcome.OK)
        parts = [part for id_, fields in entries for part in (id_, *(fields[name] for name in FIELDS))]
        counted = session.execute("EVAL", _COUNT, 3, STREAM, TOTALS, COUNTED, GROUP, *parts)
        return Done(counted.outcome, counted.error)

    def _look(self, session: RedisSession) -> Done:
        now = self._bucket()
        buckets = [f"{now - back}:{what}" for back in range(self.shown) for what in ("count", "sum")]
        answer = session.execute("HMGET", TOTALS, "newest", *buckets, reads=True)
        newest = answer.reply[0] if answer.outcome is Outcome.OK else None
        return Done(answer.outcome, answer.error, -1 if newest is None else int(newest))

    def final_reads(self, connection: Any) -> Iterator[tuple[str, list[int]]]:
        """What the stream holds, and everything that was counted, as often as it was."""
        yield EVENTS, []
        yield COUNTS, []
        after, first = "-", 0
        while entries := connection.xrange(STREAM, min=after, count=FETCHED):
            yield EVENTS, [int(fields["value"]) for _, fields in entries]
            after = f"({entries[-1][0]}"
        while values := connection.lrange(COUNTED, first, first + FETCHED - 1):
            yield COUNTS, [int(value) for value in values]
            first += FETCHED

    def facts(self, connection: redis.Redis) -> dict[str, Any]:
        """Each bucket's count and sum."""
        totals: Any = connection.hgetall(TOTALS)
        buckets = sorted(name.partition(":")[0] for name in totals if name.endswith(":count"))
        return {"dashboard": {name: [int(totals[f"{name}:count"]), int(totals.get(f"{name}:sum", 0))] for name in buckets}}


def _fields(value: int, bucket: int) -> Iterator[str | int]:
    """An event's fields and their values. Microseconds, since the server's script reckons in doubles."""
    for name, held in zip(FIELDS, (value, bucket, now_ns() // 1000), strict=True):
        yield from (name, held)


def _entries(reply: Any, *, taken_over: bool) -> Sequence[tuple[str, dict[str, str]]]:
    """The entries of a reply: id and fields."""
    if taken_over:
        return [(id_, fields) for id_, fields in reply[1] if fields]
    return reply[0][1] if reply else ()
