"""What is said of a claim is what the newest run that can be trusted showed, and nothing tested is left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import catalogue, claims, cli, runner, scenario
from harness.claims import Standing, Table
from harness.errors import UsageError
from harness.reporters import _claims
from harness.verdict import Measured
from tests.plugin import recorded

TIED = "claim: {id: rds.failover, because: it dies, metrics: [write_outage]}\n"
ASKS = "title: It dies\ntopology: rds-multi-az\nworkload: ledger\nexpect: {write_outage: {max: 35s}, lost_writes: {max: 0}}\n"


def asked(folder: Path, name: str = "crash", text: str = ASKS + TIED) -> scenario.Scenario:
    file = folder / "scenarios" / f"{name}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return scenario.load(file)


def report(
    folder: Path, at: str, outage: tuple[float, float] | None = (20.0, 21.0), *, lost: int = 0, trusted: bool = True, **said: Any
) -> Path:
    """A run's report, its bounds as they are in ASKS."""
    known = Measured(None, "s") if outage is None else Measured(sum(outage) / 2, "s", *outage)
    verdict = "fail" if lost else "pass"
    result = {
        "scenario": "crash",
        "verdict": verdict if trusted else "unknown",
        "reason": f"{lost} lost" if trusted else "the machine was busy",
        "runtime": "local",
        "started_at": f"{at}T10:00:00",
        "expect": [{"metric": "write_outage", "max": 35.0}, {"metric": "lost_writes", "max": 0}],
        "findings": [
            {"checker": "outage", "verdict": "pass", "validity": False, "measured": {"write_outage": known.as_json()}},
            {"checker": "durability", "verdict": verdict, "validity": False,
             "measured": {"lost_writes": Measured(lost, "count", lost, lost).as_json()}},
            {"checker": "instrument", "verdict": "pass" if trusted else "unknown", "validity": True, "measured": {}},
        ],
        **said,
    }  # fmt: skip
    where = folder / "reports" / "crash" / at
    where.mkdir(parents=True)
    (where / "result.json").write_text(json.dumps(result))
    (where / "scenario.yaml").write_text(ASKS)
    return where


def told(folder: Path, *scenarios: scenario.Scenario, **how: Any) -> Table:
    return claims.table(scenarios or [asked(folder)], folder / "reports", **how)


def of(table: Table, claim: str = "rds.failover") -> claims.Row:
    return next(row for _, rows in table.groups for row in rows if row.claim.id == claim)


def test_every_claim_is_in_the_table_also_when_nothing_tests_it(tmp_path: Path) -> None:
    table = told(tmp_path)
    assert sum(len(rows) for _, rows in table.groups) == len(catalogue.claims())
    assert of(table, "amm.four").standing is Standing.NOT_TESTED
    assert of(table).standing is Standing.NOT_RUN
    assert of(table).tested[0].scenario.name == "crash"


@pytest.mark.parametrize(
    ("outage", "standing"),
    [((20, 21), Standing.HOLDS), ((36, 37), Standing.REFUTED), ((34, 36), Standing.UNKNOWN), (None, Standing.UNKNOWN)],
)
def test_a_claim_stands_as_the_bounds_that_it_rests_on(
    tmp_path: Path, outage: tuple[float, float] | None, standing: Standing
) -> None:
    where = report(tmp_path, "2026-01-01", outage, lost=3)  # what it does not rest on says nothing of it
    row = of(told(tmp_path))
    assert row.standing is standing
    [one] = row.tested
    assert (one.folder, one.runtime, one.started_at[:10]) == (where.resolve(), "local", "2026-01-01")
    assert [figure.bound for figure in one.figures] == ["at most 35 s"]


def test_without_metrics_a_claim_takes_the_verdict_of_the_whole_run(tmp_path: Path) -> None:
    whole = asked(tmp_path, text=ASKS + "claim: {id: rds.failover, because: it dies}\n")
    report(tmp_path, "2026-01-01", lost=3)
    row = of(told(tmp_path, whole))
    assert (row.standing, row.tested[0].notes) == (Standing.REFUTED, ["3 lost"])
    assert [figure.verdict for figure in row.tested[0].figures] == ["pass", "fail"]


