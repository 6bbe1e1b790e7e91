"""Keys are drawn as asked: every one as often as another, or few of them often."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from harness.keys import DIGITS, SKEW, Zipfian, carried, chooser, filler

DRAWS = 50_000


def drawn(choose: object, count: int) -> list[float]:
    """How often each key was drawn, as a share."""
    rng = random.Random(1)
    assert callable(choose)
    found = Counter(choose(rng) for _ in range(DRAWS))
    assert set(found) <= set(range(count))
    return [found[key] / DRAWS for key in range(count)]


@pytest.mark.parametrize("skew", [0.5, SKEW, 1.0, 1.3])
@pytest.mark.parametrize("count", [1, 2, 10, 100])
def test_zipfian_keys_are_drawn_in_proportion_to_their_rank(count: int, skew: float) -> None:
    total = sum((key + 1) ** -skew for key in range(count))
    expected = [(key + 1) ** -skew / total for key in range(count)]
    # Five times the standard deviation of a share that is drawn so often.
    assert drawn(Zipfian(count, skew), count) == pytest.approx(expected, abs=5 * (0.25 / DRAWS) ** 0.5)


def test_uniform_keys_are_all_drawn_alike() -> None:
    assert drawn(chooser("uniform", 10), 10) == pytest.approx([0.1] * 10, abs=0.01)


def test_a_million_keys_need_no_table_and_the_first_is_a_sixteenth_of_the_questions() -> None:
    rng, choose = random.Random(1), chooser("zipfian", 1_000_000)
    keys = [choose(rng) for _ in range(DRAWS)]
    assert keys.count(0) / DRAWS == pytest.approx(0.065, abs=0.01)
    assert max(keys) > 900_000


def test_the_same_seed_draws_the_same_keys() -> None:
    choose = chooser("zipfian", 1000)
    one, other = random.Random(7), random.Random(7)
    assert [choose(one) for _ in range(100)] == [choose(other) for _ in range(100)]


@pytest.mark.parametrize(("count", "skew"), [(0, 1.0), (10, 0.0)])
def test_a_choice_among_none_or_without_a_skew_is_refused(count: int, skew: float) -> None:
    with pytest.raises(ValueError, match="zipfian"):
        Zipfian(count, skew)


@pytest.mark.parametrize("size", [DIGITS, 21, 64, 1000])
def test_a_value_has_its_size_and_carries_its_number(size: int) -> None:
    value = filler(size)(42_000_000_000_007)
    assert (len(value), carried(value), carried(value.encode())) == (size, 42_000_000_000_007, 42_000_000_000_007)


def test_a_value_without_room_for_its_number_is_refused() -> None:
    with pytest.raises(ValueError, match="20 bytes at least"):
        filler(19)
