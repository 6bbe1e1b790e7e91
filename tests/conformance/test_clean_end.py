"""Is anything left of a cluster when it has ended, however it ended?"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.clock import wait_until
from harness.errors import HarnessError
from harness.namespaces import limits
from harness.protocols import Runtime
from tests.conformance.echo import Echo
from tests.conformance.leftovers import left

LAUNCH = """
import pathlib, signal, sys
sys.path.insert(0, {root!r})
from tests.conformance.echo import Echo
from harness.protocols import Group
from harness import runtimes
topology = Echo()
with runtimes.called({runtime!r}, {{}}, lambda line: None).launch(topology, pathlib.Path({folder!r})) as cluster:
    topology.form(cluster, lambda line: None)
    with cluster.network.drop(cluster.zone_group("az-a"), cluster.zone_group("az-b")):
        print(cluster.run_id, flush=True)
        signal.pause()
"""


def test_leaving_the_context_removes_everything(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    with (
        runtime.launch(Echo(), tmp_path) as cluster,
        cluster.network.drop(cluster.zone_group("az-a"), cluster.zone_group("az-b")),
    ):
        run_id = cluster.run_id
        # Docker: the packet helper, the network, two tables of rules. Local: each server's process, three outside of nodes.
        assert len(left(runtime.name, run_id)) >= len(cluster.nodes) + 2
    assert left(runtime.name, run_id) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_harness_that_dies_leaves_nothing(runtime: Runtime, tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "history").mkdir()
    script = LAUNCH.format(root=str(Path(__file__).parents[2]), folder=str(tmp_path), runtime=runtime.name)
    harness = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert harness.stdout is not None
    run_id = harness.stdout.readline().strip()
    assert run_id, "the harness never said its run's id"
    assert left(runtime.name, run_id)
    os.kill(harness.pid, number)
    harness.wait(timeout=30)
    harness.stdout.close()
    wait_until(lambda: not left(runtime.name, run_id), 10, "everything of the run to be gone", every_s=0.5)


def of_this_machine(*private: Path) -> set[str]:
    """Everything here that a cluster of namespaces could leave behind; all files below the `private` folders, too."""
    found = {f"mount {line.split()[4]}" for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    found |= {f"network device {name}" for _, name in socket.if_nameindex()}
    found |= set(_processes())
    for tree in limits._trees(limits.ROOT).values():
        found |= {f"control group {group}" for group in tree.iterdir() if group.is_dir()}
    for folder in map(Path, ("/dev/shm", "/run", "/tmp", "/var/tmp")):
        found |= {f"file {entry}" for entry in folder.iterdir()}
    for folder in private:
        found |= {f"file {entry}" for entry in folder.rglob("*")}
    return found


def _processes() -> Iterator[str]:
    """Each process of this user's, and each namespace that a process is in."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                said = (entry / "cmdline").read_bytes()  # nothing for the kernel's own, which come and go
                if said and entry.stat().st_uid == os.getuid():
                    yield f"process {entry.name} {said.replace(bytes(1), b' ').decode()}"
                for kind in ("net", "pid", "mnt", "uts", "user"):
                    yield f"namespace {(entry / 'ns' / kind).readlink()}"


@pytest.mark.parametrize("runtime", ["local"], indirect=True)
def test_nothing_on_this_machine_is_new_when_the_harness_was_killed(runtime: Runtime, tmp_path: Path) -> None:
    folder, home, temporary = (tmp_path / name for name in ("run", "home", "temporary"))
    for one in (folder / "history", home, temporary):
        one.mkdir(parents=True)
    before = of_this_machine(home, temporary)
    script = LAUNCH.format(root=str(Path(__file__).parents[2]), folder=str(folder), runtime=runtime.name)
    harness = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "HOME": str(home), "TMPDIR": str(temporary)},
    )  # fmt: skip
    assert harness.stdout is not None
    assert harness.stdout.readline().strip(), "the harness never said its run's id"
    meanwhile = of_this_machine(home, temporary) - before
    # Its nodes, and what it owns beside them, were seen: a look that sees nothing would prove nothing.
    assert len([one for one in meanwhile if one.startswith("namespace net:")]) > 3
    assert any("harness.supervisor" in one for one in meanwhile)
    harness.kill()
    harness.wait(timeout=30)
    harness.stdout.close()
    new: set[str] = set()

    def as_before() -> bool:
        new.clear()
        new.update(of_this_machine(home, temporary) - before)
        return not new

    with suppress(HarnessError):
        wait_until(as_before, 10, "everything to be as it was before", every_s=0.25)
    assert new == set()
    assert not (folder / "local").exists(), "nodes' data and sockets are still in the run's folder"
