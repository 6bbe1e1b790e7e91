"""Users on a schedule tell Locust what any of its users would, and record what Locust cannot know."""

from __future__ import annotations

import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from harness.checkers.lie_factor import LieFactor
from harness.clock import now_ns, wait_until
from harness.history import Outcome, read
from harness.workloads.ledger import Ledger
from tests.unit.load_process import PATIENCE_S, started


@pytest.fixture
def refusing() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def config(port: int) -> dict[str, Any]:
    login = {
        "protocol": "postgresql",
        "host": "127.0.0.1",
        "port": port,
        "dbname": "harness",
        "user": "application",
        "password": "p",
    }
    return {
        "workload": "ledger", "options": asdict(Ledger(reconnect_s=0.2)), "users": 2, "rate_per_s": 40, "files": "",
        "login": login, "reading": login, "direct": login,
    }  # fmt: skip


def test_locust_counts_attempts_to_connect_and_the_history_what_was_not_asked_meanwhile(tmp_path: Path, refusing: int) -> None:
    with started(tmp_path, config(refusing)) as process:
        (process.folder / "start").write_text(str(now_ns()))
        wait_until(lambda: len(process.operations()) >= 60, PATIENCE_S, "60 operations to be intended")
        operations = process.stop()
    assert set(operations["outcome"].tolist()) == {Outcome.NOT_SENT}
    attempts = int(operations.mask(error="connection refused").sum())
    [told] = process.noted("locust")
    assert sum(entry["requests"] for entry in told["statistics"]) == attempts
    assert sum(entry["failures"] for entry in told["statistics"]) == attempts
    assert sum(sum(entry["response_times_ms"].values()) for entry in told["statistics"]) == attempts
    pauses = operations.mask(error="between attempts to connect")
    assert pauses.sum() == len(operations) - attempts
    finding = LieFactor().check(read(process.folder))
    assert (finding.measured["corrected_p99"].value or 0) >= 1, "what was not sent counts as its deadline"
    assert (finding.measured["lie_factor"].value or 0) > 10
