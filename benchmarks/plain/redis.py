"""How does one ask Redis, having read redis-py's manual? A client for each user, and the methods that it has for commands."""

from __future__ import annotations

import random
import time
from bisect import bisect
from collections import deque
from typing import Any, ClassVar

import locust
import redis

from benchmarks.plain import NUMBERS, Plain, zipfian
from harness.keys import filler
from harness.workloads import dashboard, leaderboard, scattered, session_store

STORE = session_store.SessionStore()
BOARD = leaderboard.Leaderboard()
SCREEN = dashboard.Dashboard()
LISTS = scattered.Scattered()


def connect(login: dict[str, Any]) -> redis.Redis:
    client = redis.Redis(host=login["host"], port=login["port"], decode_responses=True)
    client.ping()  # it connects when it is first asked
    return client


class Redis(Plain):
    abstract = True
    errors = (redis.RedisError,)

    def open(self) -> None:
        self.redis: Any = connect(self.login)  # what its methods return may be awaited or not, as it is typed

    def close(self) -> None:
        self.redis.close()


class SessionStore(Redis):
    live: ClassVar[list[int]] = []
    ended: ClassVar[deque[int]] = deque(maxlen=session_store.ENDED_KEPT)
    value = staticmethod(filler(STORE.value_bytes))
    latest_first = zipfian(200_000)  # sessions at once: more than come to be in a benchmark

    def choose(self) -> int:
        """The place of a session: mostly one of the latest."""
        there = len(self.live)
        return there - 1 - bisect(self.latest_first, random.random() * self.latest_first[there - 1]) if there else -1

    def known(self) -> int:
        at = self.choose()
        return self.live[at] if at >= 0 else session_store.GONE

    @locust.task(50)
    def read(self) -> None:
        again = self.ended and random.random() < session_store.ENDED_SHARE
        number = random.choice(self.ended) if again else self.known()
        self.ask("read", self.redis.get, f"{session_store.PREFIX}{number}")

    @locust.task(20)
    def log_in(self) -> None:
        number = self.log_in_for("log_in", STORE.ttl_s)
        self.live.append(number)

    @locust.task(5)
    def log_in_briefly(self) -> None:
        number = self.log_in_for("log_in_briefly", STORE.brief_ttl_s)
        self.ended.append(number)

    def log_in_for(self, kind: str, ttl_s: float) -> int:
        number = next(NUMBERS)
        self.ask(kind, self.redis.set, f"{session_store.PREFIX}{number}", self.value(number), px=int(ttl_s * 1000))
        return number

    @locust.task(15)
    def touch(self) -> None:
        self.ask("touch", self.redis.pexpire, f"{session_store.PREFIX}{self.known()}", int(STORE.ttl_s * 1000))

    @locust.task(10)
    def log_out(self) -> None:
        number = self.live.pop(self.choose()) if self.live else session_store.GONE
        self.ended.append(number)
        self.ask("log_out", self.redis.delete, f"{session_store.PREFIX}{number}")


class Leaderboard(Redis):
    members = range(BOARD.members)
    often = zipfian(BOARD.members)

    def member(self) -> int:
        return random.choices(self.members, cum_weights=self.often)[0]

    @locust.task(40)
    def update(self) -> None:
        self.ask("update", self.redis.zadd, leaderboard.KEY, {self.member(): leaderboard.score_of(next(NUMBERS))})

    @locust.task(40)
    def rank(self) -> None:
        self.ask("read rank", self.redis.zrevrank, leaderboard.KEY, self.member())

    @locust.task(20)
    def top(self) -> None:
        self.ask("read top", self.redis.zrevrange, leaderboard.KEY, 0, BOARD.top - 1, withscores=True)


class Dashboard(Redis):
    def open(self) -> None:
        super().open()
        self.count_all = self.redis.register_script(dashboard._COUNT)

    def bucket(self) -> int:
        return int(time.monotonic() / SCREEN.bucket_s)

    @locust.task(50)
    def write(self) -> None:
        event = {"value": next(NUMBERS), "bucket": self.bucket(), "at": time.monotonic_ns() // 1000}
        self.ask("write", self.redis.xadd, dashboard.STREAM, event)

    @locust.task(22)
    def count(self) -> None:
        self.ask("count", self.count_new, f"consumer-{random.randrange(dashboard.CONSUMERS)}")

    @locust.task(3)
    def take_over(self) -> None:
        self.ask("take over", self.count_old, f"consumer-{random.randrange(dashboard.CONSUMERS)}")

    def count_new(self, consumer: str) -> None:
        streams = self.redis.xreadgroup(dashboard.GROUP, consumer, {dashboard.STREAM: ">"}, count=SCREEN.batch)
        for _, entries in streams:
            self.count_entries(entries)

    def count_old(self, consumer: str) -> None:
        idle_ms = int(SCREEN.claim_after_s * 1000)
        _, entries, _ = self.redis.xautoclaim(dashboard.STREAM, dashboard.GROUP, consumer, idle_ms, count=SCREEN.batch)
        if entries:
            self.count_entries(entries)

    def count_entries(self, entries: list[tuple[str, dict[str, str]]]) -> None:
        parts = [part for id_, event in entries for part in (id_, event["value"], event["bucket"], event["at"])]
        self.count_all(keys=[dashboard.STREAM, dashboard.TOTALS, dashboard.COUNTED], args=[dashboard.GROUP, *parts])

    @locust.task(25)
    def screen(self) -> None:
        now = self.bucket()
        fields = [f"{now - back}:{what}" for back in range(SCREEN.shown) for what in ("count", "sum")]
        self.ask("read screen", self.redis.hmget, dashboard.TOTALS, ["newest", *fields])


class Scattered(Redis):
    value = staticmethod(filler(LISTS.value_bytes))

    def key(self) -> str:
        return f"{scattered.PREFIX}{random.randrange(LISTS.lists)}"

    @locust.task(70)
    def append(self) -> None:
        self.ask("append", self.redis.rpush, self.key(), self.value(next(NUMBERS)))

    @locust.task(30)
    def read(self) -> None:
        self.ask("read", self.redis.lindex, self.key(), -1)
