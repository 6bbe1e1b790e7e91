"""How exactly, and how fast, does the network between zones do what was asked for? Writes the table of docs/benchmarks.md.

python -m benchmarks.packets [--times 5]

Three echo servers in three zones on Docker; nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from harness.faults.degrade import Degrade
from harness.protocols import Cluster
from harness.runtimes.docker import Docker
from tests.conformance.echo import Echo
from tests.conformance.test_degrade import bulk, datagrams, echoes_ms, retransmitted
from tests.conformance.test_nodes import others

ECHOES = 300
BULK_MB = 300


def quiet(line: str) -> None:
    """Says nothing: the table is what is printed."""


def spread(values: Sequence[float], unit: str) -> str:
    return f"{statistics.median(values):.1f} {unit} (median of {len(values)}; {min(values):.1f} … {max(values):.1f})"


def figures(cluster: Cluster, times: int) -> Iterator[tuple[str, str, str]]:
    """What was measured, what is to be reached, and the figure."""
    sides = cluster.zone_group("az-a"), others(cluster, "az-a")
    there = ("az-a", "az-b")

    def round_trips(count: int = ECHOES) -> str:
        took = echoes_ms(cluster, *there, count)
        return f"p50 {np.percentile(took, 50):.2f} ms, p99 {np.percentile(took, 99):.2f} ms (of {len(took)})"

    def bulks(megabytes: int) -> str:
        return spread([bulk(cluster, *there, megabytes) / 1e6 for _ in range(times)], "MB/s")

    yield "round trip between zones, nothing degraded", "", round_trips()
    with Degrade(delay_ms=10).between(cluster.network, *sides):
        yield "the same, 10 ms each way", "20 ± 1 ms", round_trips()
    with Degrade(delay_ms=10, jitter_ms=5).between(cluster.network, *sides):
        yield "the same, 10 ± 5 ms each way", "", round_trips()
    yield "one TCP connection, nothing degraded", "", bulks(BULK_MB)
    with Degrade(delay_ms=10).between(cluster.network, *sides):
        yield "one TCP connection, 10 ms each way", "≥ 30 MB/s", bulks(BULK_MB)
    with Degrade(loss_share=0.01).between(cluster.network, *sides):
        yield "one TCP connection, 1 % loss each way", "", bulks(BULK_MB // 10)
    with Degrade(rate_bytes_per_s=2e6).between(cluster.network, *sides):
        yield "one TCP connection, rate: 2MB/s", "1.93 MB/s of payload", bulks(4)
    with Degrade(loss_share=0.1, direction="out").between(cluster.network, *sides):
        arrived = len(datagrams(cluster, *there, 2000, "benchmark", 0.0005))
        before = retransmitted(cluster.client("az-a"))
        bulk(cluster, *there, 10)
        sent, again = (after - earlier for after, earlier in zip(retransmitted(cluster.client("az-a")), before, strict=True))
        said = f"{1 - arrived / 2000:.1%} of 2000 datagrams lost; {again / sent:.1%} of {sent} TCP segments sent again"
        yield "10 % loss one way", "10 %", said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=5, help="how often each bulk transfer is measured")
    times = parser.parse_args().times
    topology, folder = Echo(), Path(tempfile.mkdtemp(prefix="harness-benchmark-"))
    (folder / "history").mkdir()
    print("| figure | to reach | measured |\n| --- | --- | --- |")
    with Docker(progress=quiet).launch(topology, folder) as cluster:
        topology.form(cluster, quiet)
        for row in figures(cluster, times):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
