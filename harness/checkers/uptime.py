"""How available was the system to its users over time: in how many seconds, and in the worst stretch of any length?

A share of operations says neither: ten short blips and one long outage can be the same share. Windowed user-uptime is the
method of Hauer et al., "Meaningful Availability" (NSDI 2020), with its minimal cumulative ratio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from harness.bounds import expectations, judge, show
from harness.clock import MILLISECOND_NS, SECOND_NS
from harness.history import Array, History, Operations
from harness.intervals import deadline_s, during, in_time, intended, phases, users
from harness.verdict import Finding, Measured, exactly

WINDOW_NS = SECOND_NS
GOOD = 0.99  # a window is good when at least this share of its operations was answered in time
STEP_NS = 100 * MILLISECOND_NS  # how far apart the stretches begin that are compared
LENGTHS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)
AT_ONCE = 1 << 20  # operations that are worked on together, so that those of hours need no more memory than a few of them
ACTIVE_QUANTILE = 0.99  # a user who asks nothing for longer than between most operations is away, neither up nor down


@dataclass(frozen=True)
class Uptime:
    """The share of one-second windows that were good, and the share of their time in which users were up.

    A window is good when at least 99 % of the operations meant to start in it were answered within their deadline; one in
    which nothing was meant to start does not count. A user is up from the intended start of an operation that is answered
    in time until that of the next, and down after one that is not. `by` of `user_uptime` has the worst stretch of each
    length (`worst 10s`), of all users together, and both metrics' `by` the parts of the run.
    """

    metrics: ClassVar[Mapping[str, str]] = {"window_availability": "share", "user_uptime": "share"}

    def check(self, history: History) -> Finding:
        asked = intended(history)
        deadline = int(deadline_s(history) * SECOND_NS)
        parts = {name: during(asked, interval) for name, interval in phases(history).items()}
        windows = {name: _good_windows(part, deadline) for name, part in parts.items() if len(part)}
        measured = {
            "window_availability": replace(_good_windows(asked, deadline), by=windows),
            "user_uptime": _user_uptime(asked, deadline, parts),
        }
        verdict, sentences = judge(measured, expectations(history, self.metrics))
        said = sentences or [f"{name} {show(one)}" for name, one in measured.items()]
        return Finding("uptime", verdict, "; ".join(said) if len(asked) else "the workload asked nothing", measured)


def _good_windows(asked: Operations, deadline: int) -> Measured:
    if not len(asked):
        return exactly(None, "share")
    window = (asked["intended"] - asked["intended"].min()) // WINDOW_NS
    meant = np.bincount(window)
    answered = np.bincount(window, weights=in_time(asked, deadline))
    good = answered[meant > 0] >= GOOD * meant[meant > 0]
    return exactly(float(good.mean()), "share")


# --- user-uptime -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stretches:
    """Times (ns) of users, each from `begins` to `ends`, and whether the user was `up` in it."""

    begins: Array
    ends: Array
    up: Array

    def within(self, first: int, count: int) -> tuple[Array, Array]:
        """How much of all users' time before each of `count` steps from `first` on was up, and how much there was, in ns."""
        was_up, was_down = np.zeros(count, np.int64), np.zeros(count, np.int64)
        for place in range(0, len(self.up), AT_ONCE):
            begins, ends, up = (column[place : place + AT_ONCE] for column in (self.begins, self.ends, self.up))
            was_up += _before(first, count, begins[up], ends[up])
            was_down += _before(first, count, begins[~up], ends[~up])
        return was_up, was_up + was_down


def _user_uptime(asked: Operations, deadline: int, parts: Mapping[str, Operations]) -> Measured:
    if not len(asked):
        return exactly(None, "share")
    by = {name: _share(stretches(part, deadline)) for name, part in parts.items() if len(part)}
    whole = stretches(asked, deadline)
    by |= {f"worst {length_s}s": exactly(worst, "share") for length_s, worst in curve(whole)}
    return replace(_share(whole), by=by)


def _share(time: Stretches) -> Measured:
    lasted = time.ends - time.begins
    whole = int(lasted.sum())
    return exactly(float(lasted[time.up].sum() / whole) if whole else None, "share")


def stretches(asked: Operations, deadline: int) -> Stretches:
    """Each operation's time until its user's next, or until the user is taken to be away."""
    user = users(asked)
    order = np.argsort(user, kind="stable")  # as they were meant to start, each user's
    begins, up, user = asked["intended"][order], in_time(asked, deadline)[order], user[order]
    same = np.concatenate([user[1:] == user[:-1], [False]])
    lasted = np.diff(begins, append=begins[-1:])
    between = lasted[same & (lasted > 0)]
    active = int(np.quantile(between, ACTIVE_QUANTILE, method="higher", overwrite_input=True)) if len(between) else WINDOW_NS
    lasted[~same] = active
    ends = begins + np.minimum(lasted, active, out=lasted)
    return Stretches(begins, ends, up)


def curve(time: Stretches) -> list[tuple[int, float]]:
    """For each length in s, up to that of the run: the least share of users' time that was up in any stretch so long."""
    first, last = int(time.begins.min()), int(time.ends.max())
    up, whole = time.within(first, (last - first) // STEP_NS + 1)
    found = []
    for length_s in LENGTHS_S:
        steps = length_s * SECOND_NS // STEP_NS
        if steps >= len(whole):
            break
        there = whole[steps:] - whole[:-steps]
        counts = there > 0
        found.append((length_s, float(((up[steps:] - up[:-steps])[counts] / there[counts]).min())))
    return found


def _before(first: int, count: int, begins: Array, ends: Array) -> Array:
    """The sum over all stretches of the part that lies before each of `count` steps from `first` on, in ns.

    In whole numbers: in floats, the small differences between large sums would be lost.
    """
    (began, since_begin), (ended, since_end) = (_by_step(first, count, moments) for moments in (begins, ends))
    going_on = np.cumsum(began - ended)
    until_next = np.cumsum(np.concatenate([[0], going_on[:-1]])) * STEP_NS
    before: Array = until_next + np.cumsum(since_begin - since_end)
    return before


def _by_step(first: int, count: int, moments: Array) -> tuple[Array, Array]:
    """How many moments passed since the step before each one, and the sum of the times that it is since then."""
    after = moments - first
    step = -(-after // STEP_NS)
    since = np.bincount(step, step * STEP_NS - after, minlength=count)[:count]  # few and short: exact as floats, too
    return np.bincount(step, minlength=count)[:count], since.astype(np.int64)
