"""Do tests of one's own code get a real cluster, break it, measure it, and leave it whole for the next?"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.clock import wait_until

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "test-your-own-code.md"
EXAMPLES = dict(re.findall(r"^<!-- (\S+\.py) -->\n```python\n(.*?)^```$", HOW_TO.read_text("utf-8"), re.MULTILINE | re.DOTALL))

# What they do to each other, in this order: each finds the same cluster, healed of what the one before did.
SHARED = '''
import contextlib

import psycopg
import pytest

from harness.faults.pause import Pause
from harness.testing import Unwitnessed

seen = {}
EACH_PROBE = """for process in /proc/[0-9]*; do
    if tr '\\\\0' ' ' < $process/cmdline | grep -q '^python3 -m harness.probes'; then %s ${process#/proc/}; fi
done 2>/dev/null"""


def probes(cluster, zone, act="echo"):
    return cluster.nodes[f"client-{zone}"].run("sh", "-c", EACH_PROBE % act).out.split()


def same(cluster):
    """The one cluster of this module: its own address is nobody else's."""
    assert seen.setdefault("address", cluster.address("writer")) == cluster.address("writer")


def test_a_fault_is_healed_whose_block_raised(cluster, chaos):
    same(cluster)
    with pytest.raises(RuntimeError, match="my own"), chaos.inject("pause", target="one replica") as fault:
        seen["paused"] = fault.hit[0]
        raise RuntimeError("my own")
    cluster.await_healthy(within="30s")


def test_a_fault_that_nobody_sees_fails_the_test(cluster, chaos, monkeypatch):
    same(cluster)
    monkeypatch.setattr(Pause, "on_node", lambda self, node: contextlib.nullcontext())
    with pytest.raises(Unwitnessed, match="nobody saw its effect"), chaos.inject("pause", target="one replica"):
        pass


def test_a_probe_that_died_fails_the_test(cluster, probe):
    same(cluster)
    assert probes(cluster, "az-b")
    probes(cluster, "az-b", "kill -KILL")


def test_what_was_left_broken_is_healed(cluster):
    same(cluster)
    cluster.nodes[seen["paused"]].pause()


def test_the_next_finds_it_whole(cluster):
    same(cluster)
    assert sorted(cluster.roles().values()) == ["primary", "replica", "replica"]
    assert not probes(cluster, "az-a"), "no probe is left of a test before"
    with psycopg.connect(cluster.dsn("reader", zone="az-c")) as connection:
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
'''

BESIDE = """
import pathlib
import time

import psycopg
import pytest

here = pathlib.Path(__file__).parent


@pytest.mark.parametrize(("mine", "other"), [("one", "two"), ("two", "one")])
def test_two_clusters_live_side_by_side(cluster, mine, other):
    with psycopg.connect(cluster.dsn()) as connection:
        connection.execute(f"CREATE TABLE {mine} ()")
    (here / mine).write_text(cluster.dsn())
    deadline = time.monotonic() + 120
    while not (here / other).exists():
        assert time.monotonic() < deadline, "the other worker's cluster is there at the same time"
        time.sleep(0.1)
    with psycopg.connect(cluster.dsn()) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE tablename IN ('one', 'two')").fetchall()
    assert tables == [(mine,)]
    assert (here / other).read_text() != cluster.dsn()
    (here / f"{mine}.done").touch()
    while not (here / f"{other}.done").exists():
        assert time.monotonic() < deadline, "the other worker looks at its cluster too"
        time.sleep(0.1)
"""

ENDLESS = """
import pathlib
import time


def test_that_never_ends(cluster, chaos):
    with chaos.inject("pause", target="one replica"):
        (pathlib.Path(__file__).parent / "run").write_text(cluster.nodes["client-az-a"].container.labels["failover-harness.run"])
        while True:
            time.sleep(0.1)
"""


def results(folder: Path) -> dict[str, Any]:
    """Every report's result, by the name of its test."""
    found = folder.glob("reports/*/*/latest/result.json")
    return {path.parts[-3]: json.loads(path.read_text("utf-8")) for path in found}


def test_the_how_tos_own_code_survives_a_crash_of_the_writer(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_orders=EXAMPLES["test_orders.py"])
    result = pytester.runpytest_subprocess("--junitxml", "junit.xml")
    result.assert_outcomes(passed=1)
    [told] = results(pytester.path).values()
    assert told["verdict"] == "pass"
    assert [(fault["id"], fault["witnessed"]) for fault in told["faults"]] == [("crash", True)]
    [workload] = told["workloads"]
    assert (workload["name"], workload["rate_per_s"]) == ("ledger", 30)
    assert '<property name="lost_writes" value="0"' in (pytester.path / "junit.xml").read_text("utf-8")


@pytest.mark.slow
def test_the_how_tos_switchover_is_measured(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_switchover=EXAMPLES["test_switchover.py"])
    pytester.runpytest_subprocess("--strict-markers").assert_outcomes(passed=1)
    [told] = results(pytester.path).values()
    assert told["topology"]["options"]["replication"] == "asynchronous"


def test_tests_share_a_cluster_and_each_leaves_it_whole(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_shared=SHARED)
    result = pytester.runpytest_subprocess("-v", "-W", "error::UserWarning")
    result.assert_outcomes(passed=3, failed=2)
    told = results(pytester.path)
    assert told["test_a_fault_is_healed_whose_block_raised"]["faults"][0]["healed_at_s"] is not None
    nobody, died = told["test_a_fault_that_nobody_sees_fails_the_test"], told["test_a_probe_that_died_fails_the_test"]
    assert (nobody["verdict"], died["verdict"]) == ("unknown", "unknown")
    assert "at its beginning" in nobody["reason"]
    assert "probe-az-b ended while it was needed" in died["reason"]
    result.stdout.fnmatch_lines(["UNKNOWN, neither passed nor failed: *probe-az-b ended*"])


@pytest.mark.slow
def test_each_worker_of_xdist_has_a_cluster_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_beside=BESIDE)
    pytester.runpytest_subprocess("-n", "2").assert_outcomes(passed=2)


@contextmanager
def in_the_middle(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """pytest, yielded with its cluster's run at the moment in which a test has a fault in force."""
    (folder / "test_endless.py").write_text(ENDLESS)
    command = [sys.executable, "-m", "pytest", "test_endless.py", "-p", "no:cacheprovider"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            wait_until(lambda: (folder / "run").exists() or process.poll() is not None, 150, "the fault", every_s=0.2)
            assert process.poll() is None, process.communicate()[0]
            yield process, (folder / "run").read_text()
        finally:
            process.kill()


def left(run: str) -> list[str]:
    """The containers and networks of one run."""
    from harness.runtimes.docker import RUN_LABEL, engine

    client, mine = engine(), f"{RUN_LABEL}={run}"
    found = client.containers.list(all=True, ignore_removed=True, filters={"label": mine})
    networks = client.networks.list(filters={"label": mine})
    return [str(container.name) for container in found] + [str(network.name) for network in networks]


@pytest.mark.slow
def test_ctrl_c_heals_reports_and_leaves_nothing(tmp_path: Path) -> None:
    with in_the_middle(tmp_path) as (process, run):
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=90)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, out
    [told] = results(tmp_path).values()
    assert (told["verdict"], told["faults"][0]["healed_at_s"] is None) == ("unknown", False)
    assert "interrupted by the user" in told["reason"]
    assert left(run) == []


@pytest.mark.slow
def test_a_killed_pytest_leaves_nothing(tmp_path: Path) -> None:
    with in_the_middle(tmp_path) as (process, run):
        process.kill()
        process.wait()
        wait_until(lambda: not left(run), 30, "the supervisor to remove everything", every_s=0.5)
