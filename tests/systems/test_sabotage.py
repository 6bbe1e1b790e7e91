"""Is a run in which nothing was broken ever taken for one in which nothing was lost?

Every fault's injection, and every change's act, is replaced by nothing; the run must say that it cannot tell, and why.
All are tried on one cluster, which nothing that is tried here changes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from harness import living, runner, runtimes, scenario
from harness.faults.connection_flood import ConnectionFlood
from harness.faults.crash import Crash
from harness.faults.degrade import Degrade
from harness.faults.latency import Latency
from harness.faults.lose_host import LoseHost
from harness.faults.partition import Partition
from harness.faults.pause import Pause
from harness.faults.restart import Restart
from harness.living import Living
from harness.topologies.rds_multi_az import RdsMultiAz
from harness.verdict import Verdict

SCENARIO = """
title: Nothing is injected
topology: rds-multi-az
workload: {{use: ledger, users: 6, rate: 30/s}}
steady_state: {{for: 2s}}
recovery: {{stable_for: 2s}}
path: {path}
{acts}
expect:
  write_outage: {{max: 35s}}
  lost_writes: {{max: 0}}
"""


def nothing(*_: Any) -> AbstractContextManager[None]:
    return nullcontext()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(living.STATE, str(tmp_path_factory.mktemp("state")))
        kept = living.up("rds-multi-az", RdsMultiAz(), runtimes.called("docker", {}, print), print, options={})
        yield kept
        living.down(kept, force=True)


def unknown(cluster: Living, folder: Path, acts: str, path: str = "direct") -> str:
    """Measures a scenario that ends UNKNOWN, since nobody witnessed its acts, and returns the reason."""
    file = folder / "sabotage.yaml"
    file.write_text(SCENARIO.format(acts=acts, path=path))
    ended = runner.measure(scenario.load(file), cluster, reports=folder / "reports", seed=1)
    assert ended.verdict is Verdict.UNKNOWN, ended.reason
    witness = next(finding for finding in ended.findings if finding["checker"] == "witness")
    assert witness["verdict"] == "unknown"
    return ended.reason


@pytest.mark.parametrize(
    ("fault", "target", "path", "cls", "method"),
    [
        ("crash", "writer", "direct", Crash, "on_node"),
        pytest.param("pause", "writer", "direct", Pause, "on_node", marks=pytest.mark.slow),
        pytest.param("restart", "writer", "direct", Restart, "on_node", marks=pytest.mark.slow),
        pytest.param("lose_host", "writer", "direct", LoseHost, "on_host", marks=pytest.mark.slow),
        ("partition", "zone of writer", "direct", Partition, "between"),
        pytest.param("partition, how: reject", "zone of writer", "direct", Partition, "between", marks=pytest.mark.slow),
        pytest.param("partition, direction: out", "writer", "direct", Partition, "between", marks=pytest.mark.slow),
        ("degrade, delay: 20ms", "zone of writer", "direct", Degrade, "between"),
        pytest.param("degrade, loss: 10%", "zone of writer", "direct", Degrade, "between", marks=pytest.mark.slow),
        pytest.param("degrade, rate: 1MB/s", "zone of writer", "direct", Degrade, "between", marks=pytest.mark.slow),
        pytest.param("connection_flood", "writer", "direct", ConnectionFlood, "on_host", marks=pytest.mark.slow),
        ("latency, delay: 100ms", "clients", "toxiproxy", Latency, "on_link"),
    ],
    ids=["crash", "pause", "restart", "lose_host", "partition", "reject", "one_way", "delay", "loss", "rate", "flood", "latency"],
)
def test_a_fault_that_does_nothing_makes_the_run_unknown(
    cluster: Living,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    target: str,
    path: str,
    cls: type[Any],
    method: str,
) -> None:
    monkeypatch.setattr(cls, method, nothing)
    reason = unknown(cluster, tmp_path, f"faults: [{{inject: {fault}, target: {target}, at: 1s, for: 3s}}]", path)
    assert fault.partition(",")[0] in reason


def test_a_switchover_that_does_nothing_makes_the_run_unknown(
    cluster: Living, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RdsMultiAz, "switch_over", lambda topology, cluster, to: None)
    reason = unknown(cluster, tmp_path, "changes: [{change: switchover, at: 1s, within: 3s}]")
    assert "(switchover) failed: waited 3 s for another primary than pg-az-" in reason
    assert "; the cluster serves, with pg-az-" in reason


# --- the instrument itself ---------------------------------------------------------------------------------------------

STALL_S = 8  # three of them while the load warms up
STALL = f"""
import os, pathlib, signal, time
commands = {{int(entry.name): entry / "cmdline" for entry in pathlib.Path("/proc").iterdir() if entry.name.isdecimal()}}
probes = [pid for pid, command in commands.items() if bytes(1) + b"harness.probes" in command.read_bytes()]
for number, seconds in ((signal.SIGSTOP, {STALL_S}), (signal.SIGCONT, 0)):
    for pid in probes:
        os.kill(pid, number)
    time.sleep(seconds)
print(len(probes))
"""


def test_probes_that_stall_make_the_run_unknown(cluster: Living, tmp_path: Path) -> None:
    """Nothing is wrong with the database; whoever should have asked it did not."""
    file = tmp_path / "stalled.yaml"
    text = SCENARIO.format(acts="faults: []", path="direct").replace("steady_state: {for: 2s}", "steady_state: {for: 20s}")
    file.write_text(text)
    _, attached = cluster.attach()
    stalled: list[str] = []
    stall = threading.Thread(target=lambda: stalled.append(attached.client("az-a").run("python3", "-c", STALL).out.strip()))

    def progress(line: str) -> None:
        if "steady state" in line:
            stall.start()

    ended = runner.measure(scenario.load(file), cluster, reports=tmp_path / "reports", seed=1, progress=progress)
    stall.join()
    assert int(stalled[0]) > 0, "the process that probes from az-a, and who started it, were to be stopped"
    assert ended.verdict is Verdict.UNKNOWN, ended.reason
    assert "of the scheduled probes of az-a started within 10 ms, 95% are needed" in ended.reason
