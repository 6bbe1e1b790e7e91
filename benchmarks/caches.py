"""How much faster is a cache's answer than the database's, in one run? Writes the table of docs/benchmarks.md.

python -m benchmarks.caches [--times 3] [--runtime local]

By the scenarios `cache_aside`, in which the same users ask both; each cache in turn. What is compared is what clients wait for,
so a router on the way counts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.resharding import spread
from harness import runner, scenario
from harness.verdict import Verdict

SCENARIOS = {
    "Memcached in front of rds-multi-az": "scenarios/elasticache_memcached/cache_aside.yaml",
    "Redis, its primary killed meanwhile, in front of one PostgreSQL": "scenarios/elasticache_redis/cache_aside.yaml",
}


def measured(findings: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What the checker of caches found, in seconds."""
    (of_cache,) = [finding["measured"] for finding in findings if finding["checker"] == "cache"]
    return {name: of_cache[name]["value"] for name in ("hit_p50", "hit_p99", "origin_p50", "origin_p99")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--runtime", default="local")
    asked = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {what: [] for what in SCENARIOS}
    with tempfile.TemporaryDirectory(prefix="harness-benchmark-") as made:
        for _ in range(asked.times):
            for what, file in SCENARIOS.items():
                ended = runner.run(
                    scenario.load(Path(file)), runtime=asked.runtime, reports=Path(made), progress=lambda _: None
                )  # fmt: skip
                if ended.verdict is Verdict.UNKNOWN:
                    print(f"left out: {what}: {ended.reason}")
                else:
                    found[what].append(measured(ended.findings))
    columns = ("in front of what", "hit, p50 and p99", "read of the database, p50 and p99", "read ÷ hit, p50", "p99")
    print(f"| {' | '.join(columns)} |\n{'| --- ' * len(columns)}|")
    for what, runs in found.items():
        if runs:
            cells = [
                f"{statistics.median(one[f'{part}_p50'] for one in runs) * 1000:.2f} ms,"
                f" {statistics.median(one[f'{part}_p99'] for one in runs) * 1000:.1f} ms"
                for part in ("hit", "origin")
            ]
            ratios = [spread([one[f"origin_{rank}"] / one[f"hit_{rank}"] for one in runs], "{:.2f}") for rank in ("p50", "p99")]
            print(f"| {what} | {' | '.join([*cells, *ratios])} |")


if __name__ == "__main__":
    main()
