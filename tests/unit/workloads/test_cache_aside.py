"""The cache is asked first, the origin for what is not there, and never by more users at once than must."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from harness.recording import Outcome
from harness.sessions import Done
from harness.workloads.cache_aside import CacheAside

HIT = Done(Outcome.OK, "", 7)


class Sides:
    """A cache and an origin whose items all have the value 7; either may be down."""

    def __init__(self, workload: CacheAside, *down: str) -> None:
        self.value, self.down = workload._value(7), down
        self.held: dict[str, str] = {}
        self.ttls: list[float] = []
        self.asked: list[str] = []

    def part(self, name: str) -> tuple[Any, str | None]:
        return self, "connection refused" if name in self.down else None

    def fetch(self, key: str) -> tuple[Outcome, str, str | None]:
        return Outcome.OK, "", self.held.get(key)

    def store(self, key: str, value: str, ttl_s: float) -> tuple[Outcome, str]:
        self.held[key] = value
        self.ttls.append(ttl_s)
        return Outcome.OK, ""

    def forget(self, key: str) -> tuple[Outcome, str]:
        self.held.pop(key, None)
        return Outcome.OK, ""

    def look_up(self, key: int) -> tuple[Outcome, str, str]:
        self.asked.append(f"item {key}")
        gevent.sleep(0.01)
        return Outcome.OK, "", self.value

    def change(self, key: int, text: str, value: int) -> tuple[Outcome, str]:
        self.asked.append(f"item {key}: {value}")
        self.value = text
        return Outcome.OK, ""


def done(workload: CacheAside, sides: Any, kind: str = "read cached", value: int = -1) -> Done:
    return workload.perform(kind, sides, 3, value, None)


def test_what_is_missed_is_asked_of_the_origin_and_is_a_hit_thereafter() -> None:
    workload = CacheAside()
    sides = Sides(workload)
    assert [done(workload, sides), done(workload, sides)] == [Done(Outcome.OK, "miss", 7), HIT]
    assert len(sides.asked) == 1
    assert sides.ttls == [30]


@pytest.mark.parametrize(("single_flight", "asked"), [(False, 5), (True, 1)])
def test_of_users_who_miss_at_once_one_asks_where_that_is_wanted(single_flight: bool, asked: int) -> None:
    workload = CacheAside(single_flight=single_flight)
    sides = Sides(workload)
    users = [gevent.spawn(done, workload, sides) for _ in range(5)]
    gevent.joinall(users, raise_error=True)
    assert len(sides.asked) == asked
    words = sorted(user.get().error for user in users)
    assert words == (["miss", *["miss, shared"] * 4] if single_flight else ["miss"] * 5)
    assert {user.get().seen for user in users} == {7}


def test_users_who_wait_for_one_that_is_cut_short_are_told() -> None:
    workload = CacheAside(single_flight=True)
    sides = Sides(workload)
    first = gevent.spawn(done, workload, sides)
    second = gevent.spawn(done, workload, sides)
    gevent.sleep(0)
    first.kill()
    assert second.get(timeout=1) == Done(Outcome.FAILED, "origin: deadline")
    assert done(workload, sides).error == "miss", "and nobody waits for it any more"


def test_a_cache_that_is_down_is_passed_over() -> None:
    workload = CacheAside()
    assert done(workload, Sides(workload, "cache")) == Done(Outcome.OK, "past the cache", 7)
    assert done(workload, Sides(workload, "cache"), "update", 9) == Done(Outcome.OK, "past the cache")


def test_an_origin_that_is_down_is_not_needed_for_a_hit() -> None:
    workload = CacheAside()
    sides = Sides(workload, "origin")
    assert done(workload, sides) == Done(Outcome.FAILED, "origin: connection refused")
    sides.held["item:3"] = workload._value(7)
    assert done(workload, sides) == HIT
    assert done(workload, sides, "update", 9) == Done(Outcome.FAILED, "origin: connection refused")


@pytest.mark.parametrize(("on_update", "held"), [("invalidate", None), ("write", 9), ("nothing", 7)])
def test_an_update_does_to_the_cache_what_was_asked_for(on_update: Any, held: int | None) -> None:
    workload = CacheAside(on_update=on_update)
    sides = Sides(workload)
    done(workload, sides)
    assert done(workload, sides, "update", 9) == Done(Outcome.OK, "")
    assert sides.held.get("item:3") == (None if held is None else workload._value(held))
    assert sides.value == workload._value(9)


def test_jitter_spreads_the_ttl_by_its_share_and_no_more() -> None:
    workload = CacheAside(ttl_s=10, ttl_jitter_share=0.2)
    ttls = [workload._ttl_s() for _ in range(500)]
    assert 8 <= min(ttls) < 8.2
    assert 11.8 < max(ttls) <= 12


def test_only_an_update_has_a_value_and_its_value_is_its_own() -> None:
    context: Any = SimpleNamespace(random=random.Random(1), unique=iter(range(1, 99)).__next__)
    workload = CacheAside(keys=5)
    plans = [workload.plan(kind, context) for kind in ("update", "read cached", "update")]
    assert [value for _, value, _ in plans] == [1, -1, 2]
    assert {key for key, _, _ in plans} <= set(range(5))
    assert sum(workload.mix.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"reads_share": 0.9, "direct_share": 0.2}, "at most 100 %"),
        ({"reads_share": 0}, "reads are more than 0 %"),
        ({"ttl_s": 1, "ttl_jitter_share": 0.5}, "a ttl is 1s at least"),
        ({"ttl_jitter_share": 1}, "ttl_jitter is less than 100 %"),
    ],
)
def test_what_cannot_be_asked_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CacheAside(**options)
