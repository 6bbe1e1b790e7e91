"""A real run of a session store is judged as it was; one planted violation flips its judge and the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.checkers.sessions import GONE, LOOKS
from harness.history import Array, Outcome
from harness.intervals import authorities
from tests.unit.test_recorded import Copy, flipped


@pytest.fixture
def run(tmp_path: Path) -> Copy:
    return Copy("session_store", tmp_path)


def looks(run: Copy) -> Array:
    """Which operations looked at a session, and were answered."""
    operations = run.was.operations
    found: Array = operations.mask(lane="workload", kind=LOOKS) & (operations["outcome"] == Outcome.OK) & (operations["key"] > 0)
    return found


def logged_out(run: Copy) -> Array:
    operations = run.was.operations
    gone = operations.mask(lane="workload", kind="log_out") & (operations["outcome"] == Outcome.OK)
    found: Array = operations["key"][gone]
    return found


def one(where: Array) -> Array:
    """The first of them alone."""
    alone = np.zeros(len(where), dtype=bool)
    alone[np.flatnonzero(where)[0]] = True
    return alone


def said(run: Copy) -> str:
    result = run.judged()
    assert (result["verdict"], flipped(result)) == ("fail", {"sessions": "fail"}), result["reason"]
    return str(result["reason"])


def test_a_session_that_is_found_gone_flips_the_run(run: Copy) -> None:
    operations = run.was.operations
    stayed = looks(run) & (operations["value"] != GONE) & ~np.isin(operations["key"], logged_out(run))
    run.operations(one(stayed & operations.mask(kind="read")), value=GONE)
    assert said(run).startswith("1 of ")


def test_a_session_that_is_seen_after_its_log_out_flips_the_run(run: Copy) -> None:
    operations = run.was.operations
    out = np.flatnonzero(operations.mask(lane="workload", kind="log_out") & (operations["outcome"] == Outcome.OK))
    ended = dict(zip(operations["key"][out].tolist(), operations["ended"][out].tolist(), strict=True))
    later = np.array([at > ended.get(key, at) for key, at in zip(operations["key"], operations["started"], strict=True)])
    run.operations(one(looks(run) & (operations["value"] == GONE) & later), value=operations["key"])
    assert ", 1 seen after their end" in said(run)


def test_a_session_that_the_primary_lacks_in_the_end_flips_the_run(run: Copy) -> None:
    [node] = authorities(run.was)
    operations = run.was.operations
    log_ins = operations.mask(lane="workload", kind="log_in") & (operations["outcome"] == Outcome.OK)
    mine = np.intersect1d(run.was.final_reads.values[node]["sessions"], operations["key"][log_ins])
    run.final_reads(np.delete, int(np.setdiff1d(mine, logged_out(run))[0]))
    assert said(run).startswith("1 of ")


def test_without_one_acknowledged_log_in_nobody_can_tell(run: Copy) -> None:
    run.operations(run.was.operations.mask(lane="workload"), outcome=Outcome.UNKNOWN)
    finding = next(finding for finding in run.judged()["findings"] if finding["checker"] == "sessions")
    assert (finding["verdict"], "no log-in was acknowledged" in finding["summary"]) == ("unknown", True)
