"""Which fixtures can a test ask for, and when is its result deserved?

`cluster` alone starts no probes. `chaos`, `load` and `probe` make the test a measurement: it begins with the first of
them, ends with the test, and is then judged like a run. A test whose measurement can tell nothing fails, in the words of
the verdict, although its own assertions held. Everything heavy is imported when a fixture is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError, RuntimeUnavailable

if TYPE_CHECKING:
    from harness.scenario import Scenario
    from harness.testing import Chaos, Clusters, Lent, Load, Probe, Session, TestCluster

MARK = "topology"
REQUIRE_DOCKER, REQUIRE_LOCAL = "HARNESS_REQUIRE_DOCKER", "HARNESS_REQUIRE_LOCAL"


@pytest.fixture
def cluster(_harness_lent: Lent) -> TestCluster:
    """A healthy cluster of the topology that the test's mark asks for; no probes, no load."""
    from harness.testing import TestCluster

    return TestCluster(_harness_lent.topology, _harness_lent.cluster)


@pytest.fixture
def chaos(_harness_session: Session) -> Chaos:
    """Breaks the test's cluster: `with chaos.inject("crash", target="writer") as fault:`."""
    from harness.testing import Chaos

    return Chaos(_harness_session)


@pytest.fixture
def load(_harness_session: Session) -> Load:
    """Users on the test's cluster: `load.start("ledger", users=6, rate="30/s")`."""
    from harness.testing import Load

    return Load(_harness_session)


@pytest.fixture
def probe(_harness_session: Session) -> Probe:
    """What clients in every zone see of the test's cluster: `probe.measured("write_outage")`."""
    from harness.testing import Probe

    return Probe(_harness_session)


@pytest.fixture(scope="session")
def _harness_clusters(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    from harness import runtimes, testing

    name = request.config.getoption("--harness-runtime")
    clusters = testing.Clusters(
        lambda: runtimes.called(name, {}, print), lambda: tmp_path_factory.mktemp("harness-cluster"), print
    )  # fmt: skip
    yield clusters
    clusters.close()


@pytest.fixture
def _harness_asked(request: pytest.FixtureRequest) -> tuple[Scenario, bool]:
    """The scenario that the test is, and whether it wants a cluster of its own."""
    from harness import testing

    default = request.config.getoption("--harness-topology") or request.config.getini("harness_topology")
    mark = request.node.get_closest_marker(MARK) or pytest.mark.topology(default).mark
    options = dict(mark.kwargs)
    fresh = options.pop("fresh", False)
    title = next(iter((getattr(request.node.obj, "__doc__", None) or "").strip().splitlines()), request.node.nodeid)
    try:
        return testing.asked_by(request.node.nodeid, title, mark.args or (default,), options), fresh
    except HarnessError as problem:
        pytest.fail(f"@pytest.mark.{MARK}: {problem}", pytrace=False)


@pytest.fixture
def _harness_lent(_harness_asked: tuple[Scenario, bool], _harness_clusters: Clusters) -> Iterator[Lent]:
    asked, fresh = _harness_asked
    lending = _harness_clusters.lent(asked, fresh=fresh)
    try:
        lent = lending.__enter__()
    except RuntimeUnavailable as reason:
        unavailable(reason, "the test")
    except HarnessError as problem:
        pytest.fail(f"no cluster: {problem}", pytrace=False)
    yield lent
    lending.__exit__(None, None, None)


@pytest.fixture
def _harness_session(
    request: pytest.FixtureRequest, _harness_asked: tuple[Scenario, bool], _harness_lent: Lent
) -> Iterator[Session]:
    from harness import testing

    option = request.config.getoption
    session = testing.Session(
        _harness_lent, _harness_asked[0], beside=request.path.parent,
        reports=Path(option("--harness-reports")), seed=option("--harness-seed"), progress=print,
    )  # fmt: skip
    try:
        session.start()
    except HarnessError:
        pytest.fail(_concluded(request.node, session), pytrace=False)
    except BaseException:
        session.conclude(interrupted=True)
        raise
    request.node.stash[_SESSION] = session
    yield session
    session.conclude()


def unavailable(reason: Exception, what: str) -> Any:
    """Skips with the reason why nothing can be started here; fails where the machine is said to be able to."""
    for required in (REQUIRE_DOCKER, REQUIRE_LOCAL):
        if os.environ.get(required) == "1":
            pytest.fail(f"{what} could not run, and {required}=1 forbids skipping it: {reason}", pytrace=False)
    pytest.skip(str(reason))


# --- in the end --------------------------------------------------------------------------------------------------

_SESSION: pytest.StashKey[Session] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Concludes a test's measurement as soon as the test has ended: what that says is part of the test's result."""
    session = item.stash.get(_SESSION, None)
    try:
        yield
    except BaseException as raised:
        if session:
            _concluded(
                item, session, interrupted=not isinstance(raised, Exception | pytest.fail.Exception | pytest.skip.Exception)
            )
        raise
    if session:
        doubt = _concluded(item, session)
        if doubt:
            pytest.fail(doubt, pytrace=False)


def _concluded(item: pytest.Item, session: Session, *, interrupted: bool = False) -> str:
    """Why the test cannot pass, in words, from its measurement; its report's place goes into the test's own report."""
    from harness.pytest_plugin import properties
    from harness.verdict import Verdict

    result = session.conclude(interrupted=interrupted)
    report = result.folder / "report.html"
    item.user_properties += [*properties(result.findings), ("seed", session.seed), ("verdict", result.verdict.value)]
    item.user_properties.append(("report", str(report)))
    item.add_report_section("call", "measurement", f"{result.verdict.value.upper()}: {result.reason}\nreport: {report}")
    said = {
        Verdict.PASS: "",
        Verdict.FAIL: f"FAIL: {result.reason}",
        Verdict.UNKNOWN: f"UNKNOWN, neither passed nor failed: this test's measurement cannot tell: {result.reason}",
    }[result.verdict]
    return said and f"{said}\nreport: {report}"