def test_the_newest_run_that_can_be_trusted_counts_and_a_newer_one_that_cannot_is_mentioned(tmp_path: Path) -> None:
    report(tmp_path, "2026-01-01", (50, 51))
    report(tmp_path, "2026-01-02")
    report(tmp_path, "2026-01-03", (60, 61), trusted=False)
    [one] = of(told(tmp_path)).tested
    assert (one.standing, one.started_at[:10]) == (Standing.HOLDS, "2026-01-02")
    assert one.notes == ["a newer run, of 2026-01-03, could not tell: the machine was busy"]


def test_where_no_run_can_be_trusted_the_reason_is_told(tmp_path: Path) -> None:
    report(tmp_path, "2026-01-01", trusted=False)
    [one] = of(told(tmp_path)).tested
    assert (one.standing, one.notes, one.figures) == (Standing.UNKNOWN, ["the machine was busy"], [])


def test_each_runtime_is_a_line_of_its_own_and_one_can_be_asked_for(tmp_path: Path) -> None:
    report(tmp_path, "2026-01-01")
    report(tmp_path, "2026-01-02", (50, 51), runtime="docker")
    row = of(told(tmp_path))
    assert [(one.runtime, one.standing) for one in row.tested] == [("docker", Standing.REFUTED), ("local", Standing.HOLDS)]
    assert row.standing is Standing.REFUTED
    assert of(told(tmp_path, runtime="local")).standing is Standing.HOLDS


def test_a_claim_holds_only_when_every_scenario_that_tests_it_was_run(tmp_path: Path) -> None:
    report(tmp_path, "2026-01-01")
    both = [asked(tmp_path), asked(tmp_path, "other")]
    row = of(told(tmp_path, *both))
    assert [one.standing for one in row.tested] == [Standing.HOLDS, Standing.NOT_RUN]
    assert row.standing is Standing.UNKNOWN


def test_bounds_are_those_of_the_run_and_a_scenario_that_was_changed_since_is_told(tmp_path: Path) -> None:
    stricter = asked(tmp_path, text=ASKS.replace("35s", "5s") + TIED)
    report(tmp_path, "2026-01-01")
    [one] = of(told(tmp_path, stricter)).tested
    assert (one.standing, one.figures[0].bound) == (Standing.HOLDS, "at most 35 s")
    assert one.notes == ["the scenario was changed since"]


def test_a_run_in_which_nothing_was_expected_of_its_metric_says_nothing(tmp_path: Path) -> None:
    report(tmp_path, "2026-01-01", expect=[{"metric": "lost_writes", "max": 0}])
    [one] = of(told(tmp_path)).tested
    assert one.standing is Standing.UNKNOWN
    assert "nothing was expected of write_outage when it was run" in one.notes


def series(folder: Path, *outages: float, verdict: str = "pass") -> None:
    for number, outage in enumerate(outages, 1):
        report(folder, f"2026-01-01/{number:02}", (outage, outage), started_at="2026-01-01T10:00:00")
    top = folder / "reports" / "crash" / "2026-01-01"
    (top / "repeat.json").write_text('{"min": 3, "max": 3, "until": {}}')
    (top / "repeats.json").write_text(json.dumps({"verdict": verdict, "reason": "2 runs were asked for"}))


def test_of_repeated_runs_the_median_is_shown_and_each_run_counts(tmp_path: Path) -> None:
    series(tmp_path, 20, 22, 30)
    [one] = of(told(tmp_path)).tested
    assert one.standing is Standing.HOLDS
    assert one.figures[0].measured == "median of 3 runs 22.00 s (20.00 … 30.00 s), 20.00 s to 30.00 s"
    assert one.folder == (tmp_path / "reports" / "crash" / "2026-01-01").resolve()


@pytest.mark.parametrize(("last", "standing"), [(30, Standing.UNKNOWN), (40, Standing.REFUTED)])
def test_repeated_runs_that_cannot_tell_what_was_asked_hold_nothing(tmp_path: Path, last: float, standing: Standing) -> None:
    series(tmp_path, 20, 22, last, verdict="unknown")
    [one] = of(told(tmp_path)).tested
    assert one.standing is standing
    assert ("2 runs were asked for" in one.notes) is (standing is Standing.UNKNOWN)


def test_the_runs_of_a_sweep_do_not_count(tmp_path: Path) -> None:
    report(tmp_path, "sweeps/2026/ttl_40s/crash/2026-01-01", (50, 51))
    (tmp_path / "reports" / "crash" / "sweeps" / "2026" / "sweep.json").write_text("{}")
    assert of(told(tmp_path)).standing is Standing.NOT_RUN


