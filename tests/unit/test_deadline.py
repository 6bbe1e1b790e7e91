"""An operation ends when its time is up, be it the first under its timer or a later one."""

from __future__ import annotations

import subprocess
import sys

import gevent
import pytest

from harness.clock import now_ns
from harness.deadline import NEVER, Deadline, Expired

MS = 1_000_000
LONG_S = 30


def test_what_takes_longer_is_ended_and_not_before() -> None:
    deadline, ends = Deadline(), now_ns() + 20 * MS
    with pytest.raises(Expired), deadline.at(ends):
        gevent.sleep(LONG_S)
    assert now_ns() >= ends


def test_a_later_operation_has_its_own_time_though_the_timer_was_set_for_an_earlier_one() -> None:
    deadline, began = Deadline(), now_ns()
    with deadline.at(began + 20 * MS):
        pass
    ends = began + 60 * MS
    with pytest.raises(Expired), deadline.at(ends):
        gevent.sleep(LONG_S)
    assert now_ns() >= ends


def test_an_operation_with_less_time_than_the_one_before_is_ended_in_time() -> None:
    deadline = Deadline()
    with deadline.at(now_ns() + LONG_S * 1000 * MS):
        pass
    began = now_ns()
    with pytest.raises(Expired), deadline.at(began + 20 * MS):
        gevent.sleep(LONG_S)
    assert now_ns() - began < LONG_S * 1000 * MS / 2


def test_nothing_is_ended_between_operations_and_the_next_one_is() -> None:
    deadline = Deadline()
    with deadline.at(now_ns() + 10 * MS):
        pass
    while deadline._alarm.rings_at != NEVER:  # until the timer has rung, for nothing
        gevent.sleep(0.001)
    with pytest.raises(Expired), deadline.at(now_ns() + 10 * MS):
        gevent.sleep(LONG_S)


def test_what_is_late_already_is_ended_when_it_first_waits() -> None:
    with pytest.raises(Expired), Deadline().at(now_ns() - MS):
        gevent.sleep(LONG_S)


def test_each_greenlet_s_own_operation_is_ended() -> None:
    ended = []

    def user(number: int, for_ms: int) -> None:
        with pytest.raises(Expired), Deadline().at(now_ns() + for_ms * MS):
            gevent.sleep(LONG_S)
        ended.append(number)

    gevent.joinall([gevent.spawn(user, 1, 40), gevent.spawn(user, 2, 10)], raise_error=True)
    assert ended == [2, 1]


def test_one_timer_is_enough_for_many_and_those_that_ended_are_forgotten() -> None:
    ends = now_ns() + 40 * MS
    with pytest.raises(Expired), (late := Deadline()).at(ends):
        for number in range(1000):
            with Deadline().at(ends - 30 * MS + number):  # all of them end long before it, and before their time
                pass
        assert len(late._alarm.waiting) > 1000
        gevent.sleep(LONG_S)
    assert now_ns() >= ends
    assert not late._alarm.waiting
    assert late._alarm.rings_at == NEVER


def test_of_two_with_the_same_time_both_are_ended_and_what_they_wait_for_next_is_not() -> None:
    ends, told = now_ns() + 20 * MS, []

    def user(number: int) -> None:
        with pytest.raises(Expired), Deadline().at(ends):
            gevent.sleep(LONG_S)
        gevent.sleep(0.001)
        told.append(number)

    gevent.joinall([gevent.spawn(user, 1), gevent.spawn(user, 2)], raise_error=True)
    assert sorted(told) == [1, 2]


def test_where_gevent_has_patched_threads_all_users_still_share_one_timer() -> None:
    """As in a load's process, whose `threading.local` is each greenlet's own: a timer for each user wakes it up for nothing."""
    asked = """
from gevent import monkey; monkey.patch_all()
import gevent
from harness.deadline import Deadline
print(len({id(user.get()._alarm) for user in [gevent.spawn(Deadline) for _ in range(3)]}))
"""
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert ran.stdout == "1\n"
