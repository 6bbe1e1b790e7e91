"""A load process as a client node runs one: importing Locust changes its interpreter, so it may not happen in the tests'."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.clock import wait_until
from harness.history import Operations, read
from harness.recording import Notes, read_lines
from harness.workloads.locustfile import Locustfile

HEAD = """\
import os, socket
import gevent
from locust import HttpUser, LoadTestShape, User, constant, events, task
"""

PATIENCE_S = 90  # the load is niced, and a machine may be busy
OPTIONS = ("host", "tags", "exclude_tags", "arguments", "reads", "deadline_s")


@dataclass
class Process:
    """A load process, and what it has recorded so far."""

    folder: Path
    popen: subprocess.Popen[str]

    def noted(self, event: str) -> list[dict[str, Any]]:
        return [line for line in read_lines(self.folder / "load-az-a.events") if line["event"] == event]

    def operations(self) -> Operations:
        return read(self.folder).operations

    def until(self, kind: str) -> None:
        wait_until(lambda: kind in self.operations().words("kind"), PATIENCE_S, f"an operation '{kind}'")

    def stop(self) -> Operations:
        (self.folder / "stop").touch()
        assert self.popen.wait(PATIENCE_S) == 0, (self.folder / "log").read_text()
        assert self.noted("stopped")
        return self.operations()


@contextmanager
def started(folder: Path, config: dict[str, Any], ready: bool = True) -> Iterator[Process]:
    """A load process with that configuration beside what every one has; yielded when it is ready, or at once."""
    history = folder / "history"
    history.mkdir()
    Notes(history / "events.jsonl").write("run", 0, topology={"zones": ["az-a"], "nodes": []})
    every = {
        "process": "load-az-a", "zone": "az-a", "folder": str(history), "number": 0, "place": 0, "processes": 1,
        "seed": 1, "ui_port": 0, "ready_within_s": PATIENCE_S,
        "login": (login := {
            "protocol": "postgresql", "host": "", "dbname": "harness", "user": "application", "password": "p/w",
            "options": "-c search_path=workload,public",
        }),
        "reading": login, "direct": {"pg-az-a": login},
        "start": str(history / "start"),
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(every | config))
    command = [sys.executable, "-m", "harness.load", "run", str(folder / "config.json")]
    with open(history / "log", "w") as log, subprocess.Popen(command, stdout=log, stderr=log, text=True) as popen:
        process = Process(history, popen)
        try:
            if ready:
                wait_until(lambda: process.noted("ready") or popen.poll() is not None, PATIENCE_S, "the users to be ready")
                assert process.noted("ready"), process.noted("failed") or (history / "log").read_text()
            yield process
        finally:
            popen.kill()


def running(folder: Path, text: str, ready: bool = True, **changed: Any) -> AbstractContextManager[Process]:
    """`text` as a Locust file under load by 3 users, unless `changed` says otherwise."""
    (folder / "files").mkdir(exist_ok=True)
    (folder / "files" / "mine.py").write_text(HEAD + text)
    options = {key: value for key, value in changed.items() if key in OPTIONS}
    config = {
        "users": 3, "spawn_rate_per_s": 100, "files": str(folder / "files"),
        "endpoints": {name: endpoint("198.18.1.10", port) for name, port in (("writer", 5000), ("reader", 5001))},
        "workload": "locustfile", "options": asdict(Locustfile("mine.py", **options)),
    }  # fmt: skip
    return started(folder, config | {key: value for key, value in changed.items() if key not in OPTIONS}, ready)


def endpoint(host: str, port: int) -> dict[str, Any]:
    return {"host": host, "port": port, "dsn": f"postgresql://application:p%2Fw@{host}:{port}/harness"}
