"""What does it do to clients right now? A stopwatch for each zone, who is primary, and how probes fail.

On a terminal these stand below the progress and change in place; elsewhere a line says each change. Read from what the
client nodes record, like everything else: nothing is asked a second time.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.clock import SECOND_NS, now_ns
from harness.measurement import Measurement
from harness.plain import plain
from harness.readings import Readings

EVERY_S = 0.2
OUTAGE_S = 1.0  # a zone whose last acknowledged write is older than this is without a writer
LATELY_S = 10.0


@dataclass(frozen=True)
class Zone:
    """What a zone's client sees: seconds since its last acknowledged write (None: none yet), and how its probes failed lately."""

    silent_s: float | None
    errors: Mapping[str, int]


@dataclass(frozen=True)
class Seen:
    """What is seen at one moment: by zone, and each database node's own word for its role."""

    zones: Mapping[str, Zone]
    roles: Mapping[str, str]


def look(readings: Readings, zones: list[str]) -> Seen:
    """What the client nodes have recorded up to now."""
    now = now_ns()
    seen = {}
    for zone in zones:
        last = readings.last_ok(f"probe-{zone}", "writer")
        silent = max(0, now - last) / SECOND_NS if last else None
        seen[zone] = Zone(silent, readings.errors(zone, now - int(LATELY_S * SECOND_NS)))
    return Seen(seen, dict(sorted(readings.roles().items())))


def changes(before: Seen | None, now: Seen, longest: dict[str, float]) -> Iterator[str]:
    """What became different, in a sentence each; `longest` keeps how long each zone's outage has been."""
    for node, role in now.roles.items():
        if before is not None and before.roles.get(node) not in (None, role):
            yield f"{node} says that it is {role}" if role in ("primary", "replica") else f"{node} is {role}"
    for zone, seen in now.zones.items():
        if seen.silent_s is not None and seen.silent_s >= OUTAGE_S:
            if zone not in longest:
                yield f"clients in {zone} cannot write"
            longest[zone] = seen.silent_s
        elif zone in longest:
            yield f"clients in {zone} can write again, after about {longest.pop(zone):.1f} s"


def table(seen: Seen, worst: Mapping[str, float]) -> Table:
    """The moment as a terminal shows it; `worst` is each zone's longest stretch without a write so far, in s."""
    shown = Table(
        "zone", "without a write", "longest", "probes that failed lately", box=None, padding=(0, 3, 0, 0), header_style="dim"
    )
    for zone, one in seen.zones.items():
        out = one.silent_s is not None and one.silent_s >= OUTAGE_S
        watch = "not yet seen" if one.silent_s is None else f"{one.silent_s:5.1f} s" if out else "writes"
        failed = ", ".join(f"{number} × {plain(error) or 'unanswered'}" for error, number in sorted(one.errors.items()))
        shown.add_row(zone, Text(watch, "bold red" if out else "green"), f"{worst.get(zone, 0):.1f} s", Text(failed, "dim"))
    return shown


def roles(seen: Seen) -> Text:
    """`pg-az-a primary, …`, the primary standing out."""
    styles = {"primary": "bold green", "unreachable": "bold red", "unknown": "dim"}
    said = Text()
    for node, role in seen.roles.items():
        said.append(f"{node} {role}   ", styles.get(role, ""))
    return said


@dataclass
class Shown:
    """Shows a measurement while it goes on; `progress` prints above it."""

    console: Console
    began: float = field(default_factory=time.monotonic)

    def progress(self, text: str) -> None:
        self.console.print(f"{time.monotonic() - self.began:7.1f} s  {plain(text)}", markup=False, highlight=False)

    @contextmanager
    def during(self, measurement: Measurement) -> Iterator[None]:
        """Watches until the measurement ends."""
        over = threading.Event()
        readings = Readings(measurement.clients.history)  # of its own: one reader belongs to one thread
        thread = threading.Thread(target=self._watch, args=(readings, list(measurement.cluster.zones), over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _watch(self, readings: Readings, zones: list[str], over: threading.Event) -> None:
        before: Seen | None = None
        longest: dict[str, float] = {}
        worst: dict[str, float] = {}
        with Live(console=self.console, auto_refresh=False, transient=True) if self.console.is_terminal else _nothing() as live:
            while not over.wait(EVERY_S) and not (readings.folder / "stop").exists():  # then nobody writes any more
                seen = look(readings, zones)
                for sentence in changes(before, seen, longest):
                    self.progress(sentence)
                for zone, one in seen.zones.items():
                    worst[zone] = max(worst.get(zone, 0.0), one.silent_s or 0.0)
                before = seen
                if live is not None:
                    live.update(Group(table(seen, worst), roles(seen)), refresh=True)


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


@contextmanager
def shown() -> Iterator[Shown]:
    """On stderr, as all progress is."""
    yield Shown(Console(file=sys.stderr))
