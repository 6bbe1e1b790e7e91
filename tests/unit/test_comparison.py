"""A comparison says what is surely worse, what surely is not, and what the runs cannot tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.comparison import Difference, compare
from harness.errors import UsageError
from harness.reporters._comparison import markdown, page
from harness.verdict import Verdict


def result(scenario: str = "sys/crash", trusted: bool = True, started: str = "1", **measured: Any) -> dict[str, Any]:
    """A run's result with those metrics: (value, lower, upper) of seconds, a float that is a share, or an int that is a count."""
    plain = {}
    for name, of in measured.items():
        value, lower, upper = of if isinstance(of, tuple) else (of, of, of)
        unit = "s" if isinstance(of, tuple) else "count" if isinstance(of, int) else "share"
        plain[name] = {"value": value, "unit": unit, "lower": lower, "upper": upper}
    finding = {"checker": "all", "verdict": "pass" if trusted else "unknown", "validity": True, "measured": plain}
    return {
        "scenario": scenario,
        "findings": [finding],
        "started_at": started,
        "reason": "the machine was busy",
        "runtime": "local",
    }


def runs(folder: Path, *results: dict[str, Any]) -> Path:
    for number, one in enumerate(results):
        (folder / str(number)).mkdir(parents=True)
        (folder / str(number) / "result.json").write_text(json.dumps(one))
    return folder


def outages(folder: Path, *seconds: float) -> Path:
    return runs(folder, *(result(write_outage=(s, s - 0.1, s + 0.1)) for s in seconds))


def outage(a: Path, b: Path, **allowed: str) -> Difference:
    [found] = compare(a, b, allowed).differences
    return found


def test_one_run_each_is_known_as_exactly_as_it_was_measured(tmp_path: Path) -> None:
    found = outage(outages(tmp_path / "a", 20), outages(tmp_path / "b", 21))
    assert (found.change, found.lower, found.upper) == pytest.approx((1, 0.8, 1.2))
    assert found.effect is None
    assert any("measurement alone" in note for note in compare(tmp_path / "a", tmp_path / "b", {}).notes)


def test_several_runs_are_as_uncertain_as_they_differ(tmp_path: Path) -> None:
    found = outage(outages(tmp_path / "a", 18, 20, 22, 24), outages(tmp_path / "b", 19, 21, 23, 25))
    assert found.lower < -2
    assert found.upper > 3
    assert found.effect == pytest.approx(4 / 16)  # 10 pairs in which B is longer, 6 in which it is shorter


def test_the_same_comparison_is_the_same_twice(tmp_path: Path) -> None:
    a, b = outages(tmp_path / "a", 18, 20, 22), outages(tmp_path / "b", 19, 21, 23)
    assert outage(a, b) == outage(a, b)


@pytest.mark.parametrize(
    ("seconds", "allowed", "verdict"),
    [
        (21, "2s", Verdict.PASS),
        (21, "10%", Verdict.PASS),
        (21, "500ms", Verdict.FAIL),
        (21, "1s", Verdict.UNKNOWN),
        (15, "0s", Verdict.PASS),
    ],
)
def test_what_is_allowed_holds_or_is_broken_or_cannot_be_told(
    tmp_path: Path, seconds: float, allowed: str, verdict: Verdict
) -> None:
    assert outage(outages(tmp_path / "a", 20), outages(tmp_path / "b", seconds), write_outage=allowed).verdict is verdict


@pytest.mark.parametrize(("share", "verdict"), [(0.95, Verdict.FAIL), (0.985, Verdict.PASS), (1.0, Verdict.PASS)])
def test_less_of_what_should_be_much_is_worse(tmp_path: Path, share: float, verdict: Verdict) -> None:
    a, b = runs(tmp_path / "a", result(availability=0.99)), runs(tmp_path / "b", result(availability=share))
    assert outage(a, b, availability="1%").verdict is verdict


def test_an_outage_that_was_not_over_is_worse_without_end(tmp_path: Path) -> None:
    b = runs(tmp_path / "b", result(write_outage=(30, 30, None)))
    found = outage(outages(tmp_path / "a", 20), b, write_outage="5s")
    assert (found.verdict, found.upper) == (Verdict.FAIL, float("inf"))
    assert "+9.90 s … no end" in markdown(compare(tmp_path / "a", b, {}))


