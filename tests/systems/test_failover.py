"""Does a real failover give a report that keeps its promises: recomputable, without secrets, as published?"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from harness import judging, runner, scenario
from harness.topologies.rds_multi_az import RdsMultiAz
from harness.verdict import Verdict

WRITER_CRASH = Path(__file__).parents[2] / "scenarios" / "rds_multi_az" / "writer_crash.yaml"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[runner.RunResult, dict[str, str]]:
    """One run of the smoke scenario, with the passwords that were made for it."""
    asked = scenario.load(WRITER_CRASH)
    topology = asked.topology.options
    assert isinstance(topology, RdsMultiAz)
    reports = tmp_path_factory.mktemp("reports")
    return runner.run(asked, runtime="docker", reports=reports, seed=7), topology.secrets


def test_nothing_acknowledged_is_lost_and_the_old_primary_rejoins_by_rewind(ran: tuple[runner.RunResult, dict[str, str]]) -> None:
    ended, _ = ran
    assert ended.verdict is Verdict.PASS, ended.reason
    recovery = next(finding for finding in ended.findings if finding["checker"] == "recovery")
    assert "rejoined by rewind" in recovery["summary"]
    roles = next(finding for finding in ended.findings if finding["checker"] == "roles")
    assert any("became primary" in note for note in roles["notes"])


def test_the_report_folder_is_whole(ran: tuple[runner.RunResult, dict[str, str]]) -> None:
    folder = ran[0].folder
    for name in ("scenario.yaml", "result.json", "summary.md", "junit.xml", "report.html", "history/operations.parquet"):
        assert (folder / name).stat().st_size > 0, name
    assert (folder.parent / "latest").resolve() == folder.resolve()
    jsonschema.validate(json.loads((folder / "result.json").read_text()), json.loads(judging.SCHEMA.read_text()))
    assert {path.name for path in (folder / "nodes").iterdir()} >= {"pg-az-a", "etcd-az-b", "haproxy-az-c", "client-az-a"}


def test_judge_recomputes_every_figure_from_the_history_alone(ran: tuple[runner.RunResult, dict[str, str]]) -> None:
    folder = ran[0].folder
    first = json.loads((folder / "result.json").read_text())
    (folder / "result.json").unlink()
    subprocess.run([sys.executable, "-m", "harness", "judge", str(folder)], check=True, capture_output=True)
    assert json.loads((folder / "result.json").read_text()) == first


def test_no_password_is_in_any_file_of_the_report(ran: tuple[runner.RunResult, dict[str, str]]) -> None:
    ended, passwords = ran
    secret = re.compile("|".join(re.escape(value) for value in passwords.values()).encode())
    files = [path for path in ended.folder.rglob("*") if path.is_file()]
    assert files
    assert [str(path) for path in files if secret.search(path.read_bytes())] == []
