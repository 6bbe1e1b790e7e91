"""Does a run end in one clear line, with nothing left behind, when the disk of its reports is full?"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.clock import wait_until
from harness.recording import read_lines
from harness.runtimes.docker import RUN_LABEL, engine
from tests.conformance.leftovers import on_docker as left

SCENARIO = """
title: The disk of the reports is full before the run is over
topology: rds-multi-az
workload: {use: ledger, users: 6, rate: 30/s}
steady_state: {for: 2s}
faults:
  - {inject: partition, target: zone of writer, at: 1s, for: 60s}
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 24 MiB."""
    if os.geteuid():
        if os.environ.get("HARNESS_REQUIRE_DOCKER") == "1":
            pytest.fail("needs root, to mount a small file system (HARNESS_REQUIRE_DOCKER=1)")
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        # A supervisor keeps its log open until it has looked for the last time.
        wait_until(lambda: subprocess.run(["umount", str(folder)], check=False).returncode == 0, 30, "the disk to be free")


def fill(folder: Path) -> None:
    with suppress(OSError), open(folder / "filler", "wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


def start(reports: Path, scenario: Path) -> subprocess.Popen[str]:
    scenario.write_text(SCENARIO)
    command = [sys.executable, "-m", "harness", "run", str(scenario), "--runtime", "docker", "--reports", str(reports)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def reached(reports: Path, **what: str) -> bool:
    """Whether the history says so: an event that has these values."""
    events = [line for path in reports.glob("*/*/history/events.jsonl") for line in read_lines(path)]
    return any(what.items() <= line.items() for line in events)


def run_in(reports: Path) -> str | None:
    """The id of the run whose nodes write below a folder, once there is one."""
    for container in engine().containers.list(ignore_removed=True, filters={"label": RUN_LABEL}):
        if any(mount["Source"].startswith(str(reports)) for mount in container.attrs["Mounts"]):
            return str(container.labels[RUN_LABEL])
    return None


@pytest.mark.parametrize(
    "moment",
    [*(pytest.param({"phase": phase}, marks=pytest.mark.slow) for phase in ("forming", "warming_up")), {"stage": "injected"}],
    ids=["forming", "warming up", "injected"],
)
def test_a_disk_that_becomes_full_ends_the_run_in_one_line(small_disk: Path, tmp_path: Path, moment: dict[str, str]) -> None:
    with start(small_disk, tmp_path / "full.yaml") as process:
        try:
            wait_until(lambda: reached(small_disk, **moment), 120, f"{moment}", every_s=0.05)
            fill(small_disk)
            run_id = wait_until(lambda: run_in(small_disk), 60, "its nodes")
            out, err = process.communicate(timeout=180)
        finally:
            process.kill()
    assert process.returncode == 3, err
    last = err.splitlines()[-1]
    assert last.startswith(f"UNKNOWN: {small_disk}")
    assert last.endswith("cannot be written: No space left on device; make room there, and run it again")
    assert "Traceback" not in out + err
    assert run_id is not None
    assert left(run_id) == []


def test_a_disk_that_is_full_already_is_one_line_before_anything_is_started(small_disk: Path, tmp_path: Path) -> None:
    fill(small_disk)
    with start(small_disk, tmp_path / "full.yaml") as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (3, "")
    said = "cannot be written: No space left on device; make room there, and run it again"
    assert err.splitlines()[-1] == f"UNKNOWN: {small_disk} {said}"
    assert "starting" not in err


def test_a_supervisor_that_cannot_log_it_removes_everything_all_the_same(small_disk: Path, tmp_path: Path) -> None:
    with start(small_disk, tmp_path / "full.yaml") as process:
        try:
            run_id = wait_until(lambda: run_in(small_disk), 60, "its nodes")
            fill(small_disk)
        finally:
            process.kill()
    assert run_id is not None
    wait_until(lambda: left(run_id) == [], 20, "the supervisor to remove everything", every_s=0.5)
