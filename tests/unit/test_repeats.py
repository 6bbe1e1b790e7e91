"""Several runs of one scenario say together how sure their median is, and do not say more than they know."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import cli, repeats
from harness.errors import UsageError
from harness.repeats import Series
from harness.reporters._repeats import markdown, page, strips
from harness.scenario import Repeat
from harness.spread import Spread, spread
from harness.verdict import Measured, Verdict

RECORDED = Path(__file__).parent.parent / "recorded"


def outages(*values: float, wide: float = 0.02) -> list[Measured]:
    return [Measured(value, "s", value - wide / 2, value + wide / 2) for value in values]


def run(outage: float = 20.0, wide: float = 0.02, verdict: str = "pass", trusted: bool = True) -> dict[str, Any]:
    plain = Measured(outage, "s", outage - wide / 2, outage + wide / 2).as_json()
    finding = {"checker": "outage", "verdict": "pass", "validity": False, "measured": {"write_outage": plain}}
    validity: dict[str, Any] = {
        "checker": "instrument",
        "verdict": "pass" if trusted else "unknown",
        "validity": True,
        "measured": {},
    }
    return {
        "scenario": "s/crash",
        "title": "t",
        "verdict": verdict,
        "reason": f"because {verdict}",
        "findings": [finding, validity],
    }


def series(*runs: dict[str, Any], asked: Repeat | None = None, stopped: str = "") -> Series:
    return Series("s/crash", "t", [(f"{n:02}", one) for n, one in enumerate(runs, 1)], asked or Repeat(1, 30), stopped)


def test_the_interval_holds_the_median_and_what_measuring_leaves_open() -> None:
    one = spread("write_outage", outages(19, 20, 21, 22, 23))
    assert one.median == 21
    assert one.lower is not None
    assert one.upper is not None
    assert 18.9 < one.lower < 21 < one.upper < 23.1
    same = spread("write_outage", outages(20, 20, 20, wide=2))
    assert (same.lower or 20) < 20 < (same.upper or 0), "equal figures are known no better than each of them"


def test_two_runs_have_no_interval() -> None:
    one = spread("write_outage", outages(19, 20))
    assert (one.lower, one.upper, one.half_width) == (None, None, None)


def test_an_outage_without_an_end_leaves_the_interval_open() -> None:
    assert spread("write_outage", [*outages(19, 20), Measured(60.0, "s", 60.0, None)]).upper is None


def modes(*centres: float) -> Spread:
    random = np.random.default_rng(1)
    return spread("write_outage", outages(*(c + random.normal(0, 0.3) for c in centres for _ in range(10))))


def test_two_ways_of_ending_are_told_from_one() -> None:
    assert modes(8, 22).several_modes
    assert not modes(22).several_modes
    assert spread("write_outage", outages(8, 8, 22, 22)).one_mode_p is None, "too few to tell"


def test_a_median_that_is_not_as_sure_as_asked_is_no_pass() -> None:
    asked = Repeat(3, 5, {"write_outage": 0.1})
    unsure = series(run(10), run(20), run(30), asked=asked)
    assert unsure.verdict is Verdict.UNKNOWN
    assert "the median of write_outage is known to ± 50" in unsure.reason
    assert "± 10.0% was asked for" in unsure.reason
    assert series(run(20), run(20.1), run(20.2), asked=asked).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([run(0.0, 0)] * 3, "the median of write_outage is none after 3 runs"),
        ([run(1.0, 1.0)] * 3, "each run knows write_outage to ± 50.0% only"),
    ],
)
def test_repeating_that_can_never_get_tight_is_given_up_with_one_line(runs: list[dict[str, Any]], said: str) -> None:
    assert said in series(*runs, asked=Repeat(3, 9, {"write_outage": 0.1})).hopeless()
    assert not series(*[run(20)] * 3, asked=Repeat(3, 9, {"write_outage": 0.1})).hopeless()


def test_a_run_that_cannot_be_trusted_counts_for_nothing() -> None:
    one = series(run(20), run(500, trusted=False, verdict="unknown"), run(20), asked=Repeat(3, 5))
    assert one.spreads()[0].median == 20
    assert "2 of 3 runs can be trusted, 3 were asked for" in one.reason


def test_one_run_that_failed_fails_the_series() -> None:
    one = series(run(20), run(50, verdict="fail"), run(20), asked=Repeat(3, 5, {"write_outage": 0.01}))
    assert (one.verdict, one.reason) == (Verdict.FAIL, "1 of 3 runs failed; 02: because fail")


def test_a_series_without_any_run_is_unknown() -> None:
    assert series(stopped="interrupted").verdict is Verdict.UNKNOWN


def test_every_run_is_a_point_of_the_page_and_links_to_its_own() -> None:
    one = series(run(20), run(21), run(22))
    drawn = next(strips(one))
    assert [words for _, _, words in drawn.dots] == ["run 1: 20.00 s", "run 2: 21.00 s", "run 3: 22.00 s"]
    assert page(one).count("<circle") == 3
    assert 'href="03/report.html"' in page(one)
    assert "| [02](02/report.html) | PASS |" in markdown(one)


def test_recorded_runs_are_judged_again_as_a_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("01", "02"):
        shutil.copytree(RECORDED / "writer_crash", tmp_path / name)
        for written in (tmp_path / name).glob("result.json"):
            written.unlink()
    (tmp_path / "repeat.json").write_text(json.dumps({"min": 2, "max": 2, "until": {}}))
    with pytest.raises(SystemExit) as ended:
        cli.main(["judge", str(tmp_path)])
    told = json.loads((tmp_path / repeats.FILE).read_text())
    assert [one["folder"] for one in told["runs"]] == ["01", "02"]
    outage = next(one for one in told["metrics"] if one["metric"] == "write_outage")
    assert outage["runs"] == 2
    assert outage["median"] > 1
    assert ended.value.code == Verdict(told["verdict"]).exit_code
    assert told["verdict"].upper() in capsys.readouterr().out
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def killed(folder: Path) -> Path:
    """A series of which one run is over, and the second was killed: what it recorded lies where its nodes wrote it."""
    (folder / "01").mkdir()
    (folder / "02").mkdir()
    shutil.copytree(RECORDED / "writer_crash" / "history", folder / "01" / "history")
    shutil.copytree(RECORDED / "writer_crash" / "history", folder / "history" / "02")
    (folder / "repeat.json").write_text(json.dumps({"min": 2, "max": 2, "until": {}}))
    return folder


def test_what_a_killed_run_recorded_is_found_again(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    assert [name for name, _ in repeats.rewrite(folder).runs] == ["01", "02"]
    assert (folder / "02" / "result.json").exists()
    assert not (folder / "history").exists()
    assert not (folder.parent / "latest").is_symlink(), "only a run that is new is the latest"


def test_why_a_series_ended_outlives_that_it_is_reported_anew(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    repeats.write(folder, replace(repeats.read(folder), stopped="interrupted by the user (SIGINT)"))
    for again in (False, True):
        assert "interrupted by the user (SIGINT)" in repeats.rewrite(folder, again=again).reason


def test_a_run_of_which_nothing_can_be_read_is_said_and_does_not_hide_the_others(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    (folder / "history" / "02" / "events.jsonl").write_text("")
    one = repeats.rewrite(folder)
    assert [name for name, _ in one.runs] == ["01"]
    assert "run 02 cannot be read: " in one.reason
    assert one.verdict is Verdict.UNKNOWN


def test_a_series_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    with repeats._alone(folder), pytest.raises(UsageError, match="being run, or judged, by another process"):
        repeats.rewrite(folder)
    assert (folder / "history" / "02").is_dir()
