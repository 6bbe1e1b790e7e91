"""Which key does the next operation ask for, and what is written there?

Users of a cache ask for few keys often and for most keys seldom. This runs in client nodes, where there is no numpy.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Literal

Distribution = Literal["uniform", "zipfian"]
DIGITS = 20  # of the number that a value carries
SKEW = 0.99  # the exponent that YCSB uses: of a million keys, the first is asked for 6 % of the time


def chooser(distribution: Distribution, count: int, skew: float = SKEW) -> Callable[[random.Random], int]:
    """Draws keys from 0 to `count` - 1; of zipfian ones, key k is drawn in proportion to 1 / (k + 1) ** skew."""
    if distribution == "uniform":
        return lambda rng: rng.randrange(count)
    return Zipfian(count, skew)


class Zipfian:
    """Rejection-inversion (Hörmann and Derflinger, 1996): no table, whatever the number of keys, and exact.

    The density is inverted as if keys were continuous, and a draw is thrown away where the steps lie below that curve.
    """

    def __init__(self, count: int, skew: float) -> None:
        if count < 1 or skew <= 0:
            raise ValueError("a zipfian choice needs at least one key, and a skew above 0")
        self._count, self._skew = count, skew
        self._first = self._integral(1.5) - 1
        self._last = self._integral(count + 0.5)
        self._sure = 2 - self._inverse(self._integral(2.5) - self._density(2))

    def __call__(self, rng: random.Random) -> int:
        while True:
            drawn = self._last + rng.random() * (self._first - self._last)
            at = self._inverse(drawn)
            rank = min(max(int(at + 0.5), 1), self._count)
            if rank - at <= self._sure or drawn >= self._integral(rank + 0.5) - self._density(rank):
                return rank - 1

    def _density(self, at: float) -> float:
        return math.exp(-self._skew * math.log(at))

    def _integral(self, at: float) -> float:
        """The density's integral from 1, at a skew of 1 its logarithm."""
        return _grown(1 - self._skew, math.log(at))

    def _inverse(self, area: float) -> float:
        power = 1 - self._skew
        scaled = max(area * power, -1)
        return math.exp(area if abs(power) < _TINY else math.log1p(scaled) / power)


_TINY = 1e-9


def _grown(power: float, by: float) -> float:
    """(e ** (power * by) - 1) / power, which near a power of 0 is `by`."""
    return by if abs(power) < _TINY else math.expm1(power * by) / power


def filler(size_bytes: int, seed: int = 0) -> Callable[[int], str]:
    """Makes values of a size out of the number that they carry, in front, so that a read can tell which write it saw.

    Raises ValueError for a size that has no room for the number.
    """
    more = size_bytes - DIGITS
    if more < 0:
        raise ValueError(f"a value takes {DIGITS} bytes at least, for the number that it carries")
    rest = random.Random(seed).randbytes(more // 2 + 1).hex()[:more]
    return lambda number: f"{number:0{DIGITS}d}{rest}"


def carried(value: str | bytes) -> int:
    """The number that a value of `filler` carries."""
    return int(value[:DIGITS])
