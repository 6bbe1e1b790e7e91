"""How does one ask Memcached, having read pymemcache's manual? By its client for several nodes, which waits for each answer."""

from __future__ import annotations

import random

import locust
from pymemcache.client.hash import HashClient  # type: ignore[import-untyped]  # it comes without types
from pymemcache.exceptions import MemcacheError  # type: ignore[import-untyped]  # the same

from benchmarks.plain import NUMBERS, Plain
from harness.keys import filler
from harness.workloads import entries

HELD = entries.Entries()
WITHIN_S = 1


class Entries(Plain):
    errors = (MemcacheError, OSError)
    value = staticmethod(filler(HELD.value_bytes))

    def open(self) -> None:
        # With timeouts and without delay, as pymemcache's manual asks for ("Best Practices"). Unless told otherwise, it waits for
        # no answer to a write: that would be another operation than ours.
        self.client = HashClient(
            [(host, port) for _, host, port in self.login["servers"]],
            connect_timeout=WITHIN_S, timeout=WITHIN_S, no_delay=True, default_noreply=False,
        )  # fmt: skip
        self.client.get(f"{entries.FILLED}0")  # it connects when it is first asked

    def close(self) -> None:
        self.client.close()

    @locust.task(10)
    def write(self) -> None:
        number = next(NUMBERS)
        self.ask("write", self.client.set, f"{entries.WRITTEN}{number}", self.value(number))

    @locust.task(90)
    def read(self) -> None:
        self.ask("read cached", self.client.get, f"{entries.FILLED}{random.randrange(HELD.keys)}")
