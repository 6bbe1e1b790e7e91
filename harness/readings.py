"""What do the client nodes see right now?

Read while the run goes on, from what they write into the history: nothing is asked of a node a second time, and
what a client inside a cut-off zone sees is read like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from harness.clock import SECOND_NS, now_ns
from harness.endpoints import role_of
from harness.history import RAW, Array, Outcome, names_of, read_recording
from harness.recording import NOTHING, whole_lines

FRESH_NS = 3 * SECOND_NS  # a reading that is older says nothing of now
SETTLED_NS = SECOND_NS  # operations younger than this may still be under way


@dataclass
class _Tail:
    """The whole lines of a growing file that were not read yet."""

    path: Path
    _at: int = 0

    def lines(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        with open(self.path, "rb") as file:
            file.seek(self._at)
            fresh = file.read()
        self._at += fresh.rfind(b"\n") + 1
        return list(whole_lines(fresh.splitlines(keepends=True)))


@dataclass
class Readings:
    """Follows a running history's folder."""

    folder: Path
    _tails: dict[Path, _Tail] = field(default_factory=dict)
    _roles: dict[str, tuple[int, str]] = field(default_factory=dict)
    _noted: dict[str, set[str]] = field(default_factory=dict)
    _failed: dict[str, str] = field(default_factory=dict)
    _skip: dict[Path, int] = field(default_factory=dict)
    _one_at_a_time: Lock = field(default_factory=Lock)  # faults ask from threads of their own

    def _follow(self) -> None:
        with self._one_at_a_time:
            self._read_on()

    def _read_on(self) -> None:
        for path in self.folder.glob("*.events"):
            for line in self._tails.setdefault(path, _Tail(path)).lines():
                if line.get("event") == "role":
                    self._roles[line["node"]] = (line["at"], line["role"])
                elif line.get("event") in ("ready", "stopped"):
                    self._noted.setdefault(line["event"], set()).add(line["process"])
                elif line.get("event") == "failed":
                    self._failed[line["process"]] = line["reason"]

    def noted(self, event: str) -> set[str]:
        """The processes that have written `ready` or `stopped`."""
        self._follow()
        return self._noted.get(event, set())

    def failed(self, process: str) -> str:
        """Why a process said that it cannot go on; empty when it said nothing."""
        self._follow()
        return self._failed.get(process, "")

    def roles(self) -> Mapping[str, str]:
        """What each database node says of itself: primary, replica, unreachable; unknown when the reading is old."""
        self._follow()
        old = now_ns() - FRESH_NS
        return {node: role if at >= old else "unknown" for node, (at, role) in self._roles.items()}

    def operations(self, process: str, since: int) -> tuple[Array, Mapping[str, Mapping[int, str]]]:
        """The records of one process that were intended at or after `since` (ns, CLOCK_MONOTONIC), and its names."""
        path = self.folder / f"{process}.ops"
        if not path.exists():
            return np.zeros(0, RAW), {}
        skip = self._skip.get(path, 0)
        try:
            records = read_recording(path, skip)
        except ValueError:  # it was made just now, and has no header yet
            return np.zeros(0, RAW), {}
        # Records stand in the order in which they began: those before an old one are never asked for again.
        old = np.flatnonzero(records["intended"] < now_ns() - 300 * SECOND_NS)
        if len(old):
            self._skip[path] = skip + int(old[-1])
        return records[records["intended"] >= since], names_of(path.with_suffix(".names"))

    def success(self, process: str, lane: str, endpoint: str, since: int, until: int, reads: bool) -> tuple[int, int]:
        """How many operations intended from `since` to `until` were ok, of how many that were sent."""
        records, names = self.operations(process, since)
        records = records[(records["intended"] < until) & (records["outcome"] != Outcome.NOT_SENT)]
        chosen = _coded(records["lane"], names, "lane", lane) & _leading(records["endpoint"], names, endpoint)
        chosen &= _coded(records["kind"], names, "kind", "read") == reads
        return int(np.sum(records["outcome"][chosen] == Outcome.OK)), int(np.sum(chosen))

    def stable(self, zones: Iterable[str], for_s: float, endpoint: str = "writer") -> bool:
        """Whether every kept probe of the zones' clients at an endpoint was answered, for the last `for_s` seconds."""
        until = now_ns() - SETTLED_NS
        since = until - int(for_s * SECOND_NS)
        for zone in zones:
            ok, asked = self.success(f"probe-{zone}", "kept", endpoint, since, until, reads=endpoint == "reader")
            if not asked or ok < asked:
                return False
        return True

    def last_ok(self, process: str, endpoint: str) -> int:
        """When the last kept probe that was ok ended (ns, CLOCK_MONOTONIC); 0 when there is none.

        Where each shard has such an endpoint, the one that has waited longest counts.
        """
        records, names = self.operations(process, 0)
        each = _acknowledged(records, names, endpoint)
        return min((int(records["ended"][chosen].max(initial=0)) for chosen in each), default=0)

    def errors(self, zone: str, since: int, endpoint: str = "writer") -> Counter[str]:
        """How the probes of a zone's client ended that were intended since then and were not ok: class → number."""
        records, names = self.operations(f"probe-{zone}", since)
        chosen = _leading(records["endpoint"], names, endpoint) & (records["ended"] != NOTHING)
        wrong = records["error"][chosen & (records["outcome"] != Outcome.OK)]
        return Counter(names.get("error", {}).get(int(code), "?") for code in wrong)

    def longest_gap_s(self, zones: Iterable[str], since: int) -> float:
        """The longest time without an acknowledged kept write in any of the zones."""
        longest = 0.0
        for zone in zones:
            records, names = self.operations(f"probe-{zone}", since)
            for chosen in _acknowledged(records, names, "writer"):
                ends = np.sort(records["ended"][chosen])
                if len(ends) > 1:
                    longest = max(longest, float(np.diff(ends).max()) / SECOND_NS)
        return longest


def _acknowledged(records: Array, names: Mapping[str, Mapping[int, str]], role: str) -> list[Array]:
    """Which records are kept probes that were ok, of each endpoint with that role."""
    chosen: Array = (records["outcome"] == Outcome.OK) & (records["ended"] != NOTHING)
    chosen &= _coded(records["lane"], names, "lane", "kept")
    return [chosen & (records["endpoint"] == code) for code, name in names.get("endpoint", {}).items() if role_of(name) == role]


def _leading(column: Array, names: Mapping[str, Mapping[int, str]], role: str) -> Array:
    """Which records are of an endpoint with that role, be it one of several."""
    return np.isin(column, [code for code, name in names.get("endpoint", {}).items() if role_of(name) == role])


def _coded(column: Array, names: Mapping[str, Mapping[int, str]], of: str, word: str) -> Array:
    codes = [number for number, name in names.get(of, {}).items() if name == word]
    return np.isin(column, codes)
