"""Does somebody's own Locust file run beside our workload in every zone, with Locust's web UI at hand?"""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from harness import history, runner, scenario
from harness.topologies.rds_multi_az import RdsMultiAz
from harness.verdict import Verdict
from tests.unit.test_docs import LOCUST_FILES

SCENARIO = """
title: Nothing is broken under the how-to's own load
topology: rds-multi-az
workload: [{locustfile: shop.py, users: 6}, {use: ledger, users: 3, rate: 15/s}]
steady_state: {for: 3s}
expect:
  availability: {min: 99%}
  lost_writes: {max: 0}
"""


class Watcher:
    """Takes the place of a person who reads what the run says, and opens the pages that it names."""

    def __init__(self) -> None:
        self.urls: dict[str, str] = {}
        self.listening: set[str] = set()
        self.seen: dict[str, Any] = {}

    def __call__(self, text: str) -> None:
        if found := re.fullmatch(r"Locust's web UI of (\S+): (\S+)", text):
            self.urls[found[1]] = found[2]
        elif text.startswith("measuring for"):
            for process, url in self.urls.items():
                with urllib.request.urlopen(f"{url}stats/requests", timeout=10) as answer:
                    self.seen[process] = json.loads(answer.read())
                self.listening |= addresses(urlsplit(url).port or 0)


def addresses(port: int) -> set[str]:
    """Where this machine listens on a port, in hexadecimal, as the kernel says it."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and int(row[1].partition(":")[2], 16) == port}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[runner.RunResult, Watcher, dict[str, str]]:
    folder = tmp_path_factory.mktemp("own")
    for name, text in LOCUST_FILES.items():
        (folder / name).write_text(text)
    (folder / "own.yaml").write_text(SCENARIO)
    asked, watcher = scenario.load(folder / "own.yaml"), Watcher()
    topology = asked.topology.options
    assert isinstance(topology, RdsMultiAz)
    ended = runner.run(asked, runtime="docker", reports=folder / "reports", seed=7, progress=watcher, locust_ui=True)
    return ended, watcher, topology.secrets


def test_a_run_without_a_fault_passes_and_notes_the_closed_loop(ran: tuple[runner.RunResult, Watcher, dict[str, str]]) -> None:
    ended = ran[0]
    assert ended.verdict is Verdict.PASS, ended.reason
    load = next(finding for finding in ended.findings if finding["checker"] == "load")
    assert "wait for their own answers" in load["notes"][0]


def test_the_requests_of_every_zone_are_operations(ran: tuple[runner.RunResult, Watcher, dict[str, str]]) -> None:
    operations = history.read(ran[0].folder / "history").operations.where(lane="workload")
    for zone in ("az-a", "az-b", "az-c"):
        kinds = set(operations.where(process=f"load-{zone}", zone=zone).words("kind"))
        assert kinds == {"write INSERT order", "read SELECT orders"}
        assert "write" in operations.where(process=f"load2-{zone}").words("kind"), "the ledger runs beside it"
    assert (ran[0].folder / "history" / "load.files" / "shop.py").read_text() == LOCUST_FILES["shop.py"]


def test_each_process_has_a_web_ui_on_loopback(ran: tuple[runner.RunResult, Watcher, dict[str, str]]) -> None:
    watcher = ran[1]
    assert set(watcher.urls) == {f"{load}-{zone}" for load in ("load", "load2") for zone in ("az-a", "az-b", "az-c")}
    assert all(url.startswith("http://127.0.0.1:") for url in watcher.urls.values())
    assert watcher.listening <= {"0100007F"}, "nothing listens beyond loopback"
    for process, seen in watcher.seen.items():
        assert seen["user_count"] == (2 if process.startswith("load-") else 1)
        names = {entry["name"] for entry in seen["stats"]}
        assert names >= ({"order", "orders"} if process.startswith("load-") else {"writer"})


def test_no_password_is_in_any_file_of_the_report(ran: tuple[runner.RunResult, Watcher, dict[str, str]]) -> None:
    secret = re.compile("|".join(re.escape(value) for value in ran[2].values()).encode())
    assert [str(path) for path in ran[0].folder.rglob("*") if path.is_file() and secret.search(path.read_bytes())] == []
