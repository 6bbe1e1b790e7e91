"""Are scenario files tests like any other, which fail in their own words?"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from harness import runner, scenario
from harness.errors import ClusterError, RuntimeUnavailable
from harness.verdict import Verdict
from tests.plugin import recorded

PASSES = "title: It holds\ntopology: rds-multi-az\nworkload: ledger\nexpect: {write_outage: {max: 1s}}\n"
FAILS = PASSES.replace("1s", "100ms")
scenario.schema()  # imports every extension: what a test inside pytester imports first is forgotten when it ends
UNKNOWN = PASSES + "faults: [{inject: crash, target: writer, at: 1s, for: 1s}]\n"


@pytest.fixture(autouse=True)
def _recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "run", recorded.run)
    for required in ("HARNESS_REQUIRE_DOCKER", "HARNESS_REQUIRE_LOCAL"):
        monkeypatch.delenv(required, raising=False)


def write(pytester: pytest.Pytester, **files: str) -> None:
    for name, text in files.items():
        file = pytester.path / "scenarios" / "system" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def collected(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    """The ids that pytest would run."""
    return [line for line in pytester.runpytest_inprocess("--collect-only", "-q", *arguments).outlines if "::" in line]


def test_a_scenario_is_a_test_of_its_name(pytester: pytest.Pytester) -> None:
    write(pytester, one=PASSES, two=PASSES)
    assert collected(pytester) == [f"scenarios/system/{name}.yaml::system/{name}" for name in ("one", "two")]


def test_other_yaml_is_left_alone(pytester: pytest.Pytester) -> None:
    for path in ("compose.yaml", "bad_scenarios/one.yaml", "scenarios.yaml", "scenarios/notes.txt"):
        file = pytester.path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text("services: {}\n")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes()
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("-m", "smoke"), ["marked"]),
        (("-m", "not smoke"), ["crashed", "moved", "plain"]),
        (("-m", "crash"), ["crashed"]),
        (("-m", "rds_multi_az"), ["crashed", "marked", "moved", "plain"]),
        (("-m", "switchover"), ["moved"]),
        (("-m", "partition"), []),
        (("-k", "plain"), ["plain"]),
        (("-k", "crash"), ["crashed"]),
    ],
)
def test_scenarios_are_chosen_by_marker_topology_fault_change_and_name(
    pytester: pytest.Pytester, arguments: tuple[str, ...], names: list[str]
) -> None:
    moved = PASSES + "changes: [{change: switchover, at: 1s}]\n"
    write(pytester, plain=PASSES, marked=PASSES + "markers: [smoke]\n", crashed=UNKNOWN, moved=moved)
    chosen = collected(pytester, "--strict-markers", *arguments)
    assert [line.rpartition("/")[2] for line in chosen] == names


def test_topologies_faults_and_changes_are_registered_markers(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--markers")
    for line in ("rds_multi_az: *topology rds-multi-az", "crash: *inject*crash", "switchover: *carry out*switchover"):
        result.stdout.fnmatch_lines([f"@pytest.mark.{line}"])


def test_a_pass_passes(pytester: pytest.Pytester) -> None:
    write(pytester, one=PASSES)
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FAILS, "FAIL: write_outage 510*at most 100*"),
        (UNKNOWN, "UNKNOWN, neither passed nor failed: this run cannot tell: crash of writer*"),
    ],
)
def test_another_verdict_fails_in_its_own_words(pytester: pytest.Pytester, text: str, said: str) -> None:
    write(pytester, one=text)
    result = pytester.runpytest_inprocess("--harness-reports", "out")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([said, "report: out/system/one/recorded/report.html"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")
    assert (pytester.path / "out/system/one/recorded/report.html").is_file()


def test_the_options_reach_the_run(pytester: pytest.Pytester) -> None:
    write(pytester, one=FAILS)
    result = pytester.runpytest_inprocess("--harness-runtime", "docker", "--harness-seed", "11", "--junit-xml", "junit.xml")
    result.stdout.fnmatch_lines(["recording system/one on docker"])
    assert properties(pytester)["seed"] == "11"


def test_junit_gets_verdict_figures_and_the_report(pytester: pytest.Pytester) -> None:
    write(pytester, one=PASSES)
    pytester.runpytest_inprocess("--junit-xml", "junit.xml")
    told = properties(pytester)
    assert told["verdict"] == "pass"
    assert told["report"] == "reports/system/one/recorded/report.html"
    assert told["write_outage"] == "0.51 s"
    assert told["lost_writes"] == "0"


def properties(pytester: pytest.Pytester) -> dict[str, str]:
    tree = ElementTree.parse(pytester.path / "junit.xml")
    return {found.attrib["name"]: found.attrib["value"] for found in tree.iter("property")}


def test_a_bad_file_is_a_collection_error_in_one_line(pytester: pytest.Pytester) -> None:
    write(pytester, bad=PASSES.replace("title", "titel"), good=PASSES)
    result = pytester.runpytest_inprocess("--continue-on-collection-errors")
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["scenarios/system/bad.yaml:1:1: unknown key 'titel'; did you mean 'title'?"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*harness/scenario*")


def test_after_an_interrupted_scenario_no_other_is_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **more: Any) -> runner.RunResult:
        return dataclasses.replace(recorded.run(*arguments, **more), verdict=Verdict.UNKNOWN, interrupted=True)

    write(pytester, one=PASSES, two=PASSES)
    monkeypatch.setattr(runner, "run", interrupted)
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*UNKNOWN, neither passed nor failed*", "*interrupted by the user*"])


def unavailable(*_: object, **__: object) -> None:
    raise RuntimeUnavailable("no container engine answers")


def test_without_an_engine_a_scenario_is_skipped_with_the_reason(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(pytester, one=PASSES)
    monkeypatch.setattr(runner, "run", unavailable)
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*no container engine answers"])


def test_where_docker_is_required_a_skip_is_a_failure(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    write(pytester, one=PASSES)
    monkeypatch.setattr(runner, "run", unavailable)
    monkeypatch.setenv("HARNESS_REQUIRE_DOCKER", "1")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*HARNESS_REQUIRE_DOCKER=1 forbids skipping it: no container engine answers"])


def test_what_goes_wrong_with_a_cluster_is_one_line(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise ClusterError("pg-az-a did not start")

    write(pytester, one=PASSES)
    monkeypatch.setattr(runner, "run", breaks)
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["pg-az-a did not start"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_crash_of_the_harness_is_shown_in_full(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    def crashes(*_: object, **__: object) -> None:
        raise KeyError("surprise")

    write(pytester, one=PASSES)
    monkeypatch.setattr(runner, "run", crashes)
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*pytest_plugin.py:*", "*KeyError: 'surprise'*"])


def test_other_suites_import_nothing_heavy_for_this_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("import sys\n\n\ndef test_modules():\n    print('loaded:', *sys.modules)\n")
    command = [sys.executable, "-m", "pytest", "-s", "-q", str(tmp_path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    loaded = {name.split(".")[0] for line in out.splitlines() if "loaded:" in line for name in line.split()}
    assert "harness" in loaded
    assert not loaded & {"docker", "locust", "gevent", "numpy", "duckdb", "pydantic", "yaml", "click", "rich"}
