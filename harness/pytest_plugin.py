"""Can a scenario file be a test like any other?

Installed, pytest collects the YAML files below every folder called `scenarios`: the scenario's name is the test's,
its `markers`, its topology and its kinds of faults and changes are markers, and a verdict other than PASS fails it in
its own words. Everything heavy is imported when a scenario is collected or run: other suites pay nothing for this plugin. The
fixtures for tests in Python are in `harness.fixtures`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.scenario import Scenario

pytest_plugins = ("harness.fixtures",)

FOLDER = "scenarios"
SUFFIXES = (".yaml", ".yml")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("harness", "scenarios of the failover harness")
    group.addoption(
        "--harness-runtime",
        choices=("auto", "docker", "local"),
        default="auto",
        help="where the scenarios' nodes live: auto (default), docker or local",
    )
    group.addoption(
        "--harness-reports",
        metavar="DIR",
        default="reports",
        help="the folder that reports are written to, as <scenario>/<time>/ (default: reports, below the working folder)",
    )
    group.addoption(
        "--harness-seed",
        metavar="N",
        type=int,
        default=None,
        help="a whole number that repeats a run's random choices (default: drawn anew for each scenario)",
    )
    what = "the topology of tests that ask for the fixture cluster, and have no mark topology"
    group.addoption("--harness-topology", metavar="NAME", default=None, help=f"{what} (default: the ini option's)")
    parser.addini("harness_topology", f"{what} (default: rds-multi-az)", default="rds-multi-az")


def pytest_configure(config: pytest.Config) -> None:
    from harness import registry

    kinds = {"topologies": "on the topology", "faults": "that inject the fault", "changes": "that carry out the change"}
    for kind, what in kinds.items():
        for word in registry.names(kind):
            _register(config, as_marker(word), f"scenarios {what} {word}")
    _register(config, "topology(name, fresh=False, **options)", "the cluster of a test in Python; a fresh one is its own")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix in SUFFIXES and FOLDER in file_path.parent.parts:
        return ScenarioFile.from_parent(parent, path=file_path)
    return None


def as_marker(word: str) -> str:
    """`rds-multi-az` → `rds_multi_az`: markers are identifiers."""
    return word.replace("-", "_")


def _register(config: pytest.Config, marker: str, meaning: str) -> None:
    line = f"{marker}: {meaning}"
    if line not in config.getini("markers"):
        config.addinivalue_line("markers", line)


class ScenarioFile(pytest.File):
    """One scenario file, which holds one test."""

    def collect(self) -> Iterator[pytest.Item]:
        from harness import scenario
        from harness.errors import UsageError

        try:
            loaded = scenario.load(_as_typed(self.path))
        except UsageError as problem:
            raise self.CollectError(str(problem)) from None
        yield ScenarioItem.from_parent(self, name=loaded.name, scenario=loaded)


def _as_typed(path: Path) -> Path:
    """The path below the working folder where it can be: that is what an editor opens from a message."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


class ScenarioFailed(Exception):
    """A verdict other than PASS, in words."""


class ScenarioItem(pytest.Item):
    """A scenario that is run as a test."""

    def __init__(self, *, scenario: Scenario, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scenario = scenario
        for marker in scenario.markers:
            _register(self.config, marker, "scenarios that say so in `markers`")
        kinds = [*(fault.kind for fault in scenario.faults), *(change.kind for change in scenario.changes)]
        for marker in {*scenario.markers, *map(as_marker, (scenario.topology.use, *kinds))}:
            self.add_marker(marker)

    def runtest(self) -> None:
        from harness import repeats
        from harness.errors import RuntimeUnavailable
        from harness.fixtures import unavailable

        seed = self.config.getoption("--harness-seed")
        seed = random.randrange(2**32) if seed is None else seed
        self.user_properties.append(("seed", seed))
        try:
            result = repeats.run(
                self.scenario,
                runtime=self.config.getoption("--harness-runtime"),
                reports=Path(self.config.getoption("--harness-reports")),
                seed=seed,
                progress=print,
            )
        except RuntimeUnavailable as reason:
            unavailable(reason, "the scenario")
        if result.interrupted:
            self.session.shouldstop = "interrupted by the user"
        self.user_properties.extend(properties(result.findings))
        self._conclude(result.verdict.value, result.reason, Path(result.folder) / "report.html")

    def _conclude(self, verdict: str, reason: str, report: Path) -> None:
        self.user_properties.extend([("verdict", verdict), ("report", str(report))])
        if verdict == "fail":
            raise ScenarioFailed(f"FAIL: {reason}\nreport: {report}")
        if verdict == "unknown":
            raise ScenarioFailed(f"UNKNOWN, neither passed nor failed: this run cannot tell: {reason}\nreport: {report}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from harness.errors import HarnessError

        if isinstance(excinfo.value, ScenarioFailed | HarnessError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


def properties(findings: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """The headline of every metric of result.json's findings, as JUnit properties: (`write_outage`, `22.4131 s`)."""
    for finding in findings:
        for metric, measured in finding["measured"].items():
            value, unit = measured["value"], measured["unit"]
            if value is not None:
                yield metric, f"{value:g}" if unit == "count" else f"{value:g} {unit}"
