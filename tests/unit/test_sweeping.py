"""A sweep names the setting that meets the wanted outage at the least price, and refuses what cannot be varied."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import scenario, sweeping
from harness.errors import UsageError
from harness.repeats import Series
from harness.reporters import _sweep
from harness.scenario import Repeat
from harness.sweeping import Setting, Sweep
from harness.verdict import Measured, Verdict, count

SCENARIOS = Path(__file__).parent.parent.parent / "scenarios"
CRASH = scenario.load(SCENARIOS / "rds_multi_az" / "writer_crash.yaml")


def run(trusted: bool = True, checker: str = "c", **measured: Measured) -> dict[str, Any]:
    told = {name: one.as_json() for name, one in measured.items()}
    finding = {"checker": checker, "verdict": "pass" if trusted else "unknown", "validity": True, "measured": told}
    return {"verdict": "pass", "reason": "r", "findings": [finding]}


def series(*runs: dict[str, Any]) -> Series:
    return Series("s/crash", "t", [(f"{n:02}", one) for n, one in enumerate(runs, 1)], Repeat(len(runs) or 1, len(runs) or 1))


def setting(value: str, outages: list[float], failovers: list[int] | None = None, trusted: bool = True) -> Setting:
    crashes = [run(trusted, write_outage=Measured(outage, "s", outage - 0.1, outage + 0.1)) for outage in outages]
    gray = None if failovers is None else series(*(run(role_changes=count(number)) for number in failovers))
    return Setting({"topology.ttl": value}, series(*crashes), gray)


def swept(*settings: Setting, rto_s: float | None = 35.0, gray: str = "gray") -> Sweep:
    return Sweep("s/crash", "t", ["topology.ttl"], settings, gray, rto_s)


QUICK, MIDDLE, SLOW = setting("20s", [19, 20], [1, 1]), setting("30s", [29, 31], [0, 0]), setting("40s", [39, 40], [0, 0])


def test_of_what_meets_the_rto_the_one_with_the_fewest_false_failovers_is_named() -> None:
    found = swept(QUICK, MIDDLE, SLOW)
    assert (found.verdict, found.answer) == (Verdict.PASS, "topology.ttl = 30s meets 35 s, with 0 false failovers in 2 runs")


def test_one_run_that_may_have_been_too_slow_is_enough_to_miss_the_rto() -> None:
    assert swept(setting("30s", [20, 34.85], [0]), rto_s=35).verdict is Verdict.PASS
    unsure = swept(setting("30s", [20, 34.95], [0]), rto_s=35)
    assert unsure.verdict is Verdict.UNKNOWN, "it lies between 34.85 and 35.05"
    assert "whether 30s meets 35 s cannot be told" in unsure.answer
    assert swept(setting("30s", [20, 35.15], [0]), rto_s=35).verdict is Verdict.FAIL
    assert swept(setting("30s", [20, 34.85], [0]), setting("40s", [40], [0]), rto_s=35).verdict is Verdict.PASS


def test_a_sweep_that_is_not_over_is_unknown_and_says_what_is_left() -> None:
    found = replace(swept(MIDDLE), left=["40s"], stopped="interrupted by the user (SIGINT)")
    assert found.verdict is Verdict.UNKNOWN
    assert "interrupted by the user (SIGINT); nothing was run yet with 40s" in found.answer


def test_a_failover_that_no_fault_explains_is_a_false_one_and_other_doubts_leave_the_run_out() -> None:
    unplanned = run(False, "roles", role_changes=count(1))
    late = run(False, "instrument", role_changes=count(1))
    gray = series(unplanned, late, run(role_changes=count(0)))
    assert replace(MIDDLE, gray=gray).false_failovers == (1, 2)
    assert swept(replace(MIDDLE, gray=None)).verdict is Verdict.UNKNOWN, "the gray fault was not reached"


def test_a_value_without_a_run_to_trust_makes_the_sweep_unknown() -> None:
    found = swept(QUICK, setting("30s", [20], [0], trusted=False))
    assert found.verdict is Verdict.UNKNOWN
    assert "no run with 30s can be trusted" in found.answer


def test_the_page_shows_every_run_and_every_false_failover() -> None:
    page = _sweep.page(swept(QUICK, MIDDLE, SLOW))
    assert page.count("<circle") == 6
    assert page.count("<rect") == 3
    assert ">2 of 2<" in page
    assert "| **30s** | 2 of 2 | 30.00 s |" in _sweep.markdown(swept(QUICK, MIDDLE, SLOW))


def test_a_setting_is_changed_where_the_scenario_has_but_a_word() -> None:
    changed = sweeping.varied(CRASH, {"topology.ttl": "30s"})
    assert changed.topology.options.ttl_s == 30
    assert changed.name == CRASH.name
    assert sweeping.varied(CRASH, {"workload.rate": "60/s"}).workloads[0].options.rate_per_s == 60
    assert sweeping.varied(CRASH, {"faults.0.at": "9s"}).faults[0].at_s == 9


def test_several_settings_are_varied_together_and_each_combination_says_all_of_its_values() -> None:
    combinations = sweeping.asked(["topology.ttl=20s,30s", "topology.loop_wait=1s,5s"])
    assert [sweeping.called(one) for one in combinations] == [
        "ttl 20s, loop_wait 1s", "ttl 20s, loop_wait 5s", "ttl 30s, loop_wait 1s", "ttl 30s, loop_wait 5s"
    ]  # fmt: skip
    options = sweeping.varied(CRASH, combinations[3]).topology.options
    assert (options.ttl_s, options.loop_wait_s) == (30, 5)
    settings = [replace(QUICK, values=combinations[0]), replace(MIDDLE, values=combinations[3])]
    found = Sweep("s/crash", "t", list(combinations[0]), settings, "gray", 35.0)
    assert found.answer == "ttl 30s, loop_wait 5s meets 35 s, with 0 false failovers in 2 runs"
    assert "topology.ttl and topology.loop_wait" in _sweep.markdown(found)
    assert _sweep.page(found).count(">loop_wait 5s</text>") == 1


def test_the_writes_that_were_lost_under_a_value_stand_beside_its_outage() -> None:
    lossy = series(*(run(write_outage=Measured(9.0, "s", 8.9, 9.1), lost_writes=count(lost)) for lost in (0, 12)))
    found = swept(replace(QUICK, outage=lossy))
    assert "| 0, 12 | 2 in 2 runs |" in _sweep.markdown(found)
    assert found.as_json()["settings"][0]["lost_writes"]["values"][1]["value"] == 12


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        ("topology.ttl", "write a setting of the scenario and its values"),
        ("topology.ttl=20s", "give at least two values, each once"),
        ("topology.ttl=20s,20s", "give at least two values, each once"),
        ("topology.tll=20s,30s", "unknown key 'tll'; did you mean 'ttl'?"),
        ("topology.ttl=10s,30s", "Patroni's least values are ttl 20s"),
        ("topology.ttl=[,30s", "this is no value that YAML knows"),
        ("topologie.ttl=20s,30s", "has no 'topologie' with settings of its own"),
        ("topology.ttl=20s,30s topology.ttl=40s,50s", "name each setting once, with all its values"),
        ("topology.ttl=20s,30s topology.loop_wait=1s,15s", "--vary topology.ttl=20s --vary topology.loop_wait=15s: "),
        ("faults.at=20s,30s", "'faults' is a list; name one by its number from 0: faults.0.at"),
    ],
)
def test_what_cannot_be_varied_is_refused_in_one_line_before_anything_starts(vary: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--vary") as refused:
        sweeping.sweep(CRASH, vary.split(), times=1, reports=tmp_path, runtime="there is none")
    assert said in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_sweep_that_an_earlier_version_wrote_is_refused_in_one_line(tmp_path: Path) -> None:
    old = {**swept(QUICK).as_json(), "vary": "topology.ttl", "settings": []}
    (tmp_path / "sweep.json").write_text(json.dumps(old))
    with pytest.raises(UsageError, match="was written by an earlier version, which knew one setting only; sweep again"):
        sweeping.rewrite(tmp_path)
