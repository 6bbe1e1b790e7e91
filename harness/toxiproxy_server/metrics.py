"""What does /metrics say of the bytes that passed, and of the process?

As the original, only where it is asked for by a flag: without, no byte is counted, and there is no such page.
"""

from __future__ import annotations

import os
import resource
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LABELS = ("direction", "proxy", "listener", "upstream")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Traffic:
    """Bytes of one direction of a proxy, of all its connections."""

    received: int = 0
    sent: int = 0


@dataclass
class Metrics:
    """What is counted, in the text format of Prometheus; `proxies` and `process` say which of it is shown."""

    proxies: bool
    process: bool
    _traffic: dict[tuple[str, ...], Traffic] = field(default_factory=lambda: defaultdict(Traffic))

    def traffic(self, *labels: str) -> Traffic | None:
        """The counters of direction, proxy, listener and upstream; None when nobody will look at them."""
        return self._traffic[labels] if self.proxies else None

    def text(self) -> str:
        return "".join(f"{line}\n" for line in (*self._of_proxies(), *self._of_process()))

    def _of_proxies(self) -> Iterator[str]:
        if not self._traffic:
            return
        for way in ("received", "sent"):
            name = f"toxiproxy_proxy_{way}_bytes_total"
            yield from (f"# HELP {name} ", f"# TYPE {name} counter")
            for labels, traffic in sorted(self._traffic.items()):
                said = ",".join(f'{label}="{_escaped(value)}"' for label, value in sorted(zip(_LABELS, labels, strict=True)))
                yield f"{name}{{{said}}} {getattr(traffic, way)}"

    def _of_process(self) -> Iterator[str]:
        if not self.process:
            return
        used = resource.getrusage(resource.RUSAGE_SELF)
        pages = [int(count) * resource.getpagesize() for count in Path("/proc/self/statm").read_text().split()]
        values = {
            "cpu_seconds_total": ("counter", used.ru_utime + used.ru_stime),
            "open_fds": ("gauge", len(list(Path("/proc/self/fd").iterdir()))),
            "max_fds": ("gauge", resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
            "virtual_memory_bytes": ("gauge", pages[0]),
            "resident_memory_bytes": ("gauge", pages[1]),
            "start_time_seconds": ("gauge", _started_s()),
        }
        for name, (kind, value) in values.items():
            yield from (f"# TYPE process_{name} {kind}", f"process_{name} {value}")


def _started_s() -> float:
    """When the process began, in seconds since 1970."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    return int(boot.split()[1]) + ticks / _TICKS_PER_S


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
