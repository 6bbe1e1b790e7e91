"""Locust's own web UI shows a run's users and may stop and start them; the history stays true."""

from __future__ import annotations

import json
import socket
import urllib.parse
import urllib.request
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from harness.clock import SECOND_NS, now_ns, wait_until
from harness.workloads.ledger import Ledger
from tests.unit.load_process import PATIENCE_S, Process, running, started

BUYER = """
class Buyer(User):
    wait_time = constant(0.01)

    @task
    def buy(self):
        with self.environment.events.request.measure("INSERT", "order"):
            gevent.sleep(0.01)
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Ui:
    """Locust's web UI, used as its page does."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return str(answer.read().decode())

    def post(self, path: str, **form: Any) -> Any:
        with urllib.request.urlopen(self.url + path, urllib.parse.urlencode(form).encode(), timeout=10) as answer:
            return json.loads(answer.read())

    def users(self) -> int:
        return int(json.loads(self.get("/stats/requests"))["user_count"])


def stopped_and_started(process: Process, ui: Ui, users: int) -> tuple[int, int]:
    """Stops all users by the UI, and starts some again once more than a second has passed; returns when, in ns."""
    assert ui.post("/stop")["success"]
    wait_until(lambda: ui.users() == 0, PATIENCE_S, "the users to be stopped")
    stopped = now_ns()
    wait_until(lambda: now_ns() > stopped + 1.5 * SECOND_NS, PATIENCE_S, "time without users to pass")
    started_at = now_ns()
    assert ui.post("/swarm", user_count=users, spawn_rate=100)["success"]
    wait_until(lambda: ui.users() == users, PATIENCE_S, "the users to be there again")
    wait_until(lambda: process.operations()["intended"].max() > started_at + SECOND_NS // 2, PATIENCE_S, "them to ask")
    return stopped, started_at


def test_the_ui_shows_stops_and_starts_the_users_of_a_locust_file(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, BUYER, ui_port=port) as process:
        ui = Ui(port)
        assert "Locust" in ui.get("/")
        assert ui.users() == 3
        assert any(entry["name"] == "order" for entry in json.loads(ui.get("/stats/requests"))["stats"])
        stopped, started_at = stopped_and_started(process, ui, users=5)
        intended = process.stop()["intended"]
    assert ((intended < stopped) | (intended >= started_at)).all(), "nothing is recorded while there are no users"


def test_users_on_a_schedule_that_were_stopped_take_it_up_where_it_is_now(tmp_path: Path) -> None:
    port = free_port()
    config = {
        "workload": "ledger", "options": asdict(Ledger(users=4, rate_per_s=40)), "files": "", "users": 4, "rate_per_s": 40,
        "ui_port": port,
    }  # fmt: skip
    with started(tmp_path, config) as process:
        (process.folder / "start").write_text(str(now_ns() + SECOND_NS // 2))
        wait_until(lambda: len(process.operations()) > 20, PATIENCE_S, "operations")
        stopped, started_at = stopped_and_started(process, Ui(port), users=4)
        intended = process.stop()["intended"]
    between = (intended > stopped + SECOND_NS // 4) & (intended < started_at)
    assert not between.any(), "what nobody meant to ask while there were no users is not made up for"
    steps = np.diff(np.sort(intended[intended > started_at]))
    assert np.median(steps) == SECOND_NS // 40, "their schedule is what it was"
