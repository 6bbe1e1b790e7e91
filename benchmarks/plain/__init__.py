"""What does one write after reading Locust's manual? Users who ask what ours ask, in the same shares, by the same libraries.

One protocol a file, as in `harness/sessions`; a class there has the name of the workload whose plain twin it is.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from itertools import accumulate, count
from typing import Any, ClassVar

import locust

from harness.keys import SKEW
from harness.registry import class_name

NUMBERS = count(1)  # one for each write


class Plain(locust.User):
    """Asks at moments of its own, as ours do: `users` evenly over the interval between two operations of one of them."""

    abstract = True
    errors: ClassVar[tuple[type[Exception], ...]]  # what the library raises
    login: ClassVar[dict[str, Any]]
    users: ClassVar[int]
    interval_s: ClassVar[float]
    connected: ClassVar[list[Plain]]

    def open(self) -> None:
        """Connects to the server of `login`."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def on_start(self) -> None:
        self.open()
        self.due = time.monotonic() // (self.interval_s or 1) * self.interval_s
        self.due += self.interval_s * (len(self.connected) / self.users - 1)  # the first operation comes before it
        self.connected.append(self)

    def on_stop(self) -> None:
        self.close()

    def wait_time(self) -> float:
        self.due += self.interval_s
        return max(0, self.due - time.monotonic())

    def ask(self, kind: str, call: Callable[..., Any], *given: Any, **more: Any) -> Any:
        """Tells Locust of a call what the manual says that one tells; returns what the call does."""
        reply, error, began = None, None, time.perf_counter()
        try:
            reply = call(*given, **more)
        except self.errors as problem:
            error = problem
        self.environment.events.request.fire(
            request_type=kind, name="writer", response_time=(time.perf_counter() - began) * 1000, response_length=0,
            exception=error, context={},
        )  # fmt: skip
        return reply


def twin_of(workload: str, protocol: str) -> type[Plain]:
    """The users who do what a workload's do."""
    found: type[Plain] = getattr(importlib.import_module(f"benchmarks.plain.{protocol}"), class_name(workload))
    return found


def zipfian(count: int) -> list[float]:
    """What `random.choices` draws by: key k in proportion to 1 / (k + 1) ** SKEW, as the harness does."""
    return list(accumulate(1 / rank**SKEW for rank in range(1, count + 1)))
