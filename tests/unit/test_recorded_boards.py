"""A real failover under a leaderboard and a dashboard is judged as it was; one planted violation flips its judge and the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from harness.history import Array, Outcome
from harness.intervals import authorities
from harness.workloads.leaderboard import OF_RANK, RANKS, SCORES, score_of
from tests.unit.test_recorded import Copy, flipped

NAME = "leaderboard_and_dashboard"


@pytest.fixture
def run(tmp_path: Path) -> Copy:
    """The recorded run, of which nothing was lost, as if it had been asked to lose nothing."""
    copy = Copy(NAME, tmp_path)
    first, *others = copy.events()
    first["expect"] = [
        line | ({"max": 0} if line["metric"] in ("lost_updates", "lost_events") else {}) for line in first["expect"]
    ]
    copy.write_events([first, *others])
    return copy


def held(run: Copy, name: str) -> Array:
    """What the primary of the end held of a set."""
    found: Array = run.was.final_reads.values[authorities(run.was)[0]][name]
    return found


def hold(run: Copy, name: str, change: Callable[[Array], Array]) -> None:
    """Changes what the primary of the end held of a set."""
    path = run.folder / "final_reads.parquet"
    table = pq.read_table(path)
    [node] = authorities(run.was)
    here = np.array(
        [
            where == node and of == name
            for where, of in zip(*map(pa.ChunkedArray.to_pylist, (table["node"], table["set"])), strict=True)
        ]
    )
    values = np.sort(change(table["value"].to_numpy()[here]))
    columns = {"node": pa.array([node] * len(values)), "set": pa.array([name] * len(values)), "value": pa.array(values)}
    other = table.filter(pa.array(~here))
    changed = pa.concat_tables([other, pa.table(columns).cast(other.schema)])
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)


def measured(result: Mapping[str, Any]) -> dict[str, float]:
    return {name: one["value"] for finding in result["findings"] for name, one in finding["measured"].items()}


def acknowledged(run: Copy, kind: str) -> Array:
    """Which operations of a kind were acknowledged."""
    operations = run.was.operations
    found: Array = operations.mask(lane="workload", kind=kind) & (operations["outcome"] == Outcome.OK)
    return found


def test_it_has_what_is_looked_for(run: Copy) -> None:
    assert len(held(run, RANKS)) == len(held(run, SCORES)) == 500
    assert len(held(run, "counted")) > 300
    assert acknowledged(run, "update").sum() > 200


# --- the leaderboard ---


def exchange_two_ranks(run: Copy) -> None:
    def exchanged(values: Array) -> Array:
        values = values.copy()
        values[[10, 20]] = values[[10, 20]] // OF_RANK * OF_RANK + values[[20, 10]] % OF_RANK
        return values

    hold(run, RANKS, exchanged)


def set_a_score_that_nobody_set(run: Copy) -> None:
    hold(run, SCORES, lambda values: np.append(values[1:], score_of(3000 << 40)))


def forget_a_member(run: Copy) -> None:
    hold(run, RANKS, lambda values: values[:-1])
    hold(run, SCORES, lambda values: values[1:])


def forget_an_update(run: Copy) -> None:
    """A member's last update and the one before it exchange their numbers: what is there is the older one then."""
    operations = run.was.operations
    ok = np.flatnonzero(acknowledged(run, "update"))
    there = set(held(run, SCORES).tolist())
    for place in ok[::-1]:
        before = [
            at
            for at in ok
            if operations["key"][at] == operations["key"][place] and operations["ended"][at] < operations["started"][place]
        ]
        if before and score_of(int(operations["value"][place])) in there:
            values = operations["value"].copy()
            values[[before[-1], place]] = values[[place, before[-1]]]
            run.operations(np.ones(len(operations), dtype=bool), value=values)
            return
    pytest.fail("no member was updated twice")


@pytest.mark.parametrize(
    ("plant", "metric"),
    [
        (exchange_two_ranks, "wrong_ranks"),
        (set_a_score_that_nobody_set, "wrong_scores"),
        (forget_a_member, "wrong_scores"),
        (forget_an_update, "lost_updates"),
    ],
)
def test_a_wrong_board_fails(run: Copy, plant: Callable[[Copy], None], metric: str) -> None:
    before = measured(run.judged())[metric]
    plant(run)
    result = run.judged()
    assert measured(result)[metric] > before
    assert (result["verdict"], flipped(result)) == ("fail", {"leaderboard": "fail"})


# --- the dashboard ---


def count_an_event_twice(run: Copy) -> None:
    hold(run, "counted", lambda values: np.append(values, values[0]))


def never_count_an_event(run: Copy) -> None:
    hold(run, "counted", lambda values: np.delete(values, 0))


@pytest.mark.parametrize(
    ("plant", "metric"), [(count_an_event_twice, "double_counted_events"), (never_count_an_event, "lost_events")]
)  # fmt: skip
def test_a_wrong_count_fails_and_so_does_its_total(run: Copy, plant: Callable[[Copy], None], metric: str) -> None:
    before = measured(run.judged())[metric]
    plant(run)
    result = run.judged()
    assert (result["verdict"], flipped(result)) == ("fail", {"dashboard": "fail"})
    assert measured(result)[metric] == before + 1
    assert measured(result)["wrong_totals"] == 1


@pytest.mark.parametrize(("kind", "checker"), [("update", "leaderboard"), ("write", "dashboard")])
def test_where_nothing_was_acknowledged_its_judge_and_the_run_are_unknown(run: Copy, kind: str, checker: str) -> None:
    run.operations(acknowledged(run, kind), outcome=Outcome.UNKNOWN)
    result = run.judged()
    assert flipped(result)[checker] == "unknown"
    assert result["verdict"] == "unknown"
