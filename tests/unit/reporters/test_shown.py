"""Are numbers, bounds and sentences said as they are known, and no better?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.reporters import _shown
from harness.verdict import Measured
from tests.unit.reporters import sample


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (Measured(22.4131, "s", 22.38, 22.44), "22.41 s (22.38 … 22.44 s)"),
        (Measured(0.91, "s", 0.81, 1.01), "0.91 s (0.81 … 1.01 s)"),
        (Measured(0.0641, "s", 0.06, 0.068), "64.1 ms (60.0 … 68.0 ms)"),
        (Measured(0.0, "s", 0.0, 0.0), "0.00 s"),
        (Measured(4.1, "s", 4.1, None), "≥ 4.10 s (not over when measuring ended)"),
        (Measured(0.9999996, "share", 0.9999996, 0.9999996), "99.999 %"),
        (Measured(1_234_567, "count", 1_234_567, 1_234_567), "1,234,567"),
        (Measured(None, "s"), "unknown"),
        (Measured(float("nan"), "s"), "unknown"),
    ],
)
def test_a_metric_is_said_with_its_bounds(measured: Measured, said: str) -> None:
    assert _shown.shown(measured) == said


def result(expect: list[dict[str, Any]], **measured: dict[str, Any]) -> dict[str, Any]:
    return {"findings": [{"checker": "c", "verdict": "pass", "measured": measured}], "expect": expect, "faults": []}


@pytest.mark.parametrize(
    ("lower", "upper", "verdict"), [(1.0, 2.0, "pass"), (2.5, 3.5, "unknown"), (3.1, 3.5, "fail"), (1.0, None, "fail")]
)
def test_a_bound_holds_only_for_the_whole_of_what_may_be_true(lower: float, upper: float | None, verdict: str) -> None:
    expect = [{"metric": "write_outage", "max": 3.0}]
    judged = result(expect, write_outage=sample.measured(lower, "s", lower, upper))
    assert [row.verdict for row in _shown.expectations(judged)] == [verdict]
    assert [card.verdict for card in _shown.cards(judged)] == [verdict]


def test_a_bound_for_a_phase_is_held_against_that_phase() -> None:
    by = {"before": sample.measured(1.0, "s", 1.0, 1.0), "fault": sample.measured(9.0, "s", 9.0, 9.0)}
    expect = [{"metric": "write_p99", "max": 3.0, "during": phase} for phase in ("before", "fault", "after")]
    rows = _shown.expectations(result(expect, write_p99=sample.measured(9.0, "s", 9.0, 9.0, **by)))
    assert [(row.bound, row.measured, row.verdict) for row in rows] == [
        ("at most 3 s, before the fault", "1.00 s", "pass"),
        ("at most 3 s, during the fault", "9.00 s", "fail"),
        ("at most 3 s, after the fault", "unknown", "unknown"),
    ]


def test_an_expected_metric_that_nobody_measured_is_there_as_unknown() -> None:
    (row,) = _shown.expectations(result([{"metric": "split_brain", "max": 0, "because": "fencing"}]))
    assert (row.metric, row.measured, row.verdict, row.because) == ("split_brain", "unknown", "unknown", "fencing")


def test_cards_begin_with_what_everybody_asks_and_end_with_what_the_scenario_bounds() -> None:
    assert [card.metric for card in _shown.cards(sample.result())] == [
        "write_outage", "lost_writes", "availability", "recovery", "read_outage", "write_p99",
    ]  # fmt: skip


def test_the_sentences_say_what_was_hit_how_long_and_what_was_lost() -> None:
    assert _shown.in_words(sample.result("fail")) == [
        "The crash hit pg-az-a (writer) at 19.03 s and was healed at 42.00 s.",
        "In the worst zone, clients could not write for 22.21 s (22.18 … 22.24 s).",
        "359 acknowledged writes were lost.",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [(0, "The primary stayed the same."), (1, "Another node became primary."), (2, "The primary changed 2 times.")],
)
def test_whether_the_primary_changed_is_said(changes: int, said: str) -> None:
    assert _shown.in_words(result([], role_changes=sample.measured(changes, "count", changes, changes))) == [said]


def test_who_waited_longest_is_said_of_clients_that_nobody_cuts_short() -> None:
    own = sample.measured(1.0, "s", 1.0, 1.0)
    hung = sample.measured(85.0, "s", 85.0, None)
    both = sample.measured(85.0, "s", 85.0, None, **{"workload writer": own, "default direct": hung})
    assert _shown.in_words(result([], longest_wait=both)) == [
        "The client that waited longest for one answer (default direct) waited for ≥ 85.00 s (not over when measuring ended)."
    ]
    alone = sample.measured(1.0, "s", 1.0, 1.0, **{"workload writer": own})
    assert _shown.in_words(result([], longest_wait=alone)) == []


def test_the_sentences_do_not_claim_a_fault_that_was_not_seen_or_did_not_fire() -> None:
    unseen = sample.result("unknown")
    assert "not witnessed" in _shown.in_words(unseen)[0]
    unseen["faults"][0] |= {"injected_at_s": None, "hit": []}
    assert _shown.in_words(unseen)[0] == "The fault (crash of writer) was never injected."


def test_a_change_that_never_began_or_that_nobody_else_saw_is_no_fault() -> None:
    _, told = sample.switched_over()
    [change] = told["faults"]
    assert _shown.occasion(told) == "change"
    change["witnessed"] = False
    assert "Nobody else saw that" in _shown.in_words(told)[0]
    change |= {"injected_at_s": None, "hit": []}
    assert _shown.in_words(told)[0] == "The change (switchover) was never begun."


def test_parts_of_parts_are_named_by_their_way() -> None:
    inner = sample.measured(2, "count", 2, 2, deadline=sample.measured(2, "count", 2, 2))
    ((title, parts),) = _shown.split(result([], errors=sample.measured(2, "count", 2, 2, fault=inner, **{"az-a": inner})))
    assert title == "Errors"
    assert [part.name for part in parts] == ["fault", "fault, deadline", "az-a", "az-a, deadline"]


def test_evidence_of_any_shape_becomes_a_table() -> None:
    assert _shown.table([{"a": 1, "b": None}, {"c": 0.1 + 0.2}, "plain"]) == (
        ["a", "b", "c", "evidence"],
        [["1", "", "", ""], ["", "", "0.3", ""], ["", "", "", "plain"]],
    )


def test_the_folder_is_named_as_the_shell_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _shown.judge_again(tmp_path / "reports" / "a run") == "harness judge 'reports/a run'"


def test_many_that_were_hit_are_counted_and_few_are_named() -> None:
    assert _shown._hit(["pg-a"]) == "pg-a"
    assert _shown._hit([f"az-{zone} to {name}" for zone in "abc" for name in ("writer", "reader")]) == "6 links"
    assert _shown._hit([f"pg-{number}" for number in range(4)]) == "4 nodes"
    assert _shown._hit([]) == "nothing"
