"""Which of Redis Cluster's 16384 slots does a key belong to, and how are slots written down?"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

SLOTS = 16384
Range = tuple[int, int]  # from the first to the last slot, both in it


def slot_of(key: bytes) -> int:
    """The slot of a key: of what is between its first braces, where there are any, else of all of it."""
    begin = key.find(b"{")
    if begin >= 0 and (end := key.find(b"}", begin + 1)) > begin + 1:
        key = key[begin + 1 : end]
    return binascii.crc_hqx(key, 0) % SLOTS


def shares(parts: int) -> list[Range]:
    """All slots in as many ranges as there are parts, none larger than another by more than one."""
    edges = [SLOTS * number // parts for number in range(parts + 1)]
    return [(first, after - 1) for first, after in pairwise(edges)]


def ranges_of(slots: Iterable[int]) -> list[Range]:
    """Single slots as ranges, in order."""
    found: list[Range] = []
    for slot in sorted(slots):
        if found and slot == found[-1][1] + 1:
            found[-1] = (found[-1][0], slot)
        else:
            found.append((slot, slot))
    return found


def slots_of(ranges: Iterable[Range]) -> Iterator[int]:
    """Ranges as single slots."""
    for first, last in ranges:
        yield from range(first, last + 1)


def written(ranges: Iterable[Range]) -> str:
    """`0-5460 9000`, as the servers write them."""
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def read(text: str) -> list[Range]:
    """The ranges of a line as the servers write them; slots on their way (`[93->-id]`) are left out."""
    found = []
    for word in text.split():
        if not word.startswith("["):
            first, _, last = word.partition("-")
            found.append((int(first), int(last or first)))
    return found


def keys_over(ranges: Sequence[Range], count: int, prefix: str) -> list[str]:
    """As many keys, called `<prefix>{number}`, whose slots lie evenly over the ranges."""
    owned = list(slots_of(ranges))
    wanted = {owned[len(owned) * number // count]: number for number in range(min(count, len(owned)))}
    found: dict[int, str] = {}
    number = 0
    while len(found) < len(wanted):
        key = f"{prefix}{{{number}}}"
        number += 1
        if (place := wanted.get(slot_of(key.encode()))) is not None:
            found.setdefault(place, key)
    return [found[place] for place in sorted(found)]
