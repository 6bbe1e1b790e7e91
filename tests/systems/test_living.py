"""Does a cluster live on, can another process break it and leave it whole, and is nothing left when it is taken down?"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from harness import living
from harness.clock import wait_until
from harness.recording import read_lines


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {**os.environ, living.STATE: str(tmp_path_factory.mktemp("state"))}


@pytest.fixture(scope="module")
def clusters(environment: dict[str, str]) -> Iterator[list[dict[str, Any]]]:
    """Two clusters side by side, as `harness status --json` tells of them."""
    for name in ("one", "two"):
        ended = harness(environment, "up", "rds-multi-az", "--name", name, "--for", "1h")
        assert ended.returncode == 0, ended.stderr
    found = json.loads(harness(environment, "status", "--json").stdout)
    yield found
    ended = harness(environment, "down", "--all", "--force")
    assert ended.returncode == 0, ended.stderr
    assert [left(one["run"]) for one in found] == [[], []]
    assert list(Path(environment[living.STATE]).iterdir()) == []


def harness(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def left(run: str) -> list[str]:
    """The containers and networks of a run."""
    from harness.runtimes.docker import RUN_LABEL, engine

    client, labelled = engine(), {"label": f"{RUN_LABEL}={run}"}
    found = client.containers.list(all=True, ignore_removed=True, filters=dict(labelled))
    return [str(one.name) for one in found] + [str(one.name) for one in client.networks.list(filters=labelled)]


def entrances(cluster: dict[str, Any]) -> list[str]:
    return [dsn for zone in cluster["entrances"].values() for dsn in zone.values()]


def test_two_clusters_share_no_name_no_address_and_no_port(clusters: list[dict[str, Any]]) -> None:
    from harness.runtimes.docker import RUN_LABEL, engine

    assert [one["health"] for one in clusters] == ["healthy", "healthy"]
    places = [{re.search(r"@(.+)/", dsn)[1] for dsn in entrances(one)} for one in clusters]  # type: ignore[index]
    assert [len(place) for place in places] == [6, 6]
    assert not places[0] & places[1]
    subnets, names = [], []
    for one in clusters:
        mine = {"label": f"{RUN_LABEL}={one['run']}"}
        subnets += [network.attrs["IPAM"]["Config"][0]["Subnet"] for network in engine().networks.list(filters=mine)]
        names += [node.name for node in engine().containers.list(filters=dict(mine))]
    assert len(subnets) == len(set(subnets)) == 2
    assert len(names) == len(set(names)) == 2 * 19


def test_every_printed_address_leads_into_its_own_cluster(clusters: list[dict[str, Any]]) -> None:
    for number, one in enumerate(clusters):
        with psycopg.connect(one["entrances"]["az-b"]["writer"]) as connection:
            connection.execute("CREATE TABLE mine (number int)")
            connection.execute("INSERT INTO mine VALUES (%s)", (number,))
    for number, one in enumerate(clusters):
        for zone in ("az-a", "az-b", "az-c"):
            with psycopg.connect(one["entrances"][zone]["writer"]) as connection:
                assert connection.execute("SELECT number FROM mine").fetchall() == [(number,)]


def test_another_process_breaks_it_shows_it_live_and_reports(
    clusters: list[dict[str, Any]], environment: dict[str, str], tmp_path: Path
) -> None:
    primary = next(node for node, role in clusters[0]["roles"].items() if role == "primary")
    ended = harness(
        environment, "inject", "crash", "--cluster", "one", "--until", "new writer is stable", "--reports", str(tmp_path)
    )  # fmt: skip
    folder = tmp_path / "one" / "inject_crash" / "latest"
    result = json.loads((folder / "result.json").read_text())
    assert ended.returncode in (0, 3), ended.stderr  # 3: a machine that was too busy to be measured on
    assert result["faults"][0]["hit"] == [primary]
    assert result["faults"][0]["witnessed"] is True
    outage = next(f for f in result["findings"] if f["checker"] == "outage")["measured"]["write_outage"]
    assert outage["value"] > 10  # the lock lives 20 s
    assert "clients in az-a cannot write" in ended.stderr
    assert re.search(r"clients in az-a can write again, after about \d+\.\d s", ended.stderr)
    assert re.search(r"pg-az-\w says that it is primary", ended.stderr)
    state = json.loads(harness(environment, "status", "one", "--json").stdout)[0]
    assert state["health"] == "healthy"
    assert state["roles"][primary] == "replica"


def test_a_planned_change_is_measured_like_a_fault(
    clusters: list[dict[str, Any]], environment: dict[str, str], tmp_path: Path
) -> None:
    ended = harness(environment, "change", "switchover", "--cluster", "two", "--reports", str(tmp_path))
    result = json.loads((tmp_path / "two" / "change_switchover" / "latest" / "result.json").read_text())
    assert ended.returncode in (0, 3), ended.stderr
    assert result["faults"][0]["kind"] == "switchover"
    assert next(f for f in result["findings"] if f["checker"] == "durability")["measured"]["lost_writes"]["value"] == 0


def test_what_a_killed_inject_broke_is_healed_and_its_history_saved(
    clusters: list[dict[str, Any]], environment: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "harness", "inject", "partition", "--cluster", "two", "--for", "10min"]
    with subprocess.Popen([*command, "--reports", str(tmp_path)], env=environment) as process:
        history = Path(environment[living.STATE]) / "two" / "history"

        def injected() -> bool:
            return any(line.get("stage") == "injected" for path in history.glob("*/events.jsonl") for line in read_lines(path))

        wait_until(injected, 90, "the fault to be injected", every_s=0.2)
        refused = harness(environment, "inject", "pause", "--cluster", "two")
        process.send_signal(signal.SIGKILL)
    assert refused.returncode == 2
    assert re.search(r"two is in use \(.+, process \d+\)", refused.stderr)
    report = next((tmp_path / "two" / "inject_partition").iterdir())
    wait_until((report / "history" / "events.jsonl").exists, 30, "the guardian to save the history")
    wait_until(lambda: _health(environment, "two") == "healthy", 90, "the cluster to be whole again", every_s=1)
    judged = harness(environment, "judge", str(report))
    assert judged.returncode == 3, judged.stderr
    assert json.loads((report / "result.json").read_text())["verdict"] == "unknown"


def test_a_measurement_does_not_touch_what_others_keep_in_the_database(clusters: list[dict[str, Any]]) -> None:
    with psycopg.connect(clusters[1]["entrances"]["az-a"]["writer"]) as connection:
        assert connection.execute("SELECT number FROM mine").fetchall() == [(1,)]


def test_a_cluster_goes_by_itself_when_its_time_is_over(environment: dict[str, str]) -> None:
    ended = harness(environment, "up", "rds-multi-az", "--name", "brief", "--for", "1s")
    assert ended.returncode in (0, 3), ended.stderr  # 3: it went before its addresses could be printed
    run = re.search(r"brief is up \(run (\w+)\)", ended.stdout)
    assert run, ended.stderr
    wait_until(lambda: left(run[1]) == [], 30, "the cluster to go", every_s=0.5)
    wait_until(lambda: not (Path(environment[living.STATE]) / "brief").exists(), 10, "its folder to go")


def _health(environment: dict[str, str], name: str) -> str:
    return str(json.loads(harness(environment, "status", name, "--json").stdout)[0]["health"])