def test_a_run_that_cannot_be_trusted_is_left_out_and_said(tmp_path: Path) -> None:
    a = outages(tmp_path / "a", 20)
    b = runs(tmp_path / "b", result(lost_writes=1), result(trusted=False, lost_writes=900))
    assert compare(a, b, {}).notes[0] == f"1 of 2 runs in {b} could not be trusted: left out"
    with pytest.raises(UsageError, match="no run that can be trusted; the last one said: the machine was busy"):
        compare(a, runs(tmp_path / "c", result(trusted=False)), {})


def test_a_figure_that_a_run_has_not_passes_nothing(tmp_path: Path) -> None:
    """Those that never recovered must not make the rest look good."""
    a, b = outages(tmp_path / "a", 20, 20), runs(tmp_path / "b", result(write_outage=(20, 20, 20)), result(lost_writes=0))
    found = compare(a, b, {"write_outage": "5s"})
    assert found.verdict is Verdict.UNKNOWN
    assert found.notes[-1] == "write_outage was not measured in 1 of all 4 runs"


def test_what_else_differs_is_said(tmp_path: Path) -> None:
    a, b = result(lost_writes=0), result(lost_writes=0)
    a["topology"] = {"name": "rds-multi-az", "options": {"ttl_s": 20}, "nodes": ["a"]}
    b["topology"] = {"name": "rds-multi-az", "options": {"ttl_s": 30}, "nodes": ["b"]}
    notes = compare(runs(tmp_path / "a", a), runs(tmp_path / "b", b), {}).notes
    assert notes[1:] == ["topology.options.ttl_s differs: 20, then 30"]


def test_the_newest_run_counts_once_though_latest_points_to_it(tmp_path: Path) -> None:
    a = outages(tmp_path / "a", 20)
    (a / "latest").symlink_to("0")
    assert len(compare(a, a / "latest", {}).a.results) == 1


def test_the_page_shows_every_figure_and_takes_no_text_for_markup(tmp_path: Path) -> None:
    a, b = outages(tmp_path / "a", 20), outages(tmp_path / "<b>", 21)
    text = page(compare(a, b, {"write_outage": "100ms"}))
    for shown in ("Write outage", "20.00 s", "+1.00 s", "+800.0 ms … +1.20 s", "FAIL", "&lt;b&gt;", "default-src 'none'"):
        assert shown in text.replace("&#39;", "'")
    assert "<b>," not in text


def harness(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


@pytest.mark.parametrize(("allowed", "code"), [("2s", 0), ("100ms", 1), ("1s", 3)])
def test_it_is_a_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str], allowed: str, code: int) -> None:
    a, b, file = outages(tmp_path / "a", 20), outages(tmp_path / "b", 21), tmp_path / "table.md"
    arguments = ("compare", str(a), str(b), "--allow", f"write_outage={allowed}", "--markdown", str(file))
    ended, out, err = harness(capsys, *arguments)
    assert (ended, err) == (code, "")
    assert "| Write outage | 20.00 s | 21.00 s | +1.00 s | +800.0 ms … +1.20 s |" in out
    assert file.read_text() == out


@pytest.mark.parametrize(
    ("b", "allowed", "said"),
    [
        ("other", "write_outage=1s", "other: runs of sys/pause, which cannot be compared with those of sys/crash in a"),
        ("empty", "write_outage=1s", "empty: no result.json in this folder, nor in those directly below"),
        ("cut", "write_outage=1s", "result.json: cannot be read: "),
        ("a", "write_outge=1s", "--allow write_outge: no such metric on both sides; did you mean 'write_outage'?"),
        ("a", "write_outage=fast", "--allow write_outage=fast: 'fast' is no amount of it; write it like 10% or 2s"),
        ("a", "write_outage", "--allow write_outage=: '' is no amount of it; write it like 10% or 2s"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], b: str, allowed: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outages(Path("a"), 20)
    runs(Path("other"), result("sys/pause", write_outage=(1, 1, 1)))
    Path("empty").mkdir()
    runs(Path("cut"), result())
    Path("cut/0/result.json").write_text('{"scenario": ')
    code, out, err = harness(capsys, "compare", "a", b, "--allow", allowed)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert said in err
