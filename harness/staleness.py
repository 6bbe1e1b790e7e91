"""How old was what a read saw?

A value is stale when it had been replaced for certain before the read began: by an update of the same key that began after the
value's own had ended, and that was acknowledged. It is stale since that acknowledgement; the truth is at most an update's latency
more.
"""

from __future__ import annotations

import numpy as np

from harness.clock import SECOND_NS
from harness.history import NOTHING, Array, Operations, Outcome
from harness.recording import OLDEST

NEVER = np.iinfo(np.int64).max


def replaced_at(updates: Operations, reads: Operations) -> Array:
    """For each read, since when (ns) its value was surely replaced; NEVER for one that was not, or of which nothing is known."""
    sure = updates.at((updates["outcome"] == Outcome.OK) & (updates["ended"] != NOTHING))
    sure = sure.at(np.lexsort((sure["started"], sure["key"])))
    keys, started, ended, asked = sure["key"], sure["started"], sure["ended"], reads["key"]
    over = _over(updates, reads)
    found = np.full(len(reads), NEVER)
    for rows in _by_key(asked, np.flatnonzero(over < NEVER)):
        first, last = np.searchsorted(keys, asked[rows[0]], "left"), np.searchsorted(keys, asked[rows[0]], "right")
        at = np.searchsorted(started[first:last], over[rows], "right")  # the first update after the value's own
        earliest = np.minimum.accumulate(ended[first:last][::-1])[::-1]  # end of it, or of one that started later
        there = at < last - first
        found[rows[there]] = earliest[at[there]]
    return found


def _by_key(keys: Array, rows: Array) -> list[Array]:
    """The rows, those of one key together."""
    rows = rows[np.argsort(keys[rows], kind="stable")]
    return np.split(rows, np.flatnonzero(np.diff(keys[rows])) + 1) if len(rows) else []


def _over(updates: Operations, reads: Operations) -> Array:
    """For each read, since when the update that wrote its value was over for certain; NEVER where that is not known.

    It was when it was acknowledged, or, if nobody was told so, when somebody had read what it wrote.
    """
    values, which = np.unique(reads["value"], return_inverse=True)
    over = np.full(len(values), NEVER)
    np.minimum.at(over, which, reads["ended"])
    sure = (updates["outcome"] == Outcome.OK) & (updates["ended"] != NOTHING)
    written, ended = updates["value"][sure], updates["ended"][sure]
    at = np.minimum(np.searchsorted(values, written), max(len(values) - 1, 0))
    known = values[at] == written if len(values) else np.zeros(len(written), dtype=bool)
    np.minimum.at(over, at[known], ended[known])
    over[values == OLDEST] = NOTHING
    over[values == NOTHING] = NEVER  # no value at all
    found: Array = over[which]
    return found


def stale_seconds(reads: Operations, replaced: Array) -> Array:
    """For each read how stale its value was, in seconds, at its begin."""
    stale: Array = np.where(replaced < reads["started"], reads["started"] - np.minimum(replaced, reads["started"]), 0) / SECOND_NS
    return stale
