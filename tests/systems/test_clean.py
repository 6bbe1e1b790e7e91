"""Does `harness clean` remove what a dead machine left, all of it, and nothing that somebody still uses?

Two clusters, each with a cut in force. Of the one, the harness and its supervisor are killed at once, as a power cut
would; the other lives on beside it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from harness.clock import wait_until
from harness.runtimes import docker
from harness.runtimes.docker import RUN_LABEL, engine
from harness.runtimes.images import Images
from tests.conformance.leftovers import on_docker as left
from tests.conformance.leftovers import rules
from tests.conformance.test_clean_end import LAUNCH

ROOT = Path(__file__).parents[2]


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process with a cluster of its own and a cut in force, and the run's id; ended by Ctrl-C."""
    (folder / "history").mkdir(parents=True)
    script = LAUNCH.format(root=str(ROOT), folder=str(folder), runtime="docker")
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        run_id = process.stdout.readline().strip()
        assert run_id, "the harness never said its run's id"
        yield process, run_id
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        process.stdout.close()


def lose_power(process: subprocess.Popen[str]) -> None:
    """The harness and its supervisor are gone at the same moment; neither can do anything about it."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children, "the supervisor is a child of the harness"
    process.send_signal(signal.SIGSTOP)  # so that it does not see the others go
    for child in children:
        subprocess.run(["kill", "-KILL", child], check=True)
    process.kill()
    process.wait(timeout=10)


def clean() -> list[str]:
    ran = subprocess.run([sys.executable, "-m", "harness", "clean"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


@contextmanager
def nft(run_id: str) -> Iterator[Callable[[str], str]]:
    """Packet rules by a helper of our own, which belongs to no run."""
    image = Images(engine(), {}, lambda line: None).of("packets")
    helper = engine().containers.run(
        image, list(docker.INIT[1:]), entrypoint=docker.INIT[0], network_mode="host", cap_add=["NET_ADMIN"], detach=True, user="0"
    )
    try:
        yield docker._nft(helper)
    finally:
        helper.remove(force=True)


@pytest.mark.parametrize(
    "left_behind",
    [
        "everything",
        *(
            pytest.param(left, marks=pytest.mark.slow)
            for left in ("stopped containers", "no packet helper", "packet rules alone")
        ),
    ],
)
def test_what_a_dead_machine_left_is_removed_and_a_living_run_is_spared(tmp_path: Path, left_behind: str) -> None:
    with ExitStack() as stack:
        dying, dead = stack.enter_context(cluster(tmp_path / "dead"))
        _, living = stack.enter_context(cluster(tmp_path / "living"))
        lose_power(dying)
        spared = left(living)
        assert any(dead in table for table in rules()), "the cut is still in force"
        lose(dead, left_behind)

        said = clean()

        assert left(dead) == []
        assert left(living) == spared
        assert any(line.startswith(f"run {dead} ") and line.endswith("removed") for line in said), said
        assert any(line.startswith(f"run {living} ") and line.endswith("left alone") for line in said), said
        assert not any(dead in line for line in clean()), "the second time there is nothing more to do"
    wait_until(lambda: left(living) == [], 10, "the living run to end by itself")


def lose(run_id: str, left_behind: str) -> None:
    """What else went, apart from the processes."""
    mine = {"label": f"{RUN_LABEL}={run_id}"}
    containers = engine().containers.list(all=True, filters=dict(mine))
    helper = next(one for one in containers if str(one.name).endswith("-packets"))
    if left_behind == "stopped containers":  # after a reboot
        for container in containers:
            container.kill()
    elif left_behind == "no packet helper":
        helper.remove(force=True)
    elif left_behind == "packet rules alone":  # somebody has removed all that they saw
        for container in containers:
            container.remove(force=True, v=True)
        for network in engine().networks.list(filters=mine):
            network.remove()


def test_packet_rules_of_others_are_never_touched() -> None:
    others = ("harness_mine", "harness_0123456789", "firewall", "my_harness_01234567")
    with nft("others") as run:
        try:
            run("\n".join(f"add table bridge {name}" for name in (*others, "harness_01234567")))
            said = clean()
            there = {line.split()[-1] for line in rules()}
            assert set(others) <= there
            assert "harness_01234567" not in there
            assert "run 01234567 had left packet rules: removed" in said
        finally:
            run("\n".join(f"add table bridge {name}\ndelete table bridge {name}" for name in others))