def test_a_run_is_counted_once_though_latest_points_to_it(tmp_path: Path) -> None:
    where = report(tmp_path, "2026-01-01")
    (where.parent / "latest").symlink_to(where.name)
    assert len(of(told(tmp_path)).tested) == 1


def test_a_result_that_cannot_be_read_is_told_and_hides_no_other(tmp_path: Path) -> None:
    report(tmp_path, "2026-01-01")
    broken = report(tmp_path, "2026-01-02")
    (broken / "result.json").write_text("{")
    table = told(tmp_path)
    assert of(table).standing is Standing.HOLDS
    [problem] = table.unread
    assert "result.json: cannot be read" in problem


# --- how it is told ---


def whole(folder: Path) -> Table:
    report(folder, "2026-01-01", (36, 37))
    return told(folder, asked(folder), asked(folder, "other"))


def test_the_markdown_table_links_the_scenario_and_the_report(tmp_path: Path) -> None:
    text = _claims.markdown(whole(tmp_path), tmp_path / "reports")
    [line] = [line for line in text.splitlines() if line.startswith("| `rds.failover` |")]
    assert "Write outage 36.50 s (36.00 … 37.00 s); at most 35 s ✕" in line
    assert "| ✕ REFUTED | [crash](../scenarios/crash.yaml): [local, 2026-01-01](crash/2026-01-01/report.html) |" in line
    assert "|  |  | – | – not run | [other](../scenarios/other.yaml) |" in text
    assert f"**{len(catalogue.claims())} claims: 1 refuted, {len(catalogue.claims()) - 1} not tested.**" in text


def test_the_page_is_alone_and_texts_from_outside_stay_texts(tmp_path: Path) -> None:
    hostile = asked(tmp_path, text=ASKS.replace("It dies", "<script>alert(1)</script>") + TIED)
    report(tmp_path, "2026-01-01", trusted=False, reason="<img src=x onerror=alert(2)>")
    page = _claims.page(told(tmp_path, hostile), tmp_path / "reports")
    assert "<script" not in page
    assert "<img" not in page
    assert "Content-Security-Policy" in page
    assert all(f'id="{claim}"' in page for claim in catalogue.claims())
    markdown = _claims.markdown(told(tmp_path, hostile), tmp_path / "reports")
    assert "<img" not in markdown.replace("\\<", "")


# --- the command ---


@pytest.fixture
def harness(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "run", recorded.run)

    def command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return command


HALF_A_SECOND = "title: x\ntopology: rds-multi-az\nworkload: ledger\nexpect: {write_outage: {max: %s}}\n"


def test_one_command_runs_what_tests_a_claim_and_ends_with_the_table(tmp_path: Path, harness: Any) -> None:
    asked(tmp_path, "a", HALF_A_SECOND % "100ms" + TIED)
    asked(tmp_path, "b", HALF_A_SECOND % "1s" + TIED.replace("rds.failover", "rd.failover"))
    asked(tmp_path, "no_claim", HALF_A_SECOND % "1s")
    code, out, err = harness("claims", "--run", "--write")
    assert code == 0, "what a run refuted it told"
    assert "no_claim" not in err
    page = (tmp_path / "reports" / "claims.html").read_text()
    assert "REFUTED" in page
    assert f"{len(catalogue.claims())} claims: 1 holds, 1 refuted" in out
    assert out.splitlines()[-2:] == ["reports/claims.md", "reports/claims.html"]


def test_a_scenario_that_cannot_tell_does_not_stop_the_others_and_is_said_in_the_exit_code(
    tmp_path: Path, harness: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(tmp_path, "a", HALF_A_SECOND % "1s" + TIED + "faults: [{inject: crash, target: writer, at: 1s, for: 1s}]\n")
    asked(tmp_path, "b", HALF_A_SECOND % "1s" + TIED)
    code, out, _ = harness("claims", "--run", "--only", "rds.failover")
    assert code == 3
    assert "1 claim: 1 unknown" in out
    assert (tmp_path / "reports" / "b" / "recorded" / "result.json").exists()


def test_only_what_is_meant_is_run(tmp_path: Path, harness: Any) -> None:
    asked(tmp_path, "a", HALF_A_SECOND % "1s" + TIED)
    code, _, err = harness("claims", "--run", "--only", "elasticache")
    assert (code, err.strip()) == (2, "no scenario tests any of elasticache")
    with pytest.raises(UsageError):
        claims.claimed_by([], ["nonsense"])
