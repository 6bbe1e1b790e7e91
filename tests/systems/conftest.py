"""What do tests with real servers need: an engine, or the reason why there is none."""

from __future__ import annotations

import os

import pytest

from harness.errors import RuntimeUnavailable


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Skips with the reason where no engine answers; fails where the machine is said to have one."""
    from harness.runtimes import docker

    try:
        docker.engine()
    except RuntimeUnavailable as problem:
        if os.environ.get("HARNESS_REQUIRE_DOCKER") == "1":
            pytest.fail(f"{problem} (HARNESS_REQUIRE_DOCKER=1)")
        pytest.skip(str(problem))
