"""One cluster per runtime for all conformance tests: the same bodies, whatever the nodes are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import runtimes
from harness.errors import RuntimeUnavailable
from harness.protocols import Cluster, Runtime
from tests.conformance.echo import Echo

RUNTIMES = ("docker", "local")


def runtime_called(name: str) -> Runtime:
    """The runtime, or a skip with the reason; a failure where the machine is said to have what it needs."""
    try:
        return runtimes.called(name, {}, lambda line: None)
    except RuntimeUnavailable as problem:
        if os.environ.get(f"HARNESS_REQUIRE_{name.upper()}") == "1":
            pytest.fail(f"{problem} (HARNESS_REQUIRE_{name.upper()}=1)")
        pytest.skip(str(problem))


@pytest.fixture(scope="session", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    return runtime_called(request.param)


@pytest.fixture(scope="session")
def folder(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(f"run-{runtime.name}")  # with logs of its own
    (folder / "history").mkdir()
    return folder


@pytest.fixture(scope="session")
def launched(runtime: Runtime, folder: Path) -> Iterator[Cluster]:
    topology = Echo()
    with runtime.launch(topology, folder) as cluster:
        topology.form(cluster, lambda line: None)
        yield cluster


@pytest.fixture
def cluster(launched: Cluster) -> Cluster:
    """The cluster, healthy: a test that left something broken fails the next one by name, not by accident."""
    assert Echo().healthy(launched) is None
    return launched
