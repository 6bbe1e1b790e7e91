"""Does a real failover give a report that keeps its promises: recomputable, without secrets, as published?"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from harness import judging, runner, scenario
from harness.topologies.rds_multi_az import RdsMultiAz
from harness.verdict import Verdict

WRITER_CRASH = Path(__file__).parents[2] / "scenarios" / "rds_multi_az" / "writer_crash.yaml"


# Prints every command line that this machine's other users can see, in nodes too; those of a new process three times,
# since it may become another program. Niced, so that it does not delay what is measured.
PROCESSES = """
import os, time
os.nice(15)
looked = {}
while True:
    pids = {name for name in os.listdir("/proc") if name.isdecimal()}
    looked = {pid: times for pid, times in looked.items() if pid in pids}
    for pid in pids:
        if looked.setdefault(pid, 0) < 3:
            looked[pid] += 1
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as words:
                    print(words.read(), flush=True)
            except OSError:
                pass
    time.sleep(0.02)
"""


# Prints what the engine tells of its containers, such as the command line of every program started in a node: one that lived
# for a millisecond too, which looking at processes misses.
EVENTS = """
import docker, os
os.nice(15)
for event in docker.from_env().events():
    print(event, flush=True)
"""


@contextmanager
def watching_command_lines(seen: Path) -> Iterator[None]:
    with ExitStack() as watchers:
        out = watchers.enter_context(open(seen, "ab"))
        for program in (PROCESSES, EVENTS):
            watcher = watchers.enter_context(subprocess.Popen([sys.executable, "-c", program], stdout=out))
            watchers.callback(watcher.kill)
        yield


@pytest.fixture(scope="module")
def command_lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seen") / "command_lines"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, command_lines: Path) -> tuple[runner.RunResult, dict[str, str]]:
    """One run of the smoke scenario, with the passwords that were made for it."""
    asked = scenario.load(WRITER_CRASH)
    topology = asked.topology.options
    assert isinstance(topology, RdsMultiAz)
    reports = tmp_path_factory.mktemp("reports")
    with watching_command_lines(command_lines):
        return runner.run(asked, runtime="docker", reports=reports, seed=7), topology.secrets


def test_nothing_acknowledged_is_lost_and_the_old_primary_rejoins_by_rewind(ran: tuple[runner.RunResult, dict[str, str]]) -> None:
    ended, _ = ran
    assert ended.verdict is Verdict.PASS, ended.reason
    recovery = next(finding for finding in ended.findings if finding["checker"] == "recovery")
    assert "rejoined by rewind" in recovery["summary"]
    roles = next(finding for finding in ended.findings if finding["checker"] == "roles")
    assert any("became primary" in note for note in roles["notes"])


def test_the_phases_of_the_failover_add_up_to_the_recovery(ran: tuple[runner.RunResult, dict[str, str]]) -> None:
    measured = {name: one for finding in ran[0].findings for name, one in finding["measured"].items()}
    phases = [measured[name]["value"] for name in ("detect", "elect", "promote", "route", "reconnect", "settle")]
    assert None not in phases, ran[0].findings
    recovery, outage = measured["recovery"], measured["write_outage"]
    assert recovery["lower"] <= sum(phases) <= recovery["upper"]
    apart_s = 0.1  # how far the zones' outages may begin and end apart after a crash, which all of them notice at once
    assert outage["lower"] <= sum(phases[:-1]) <= outage["upper"] + apart_s


def test_the_report_folder_is_whole(ran: tuple[runner.RunResult, dict[str, str]]) -> None:
    folder = ran[0].folder
    for name in ("scenario.yaml", "result.json", "summary.md", "junit.xml", "report.html", "history/operations.parquet"):
        assert (folder / name).stat().st_size > 0, name
    assert (folder.parent / "latest").resolve() == folder.resolve()
    jsonschema.validate(json.loads((folder / "result.json").read_text()), json.loads(judging.SCHEMA.read_text()))
    assert {path.name for path in (folder / "nodes").iterdir()} >= {"pg-az-a", "manager-az-b", "haproxy-az-c", "client-az-a"}


def test_judge_recomputes_every_figure_from_the_history_alone(ran: tuple[runner.RunResult, dict[str, str]]) -> None:
    folder = ran[0].folder
    first = json.loads((folder / "result.json").read_text())
    (folder / "result.json").unlink()
    subprocess.run([sys.executable, "-m", "harness", "judge", str(folder)], check=True, capture_output=True)
    assert json.loads((folder / "result.json").read_text()) == first


def search(passwords: dict[str, str]) -> re.Pattern[bytes]:
    return re.compile("|".join(re.escape(value) for value in passwords.values()).encode())


def test_no_password_is_in_any_file_of_the_report(ran: tuple[runner.RunResult, dict[str, str]]) -> None:
    ended, passwords = ran
    files = [path for path in ended.folder.rglob("*") if path.is_file()]
    assert files
    assert [str(path) for path in files if search(passwords).search(path.read_bytes())] == []


def test_no_password_is_on_any_command_line_of_the_host_or_a_node(
    ran: tuple[runner.RunResult, dict[str, str]], command_lines: Path
) -> None:
    seen = command_lines.read_bytes()
    for program in (b"patroni", b"harness.probes", b"harness.load", b"psql", b"HARNESS_FILE"):
        assert program in seen, "it was watched while passwords were handed over"
    assert search(ran[1]).findall(seen) == []
