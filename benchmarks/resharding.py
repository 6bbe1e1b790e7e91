"""What do clients notice when a quarter of a cluster's slots moves? Writes the table of docs/benchmarks.md.

python -m benchmarks.resharding [--times 3] [--runtime local]

Each way in turn, so that whatever else the machine does meanwhile meets both; run it with nothing else running.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import history, runner, scenario
from harness.clock import SECOND_NS
from harness.history import History, Outcome

WAYS = {"native": "add_shard", "keys": "add_shard_by_keys"}
SCENARIOS = Path("scenarios/elasticache_redis_cluster")


@dataclass(frozen=True)
class Seen:
    """One run: how long the change took, how clients fared, and what the run's verdict was."""

    took_s: float
    errors: int
    stall_s: float
    throughput: float
    verdict: str


def seen(told: History, verdict: str) -> Seen:
    """What clients saw while the change went on, beside the time before it."""
    (change,) = told.faults
    steady = told.phase("steady")
    assert change.injecting is not None, "the change was begun"
    assert change.healed is not None, f"the change was not verified: {change.error}"
    assert steady is not None, "a run that began a change was steady"
    asked = told.operations.where(lane="workload")
    during = asked.at((asked["intended"] >= change.injecting) & (asked["intended"] < change.healed))
    wrong = int(np.isin(during["outcome"], [Outcome.FAILED, Outcome.UNKNOWN]).sum())
    ok = asked.at(asked["outcome"] == Outcome.OK)["ended"]
    before = _per_s(ok, steady, change.injecting)
    probes = told.operations.where(lane="kept").writes
    writers = [name for name in probes.names["endpoint"] if name.startswith("writer")]
    stall = max(
        _longest(one["ended"][one["outcome"] == Outcome.OK], change.injecting, change.healed)
        for writer in writers
        for zone in told.zones
        if len(one := probes.where(endpoint=writer, zone=zone))
    )
    share = _per_s(ok, change.injecting, change.healed) / before
    return Seen((change.healed - change.injecting) / SECOND_NS, wrong, stall, share, verdict)


def _per_s(ended: history.Array, begin: int, end: int) -> float:
    return float(((ended >= begin) & (ended < end)).sum()) * SECOND_NS / (end - begin)


def _longest(acknowledged: history.Array, begin: int, end: int) -> float:
    """The longest time between two acknowledgements, of those that touch an interval; in s."""
    edges = np.sort(acknowledged)
    edges = edges[max(0, int(np.searchsorted(edges, begin)) - 1) : int(np.searchsorted(edges, end)) + 1]
    return float(np.diff(edges).max()) / SECOND_NS if len(edges) > 1 else (end - begin) / SECOND_NS


def spread(values: Sequence[float], form: str) -> str:
    return f"{form.format(statistics.median(values))} ({form.format(min(values))} … {form.format(max(values))})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--runtime", default="local")
    asked = parser.parse_args()
    found: dict[str, list[Seen]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="harness-benchmark-") as made:
        for _ in range(asked.times):
            for way, name in WAYS.items():
                ended = runner.run(
                    scenario.load(SCENARIOS / f"{name}.yaml"), runtime=asked.runtime, reports=Path(made), progress=lambda _: None
                )
                found[way].append(seen(history.read(ended.folder / "history"), ended.verdict.value))
    print("| figure | to reach | native (MIGRATESLOTS) | key by key (MIGRATE) |\n| --- | --- | --- | --- |")
    rows: tuple[tuple[str, str, Callable[[list[Seen]], str]], ...] = (
        ("errors", "0", lambda all_: str(sum(one.errors for one in all_))),
        ("worst stall", "≤ 250 ms", lambda all_: spread([one.stall_s * 1000 for one in all_], "{:.0f} ms")),
        ("throughput, of what it was before", "≥ 70 %", lambda all_: spread([one.throughput * 100 for one in all_], "{:.0f} %")),
        ("the whole change, verified", "", lambda all_: spread([one.took_s for one in all_], "{:.1f} s")),
        ("verdicts", "PASS", lambda all_: ", ".join(one.verdict for one in all_)),
    )
    for figure, bound, cell in rows:
        print(f"| {figure} | {bound} | {cell(found['native'])} | {cell(found['keys'])} |")


if __name__ == "__main__":
    main()
