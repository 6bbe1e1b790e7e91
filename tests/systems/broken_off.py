"""A real `harness run` in a process of its own, which a test interrupts, kills, or takes the engine away from."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.clock import now_ns, wait_until
from harness.recording import read_lines
from harness.supervisor import identity, is_alive

PROCESSES = Path("/proc")
# What is started in a shell's background ignores Ctrl-C, and so does all that it starts unless told.
LISTENING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"


@dataclass
class Run:
    """A run under way; `reports` is where it writes."""

    process: subprocess.Popen[str]
    reports: Path
    _supervisor: str = ""
    id: str = ""

    @property
    def report(self) -> Path:
        """The run's report folder, once there is one."""
        events = next(iter(self.reports.glob("*/2*/history/events.jsonl")), None)
        assert events is not None, "the run has not begun to write"
        return events.parents[1]

    def seen(self, **wanted: str) -> bool:
        """Whether an event with these values was written."""
        for events in self.reports.glob("*/2*/history/events.jsonl"):
            if any(line.items() >= wanted.items() for line in read_lines(events)):
                return True
        return False

    def until(self, within_s: float = 240, **wanted: str) -> None:
        """Returns when an event with these values was written. Fails when the run ends without it."""

        def came() -> bool:
            return self.seen(**wanted) or self.process.poll() is not None

        wait_until(came, within_s, f"{wanted} to happen", every_s=0.05)
        assert self.seen(**wanted), f"the run ended without {wanted}: {self.said()}"

    def said(self) -> str:
        """What a run that has ended said."""
        return self.process.communicate()[0]

    def note_supervisor(self) -> None:
        """Finds out who will remove the run, while its parent is there; nobody when it has not begun to make anything."""
        for folder in PROCESSES.glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_text().split("\0")
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if int(parent) == self.process.pid and "harness.supervisor" in words:
                self._supervisor, self.id = identity(int(folder.name)), words[-2]

    def left(self) -> list[str]:
        """What there still is of the run in the engine: containers and networks."""
        from harness.runtimes.docker import RUN_LABEL, engine

        if not self.id:
            return []
        mine: dict[str, str | list[str] | bool] = {"label": f"{RUN_LABEL}={self.id}"}
        client = engine()
        found = [str(one.name) for one in client.containers.list(all=True, ignore_removed=True, filters=mine)]
        return found + [str(network.name) for network in client.networks.list(filters=mine)]

    def gone_within(self, seconds: float) -> tuple[float, float]:
        """After how many seconds, from now, nothing is left of the run, and after how many its supervisor has ended, too.

        Fails when the first takes longer than `seconds`, or the second, in which nothing may come up, ten more.
        """
        began = now_ns()

        def until(still: Callable[[], Sequence[str]], within_s: float) -> float:
            while left := still():
                assert (now_ns() - began) / 1e9 < within_s, f"left after {within_s:g} s: {', '.join(left)}"
                time.sleep(0.1)
            return (now_ns() - began) / 1e9

        nodes_s = until(self.left, seconds)
        supervisor_s = until(lambda: ["its supervisor"] if is_alive(self._supervisor) else [], seconds + 10)
        assert self.left() == [], "came up after all"
        return nodes_s, supervisor_s


@contextmanager
def running(folder: Path, scenario: str, environment: Mapping[str, str] | None = None, *command: str) -> Iterator[Run]:
    """`harness run` of a scenario (or another command) below `folder`; what is left of it in the end is killed."""
    file = folder / "scenarios" / "broken_off.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(scenario)
    reports = folder / "reports"
    asked = command or (sys.executable, "-m", "harness", "run", str(file), "--runtime", "docker", "--reports", str(reports))
    with subprocess.Popen(
        [sys.executable, "-c", LISTENING, *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(environment or {})},
    ) as process:
        try:
            yield Run(process, reports)
        finally:
            process.kill()


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, check=False)
