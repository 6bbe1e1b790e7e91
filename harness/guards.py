"""Must this run be ended now: has it lasted too long, or become worse than its scenario bears?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.clock import SECOND_NS, now_ns
from harness.errors import Aborted
from harness.readings import SETTLED_NS, Readings
from harness.scenario import AbortIf, Scenario

LOOK_EVERY_NS = SECOND_NS
WINDOW_NS = 10 * SECOND_NS  # over which shares are taken
ENDPOINTS = {"write": "writer", "read": "reader"}


@dataclass
class Guards:
    """A scenario's `abort_if` and `max_runtime`, looked at while a measurement waits for anything, once a second at most.

    `max_runtime` counts from now; `abort_if` from `first_at` on, when the first probe is due (ns, CLOCK_MONOTONIC).
    `shards` says which part of the data a node keeps, where each keeps a part: each part has a primary of its own.
    """

    scenario: Scenario
    zones: Sequence[str]
    readings: Readings
    first_at: int | None = None
    shards: Mapping[str, str] = field(default_factory=dict)
    _began: int = field(default_factory=now_ns)
    _looked: int = 0
    _since: dict[str, int] = field(default_factory=dict)

    def check(self) -> None:
        """Raises Aborted, with the reason, when the run must be ended."""
        now = now_ns()
        if now - self._began > self.scenario.max_runtime_s * SECOND_NS:
            raise Aborted(f"max_runtime of {self.scenario.max_runtime_s:g} s is over")
        if self.first_at is None or now < max(self._looked, self.first_at) + LOOK_EVERY_NS:
            return
        self._looked = now
        for reason in self._reasons(self.scenario.abort_if, self.first_at, now):
            raise Aborted(f"abort_if: {reason}")

    def _reasons(self, bounds: AbortIf, first_at: int, now: int) -> Iterator[str]:
        for kind, outage_s in (("write", bounds.write_outage_s), ("read", bounds.read_outage_s)):
            if outage_s is not None:
                yield from self._outages(kind, outage_s, first_at, now)
        for kind, share in (("write", bounds.write_success), ("read", bounds.read_success)):
            if share is not None and now >= first_at + WINDOW_NS + SETTLED_NS:
                yield from self._failures(kind, share, now - SETTLED_NS)
        roles = {node: role for node, role in self.readings.roles().items() if not self.shards or node in self.shards}
        for shard in sorted({self.shards.get(node, "") for node in roles} | set(self.shards.values()) or {""}):
            primaries = sorted(n for n, role in roles.items() if role == "primary" and self.shards.get(n, "") == shard)
            of_shard = f" of {shard}" if shard else ""
            if self._lasts(f"no primary{of_shard}", not primaries, bounds.no_primary_s, now):
                yield f"no node{of_shard} has called itself primary for {bounds.no_primary_s:g} s"
            if self._lasts(f"two primaries{of_shard}", len(primaries) > 1, bounds.two_primaries_s, now):
                yield f"{' and '.join(primaries)} have both called themselves primary for {bounds.two_primaries_s:g} s"

    def _outages(self, kind: str, bound_s: float, first_at: int, now: int) -> Iterator[str]:
        for zone in self.zones:
            last = self.readings.last_ok(f"probe-{zone}", ENDPOINTS[kind])
            if now - max(last, first_at) > bound_s * SECOND_NS:
                yield f"the {kind} outage of clients in {zone} is longer than {bound_s:g} s"

    def _failures(self, kind: str, bound: float, until: int) -> Iterator[str]:
        counted = [
            self.readings.success(f"probe-{zone}", "kept", ENDPOINTS[kind], until - WINDOW_NS, until, reads=kind == "read")
            for zone in self.zones
        ]
        ok, asked = sum(ok for ok, _ in counted), sum(asked for _, asked in counted)
        if ok < bound * asked or not asked:  # where nothing was even sent, nobody was served
            yield f"{kind} success is below {bound:.4g}: {ok} of {asked} probes in {WINDOW_NS / SECOND_NS:g} s were ok"

    def _lasts(self, what: str, true: bool, bound_s: float | None, now: int) -> bool:
        """Whether something that is true now has been so for longer than a bound (None: there is none)."""
        if not true:
            self._since.pop(what, None)
            return False
        began = self._since.setdefault(what, now)
        return bound_s is not None and now - began > bound_s * SECOND_NS
