from __future__ import annotations

import pytest

from harness import slots


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        (b"123456789", 12739),  # the check value of this CRC, of the cluster's specification
        (b"user:{42}:name", 8000),
        (b"{42}", 8000),
        (b"{}42", slots.slot_of(b"{}42")),  # empty braces name nothing
    ],
)
def test_a_key_has_the_slot_that_servers_give_it(key: bytes, slot: int) -> None:
    assert slots.slot_of(key) == slot


def test_all_slots_are_shared_out_evenly() -> None:
    assert slots.shares(3) == [(0, 5460), (5461, 10921), (10922, 16383)]


def test_ranges_are_written_and_read_as_servers_do() -> None:
    assert slots.ranges_of([3, 1, 2, 7]) == [(1, 3), (7, 7)]
    assert slots.written([(1, 3), (7, 7)]) == "1-3 7"
    assert slots.read("1-3 7 [93->-0f]") == [(1, 3), (7, 7)]


def test_keys_lie_evenly_over_ranges() -> None:
    keys = slots.keys_over([(0, 99), (200, 299)], 4, "probe:")
    assert [slots.slot_of(key.encode()) for key in keys] == [0, 50, 200, 250]
