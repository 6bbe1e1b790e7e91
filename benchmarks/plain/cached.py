"""How does one ask a Redis in front of a PostgreSQL, having read the manuals of redis-py and psycopg?"""

from __future__ import annotations

import random
from typing import Any

import locust
import psycopg
import redis

from benchmarks.plain import NUMBERS, Plain, postgresql, zipfian
from benchmarks.plain import redis as of_redis
from harness.keys import filler
from harness.workloads import cache_aside

ITEMS = cache_aside.CacheAside()


class CacheAside(Plain):
    errors = (redis.RedisError, psycopg.Error)
    value = staticmethod(filler(ITEMS.value_bytes))
    keys = range(ITEMS.keys)
    often = zipfian(ITEMS.keys)

    def open(self) -> None:
        self.cache: Any = of_redis.connect(self.login["cache"])
        self.origin = postgresql.connect(self.login["origin"])

    def close(self) -> None:
        self.cache.close()
        self.origin.close()

    def key(self) -> int:
        return random.choices(self.keys, cum_weights=self.often)[0]

    @locust.task(93)
    def read(self) -> None:
        self.ask("read cached", self.through_the_cache, self.key())

    @locust.task(2)
    def read_origin(self) -> None:
        self.ask("read origin", self.look_up, self.key())

    @locust.task(5)
    def update(self) -> None:
        self.ask("update", self.change, self.key(), next(NUMBERS))

    def through_the_cache(self, key: int) -> str:
        name = f"workload:item:{key}"
        found: str | None = self.cache.get(name)
        if found is None:
            found = self.look_up(key)
            self.cache.set(name, found, px=int(ITEMS.ttl_s * 1000))
        return found

    def look_up(self, key: int) -> str:
        row = self.origin.execute("SELECT value FROM items WHERE id = %s", (key,), prepare=True).fetchone()
        assert row, "every item is there from the beginning"
        return str(row[0])

    def change(self, key: int, number: int) -> None:
        self.origin.execute(
            "WITH changed AS (UPDATE items SET value = %s WHERE id = %s) INSERT INTO changes (value) VALUES (%s)",
            (self.value(number), key, number),
            prepare=True,
        )
        self.cache.delete(f"workload:item:{key}")
