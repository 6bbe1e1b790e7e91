"""Was this machine itself the bottleneck?"""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

from harness.clock import cpu_s, now_ns
from harness.recording import Notes

_IDLE, _IOWAIT, _STEAL = 3, 4, 7


class HostWatch:
    """Writes an `instrument` event each second: how busy the host's cores are, and how much was stolen from it.

    Shares are of all cores, from 0 to 1, by Linux's /proc/stat. Nothing is written where there is none.
    """

    def __init__(self, notes: Notes, stat: Path = Path("/proc/stat")) -> None:
        self._notes = notes
        self._stat = stat
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="host watch", daemon=True)

    def __enter__(self) -> HostWatch:
        if self._stat.exists():
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        last, at, own = self._ticks(), now_ns(), cpu_s()
        while not self._over.wait(1):
            ticks, now, used = self._ticks(), now_ns(), cpu_s()
            spent = [new - old for new, old in zip(ticks, last, strict=True)]
            total = sum(spent) or 1
            self._notes.write(
                "instrument", now, process="host",
                busy_share=round(1 - (spent[_IDLE] + spent[_IOWAIT]) / total, 4), steal_share=round(spent[_STEAL] / total, 4),
            )  # fmt: skip
            self._notes.write("instrument", now, process="harness", cpu_share=round((used - own) * 1e9 / (now - at), 4))
            last, at, own = ticks, now, used

    def _ticks(self) -> list[int]:
        """user, nice, system, idle, iowait, irq, softirq, steal: ticks since the start, over all cores."""
        return [int(number) for number in self._stat.read_text().split("\n", 1)[0].split()[1:9]]
