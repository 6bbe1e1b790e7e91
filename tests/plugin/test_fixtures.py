"""What becomes of a test that asks for the fixtures: where there is no engine, and where its measurement has a say?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness import testing
from harness.errors import ClusterError
from harness.runner import RunResult
from harness.verdict import Verdict

NO_ENGINE = "unix:///nonexistent/docker.sock"


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)
    for required in ("HARNESS_REQUIRE_DOCKER", "HARNESS_REQUIRE_LOCAL"):
        monkeypatch.delenv(required, raising=False)


@pytest.mark.parametrize("fixture", ["cluster", "chaos", "load", "probe"])
def test_without_an_engine_a_test_is_skipped_and_says_why(pytester: pytest.Pytester, fixture: str) -> None:
    pytester.makepyfile(f"def test_mine({fixture}): pass")
    result = pytester.runpytest_inprocess("-rs", "--harness-runtime", "docker")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*no Docker engine answers*"])


def test_where_an_engine_is_due_it_fails_instead(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_REQUIRE_DOCKER", "1")
    pytester.makepyfile("def test_mine(cluster): pass")
    result = pytester.runpytest_inprocess("--harness-runtime", "docker")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*HARNESS_REQUIRE_DOCKER=1 forbids skipping it: no Docker engine answers*"])


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ('"rds-multi-ax"', "*mark.topology: use: no topology called 'rds-multi-ax'; did you mean 'rds-multi-az'?"),
        (
            '"rds-multi-az", replicaton="none"',
            "*mark.topology: replicaton: unknown key 'replicaton'; did you mean 'replication'?",
        ),
        ('"rds-multi-az", ttl=30', "*mark.topology: ttl: 30 is no duration; write a number with its unit, *"),
        ('"rds-multi-az", "aurora"', "*mark.topology: one topology at a time, not 2"),
    ],
)
def test_a_wrong_mark_is_told_of_in_one_line(pytester: pytest.Pytester, mark: str, said: str) -> None:
    pytester.makepyfile(f"import pytest\n@pytest.mark.topology({mark})\ndef test_mine(cluster): pass")
    result = pytester.runpytest_inprocess("--strict-markers")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([said])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize("way", ["ini", "option"])
def test_a_test_without_a_mark_gets_the_topology_of_the_configuration(pytester: pytest.Pytester, way: str) -> None:
    pytester.makepyfile("def test_mine(cluster): pass")
    if way == "ini":
        pytester.makeini("[pytest]\nharness_topology = from-the-ini\n")
    arguments = ("--harness-topology", "from-the-option") if way == "option" else ()
    pytester.runpytest_inprocess(*arguments).stdout.fnmatch_lines([f"*no topology called 'from-the-{way}'*"])


class Measured:
    """Stands for a test's measurement: no cluster, and a verdict that is known beforehand."""

    verdict: ClassVar[Verdict]
    concluded: ClassVar[list[bool]]
    seed = 7

    def __init__(self, *_: Any, **__: Any) -> None:
        self.concluded.clear()

    def start(self) -> None:
        pass

    def conclude(self, *, interrupted: bool = False) -> RunResult:
        self.concluded.append(interrupted)
        reason = {Verdict.PASS: "nothing went wrong", Verdict.FAIL: "2 of 9 acknowledged writes lost"}
        outage = {"write_outage": {"value": 0.5, "unit": "s"}}
        return RunResult(
            self.verdict, reason.get(self.verdict, "crash was witnessed by nobody"), [{"measured": outage}], Path("r")
        )


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> type[Measured]:
    @contextmanager
    def lent(*_: Any, **__: Any) -> Iterator[None]:
        yield None

    monkeypatch.setattr(testing.Clusters, "lent", lent)
    monkeypatch.setattr(testing, "Session", Measured)
    monkeypatch.setattr(Measured, "verdict", Verdict.PASS, raising=False)
    monkeypatch.setattr(Measured, "concluded", [], raising=False)
    return Measured


def run(pytester: pytest.Pytester, body: str = "pass") -> pytest.RunResult:
    pytester.makepyfile(f"import pytest\ndef test_mine(probe):\n    {body}")
    return pytester.runpytest_inprocess("--junitxml", "junit.xml")


def test_a_test_passes_whose_measurement_does(pytester: pytest.Pytester, measured: type[Measured]) -> None:
    run(pytester).assert_outcomes(passed=1)
    assert measured.concluded[0] is False


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (Verdict.UNKNOWN, "UNKNOWN, neither passed nor failed: *cannot tell: crash was witnessed by nobody"),
        (Verdict.FAIL, "FAIL: 2 of 9 acknowledged writes lost"),
    ],
)
def test_a_test_fails_whose_measurement_does_not_pass_although_its_assertions_held(
    pytester: pytest.Pytester, measured: type[Measured], verdict: Verdict, said: str
) -> None:
    measured.verdict = verdict
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([said, "report: r/report.html"])


def test_an_assertion_that_fails_is_shown_with_the_report(pytester: pytest.Pytester, measured: type[Measured]) -> None:
    measured.verdict = Verdict.UNKNOWN
    result = run(pytester, "assert probe is None")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert probe is None", "UNKNOWN: crash was witnessed by nobody", "report: r/report.html"])


def test_the_figures_and_the_report_are_properties_of_the_test(pytester: pytest.Pytester, measured: type[Measured]) -> None:
    del measured
    run(pytester)
    written = (pytester.path / "junit.xml").read_text()
    for name, value in {"write_outage": "0.5 s", "verdict": "pass", "report": "r/report.html", "seed": "7"}.items():
        assert f'<property name="{name}" value="{value}"' in written


def test_ctrl_c_concludes_the_measurement_as_interrupted(pytester: pytest.Pytester, measured: type[Measured]) -> None:
    pytester.makepyfile("def test_mine(probe):\n    raise KeyboardInterrupt")
    result = pytester.runpytest_inprocess(no_reraise_ctrlc=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert measured.concluded[0] is True


def test_a_test_that_skips_itself_stays_skipped(pytester: pytest.Pytester, measured: type[Measured]) -> None:
    run(pytester, "pytest.skip('not today')").assert_outcomes(skipped=1)
    assert measured.concluded[0] is False


def test_a_cluster_that_does_not_become_steady_fails_the_test_in_the_words_of_its_verdict(
    pytester: pytest.Pytester, measured: type[Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: Measured) -> None:
        raise ClusterError("no steady state within 60 s")

    monkeypatch.setattr(measured, "start", start)
    measured.verdict = Verdict.UNKNOWN
    result = run(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["UNKNOWN, neither passed nor failed: *"])
