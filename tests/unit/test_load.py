"""Users on a schedule tell Locust what any of its users would, and record what Locust cannot know."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from harness.checkers.lie_factor import LieFactor
from harness.clock import now_ns, wait_until
from harness.history import Outcome, read
from harness.recording import Notes
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


# A program's beginning: one recorded read after the other, each answered by `perform`, which it goes on to define.
USERS = """
import random, sys, types
from pathlib import Path
import gevent, locust
from gevent import monkey
from gevent.event import Event
from harness.clock import now_ns
from harness.load import Context, user_class
from harness.recording import Outcome, Recorder
from harness.sessions import Done

folder = Path(sys.argv[1])
recorder, start = Recorder(folder, "load-az-a", "az-a"), folder / "start"

def users(number, interval_ns, perform):
    workload = types.SimpleNamespace(
        mix={"read": 1}, deadline_s=60, reconnect_s=1, plan=lambda kind, context: (-1, -1, None), perform=perform
    )
    session = types.SimpleNamespace(connect=lambda: None, connected=True, drop=lambda: None)
    driver = types.SimpleNamespace(session=lambda login, reconnect_s: session)
    start.write_text(str(now_ns() + 10**9))
    context = Context(
        workload, recorder, random.Random(1), 0, driver, {}, {}, {}, number, interval_ns,
        lambda user: user * interval_ns // number, start,
    )
    runner = locust.env.Environment(user_classes=[user_class(context)], stop_timeout=3600).create_local_runner()
    runner.start(number, spawn_rate=number)
    return runner
"""

STOPPED = """
asked, answered = Event(), Event()

def perform(*_):
    asked.set()
    answered.wait()
    return Done(Outcome.OK)

runner = users(2, 3600 * 10**9, perform)
asked.wait()
stopping = gevent.spawn(runner.quit)
while runner.user_count > 1:
    gevent.sleep(0.01)
print(runner.user_count, "user left, who still asks:", not stopping.ready())
answered.set()
stopping.get()
recorder.close()
"""

# The process stands still in the moment of the end, as on a machine that is busy: when it goes on, users are told to stop who
# wait for a time that has come meanwhile.
STOPPED_WHILE_DUE = """
answered, all_ask = [], Event()

def perform(*_):
    gevent.sleep(0.001)  # a server's time
    answered.append(now_ns())
    if len(answered) == 100:
        all_ask.set()
    return Done(Outcome.OK)

runner = users(20, 20 * 10**6, perform)
all_ask.wait()
stopping = gevent.spawn(runner.quit)
gevent.spawn(monkey.get_original("time", "sleep"), 0.01)
stopping.get()
recorder.close()
"""


def _outcomes(program: str, folder: Path) -> tuple[str, list[int]]:
    """What a program with such users printed, and the outcomes that it recorded."""
    ran = subprocess.run(
        [sys.executable, "-c", USERS + program, str(folder)], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    Notes(folder / "events.jsonl").write("run", 0, topology={"zones": ["az-a"], "nodes": []})
    return ran.stdout, read(folder).operations["outcome"].tolist()


def test_a_user_who_is_stopped_while_it_asks_does_so_first_and_who_waits_is_gone_at_once(tmp_path: Path) -> None:
    printed, outcomes = _outcomes(STOPPED, tmp_path)
    assert printed == "1 user left, who still asks: True\n"
    assert outcomes == [Outcome.OK]


def test_whoever_is_stopped_when_its_time_has_come_asks_no_more_or_to_the_end(tmp_path: Path) -> None:
    _, outcomes = _outcomes(STOPPED_WHILE_DUE, tmp_path)
    assert set(outcomes) == {Outcome.OK}
