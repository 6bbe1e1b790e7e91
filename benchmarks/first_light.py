"""How fast does a cluster form and go, what does probing cost, and how exactly is a standstill seen?

    python -m benchmarks.first_light [--times 3]

Prints a Markdown table for docs/benchmarks.md. Run it on a machine that does nothing else, after one run of a
scenario, so that the images are there. Needs the `docker` extra and an engine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import statistics
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from docker.errors import NotFound

from harness import history, runner, scenario
from harness.clients import Clients
from harness.clock import SECOND_NS, now_ns, wait_until
from harness.history import NOTHING, Outcome
from harness.runtimes.docker import RUN_LABEL, Docker, DockerNode, engine
from harness.topologies.rds_multi_az import RdsMultiAz

SCENARIOS = Path(__file__).parents[1] / "scenarios"
WATCHED_S = 12.0


def quiet(line: str) -> None:
    """No progress: it would be measured, too."""


def seconds(since: int) -> float:
    return (now_ns() - since) / SECOND_NS


# --- forming and going -----------------------------------------------------------------------------------------


def forming(times: int) -> tuple[list[float], list[float]]:
    """Seconds from the start of launching to every member healthy, and from leaving to all removed."""
    formed, removed = [], []
    for _ in range(times):
        topology, began = RdsMultiAz(), now_ns()
        with Docker(progress=quiet).launch(topology, _folder()) as cluster:
            topology.form(cluster, quiet)
            formed.append(seconds(began))
            began = now_ns()
        removed.append(seconds(began))
    return formed, removed


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="harness-benchmark-"))
    (folder / "history").mkdir()
    return folder


# --- what probing costs ------------------------------------------------------------------------------------------


def probing(times: int) -> dict[str, list[float]]:
    """Shares of a core, `times` each: all nodes idle, all nodes with probes alone, and the probe processes' part of it."""
    asked = dataclasses.replace(scenario.load(SCENARIOS / "instrument" / "control.yaml"), workloads=())
    topology, folder = asked.topology.options, _folder()
    with Docker(progress=quiet).launch(topology, folder) as cluster:
        topology.form(cluster, quiet)
        nodes = [node for node in cluster.nodes.values() if isinstance(node, DockerNode)]
        idle = [_cores(nodes) for _ in range(times)]
        clients = Clients(topology, cluster, (), "direct", random.Random(1))
        clients.await_endpoints()
        begun = clients.start()
        wait_until(lambda: clients.alive() and now_ns() > begun + 3 * SECOND_NS, 10, "three seconds of probing")
        with_probes = [_cores(nodes) for _ in range(times)]
        clients.stop()
    return {
        "idle": [sum(shares.values()) for shares in idle],
        "probing": [sum(shares.values()) for shares in with_probes],
        "probe processes": [sum(s for name, s in shares.items() if name.startswith("client-")) for shares in with_probes],
    }


def _cores(nodes: Sequence[DockerNode]) -> Mapping[str, float]:
    """Each node's share of a core over some seconds, by its cgroup's CPU time."""

    def used() -> tuple[int, dict[str, int]]:
        with ThreadPoolExecutor(len(nodes)) as pool:
            stats = pool.map(lambda node: node.container.stats(stream=False, one_shot=True), nodes)
            cpu = {n.spec.name: s["cpu_stats"]["cpu_usage"]["total_usage"] for n, s in zip(nodes, stats, strict=True)}
        return now_ns(), cpu

    began, before = used()
    threading.Event().wait(WATCHED_S)
    ended, after = used()
    return {name: (after[name] - before[name]) / (ended - began) for name in after}


# --- runs under load -------------------------------------------------------------------------------------------


@contextmanager
def memory() -> Iterator[dict[str, float]]:
    """Fills in the greatest resident memory seen, in MB: client nodes together, harness, supervisor."""
    seen: dict[str, float] = {}
    over = threading.Event()

    def watch() -> None:
        client = engine()
        while not over.wait(2):
            nodes = client.containers.list(filters={"label": RUN_LABEL}, ignore_removed=True)
            clients = [node for node in nodes if "-client-" in str(node.name)]
            try:
                held = sum(_anonymous(node.stats(stream=False, one_shot=True)) for node in clients) / 2**20
            except (NotFound, ValueError):
                continue  # it was removed while it was looked at
            for name, value in (("client nodes", held), *_own_memory()):
                seen[name] = max(seen.get(name, 0.0), value)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _anonymous(stats: Any) -> int:
    """A container's memory without the page cache, which is the kernel's to give back: cgroup version 1 or 2."""
    detail = stats.get("memory_stats", {}).get("stats", {})
    return int(detail.get("total_rss", detail.get("anon", 0)))


def _own_memory() -> Iterator[tuple[str, float]]:
    yield "harness", _resident("self")
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"harness.supervisor" in path.read_bytes():
                yield "supervisor", _resident(path.parent.name)
        except OSError:
            continue  # it ended while it was looked at


def _resident(process: str) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def on_time(told: history.History) -> float:
    """The share of all scheduled kept probes that started within 10 ms; those held back at a cap are not scheduled."""
    kept = told.operations.where(lane="kept")
    sent = (kept["outcome"] != Outcome.NOT_SENT) & (kept["started"] != NOTHING)
    late = (kept["started"] - kept["intended"])[sent]
    return float(np.mean(late <= 10_000_000))


def bracket(told: history.History, result: Mapping[str, Any]) -> dict[str, Any]:
    """The pause's truth by the injector's stamps, and each zone's bracket of the kept lane."""
    [fault] = told.faults
    assert None not in (fault.injecting, fault.injected, fault.healing, fault.healed), "the pause was not carried out"
    outage = next(f for f in result["findings"] if f["checker"] == "outage")["measured"]["write_outage"]
    kept = {name: each for name, each in outage["by"].items() if "kept" in name and "total" not in name}
    return {
        "truth": ((fault.healing - fault.injected) / SECOND_NS, (fault.healed - fault.injecting) / SECOND_NS),  # type: ignore[operator]
        "brackets": {name: (each["lower"], each["upper"]) for name, each in kept.items()},
    }


def run(name: str) -> tuple[history.History, dict[str, Any], dict[str, float]]:
    """One run of a calibrating scenario, with the memory that it took."""
    with memory() as held:
        ended = runner.run(
            scenario.load(SCENARIOS / "instrument" / f"{name}.yaml"), runtime="docker", reports=_folder(), seed=1, progress=quiet
        )
    return history.read(ended.folder / "history"), json.loads((ended.folder / "result.json").read_text()), held


# --- the table -------------------------------------------------------------------------------------------------


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} s (median of {len(values)}; {min(values):.1f} … {max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=3, help="how often forming, removing and the pause are measured")
    times = parser.parse_args().times
    rows: list[tuple[str, str, str]] = []
    formed, removed = forming(times)
    rows.append(("start of launching to every member healthy, images present", "≤ 15 s", spread(formed)))
    rows.append(("removing everything", "≤ 3 s", spread(removed)))
    cost = probing(times)
    idle, clients = statistics.median(cost["idle"]), statistics.median(cost["probe processes"])
    probes = [share - idle for share in cost["probing"]]
    seen = f"{statistics.median(probes):.2f} of a core (median of {times}; {min(probes):.2f} … {max(probes):.2f})"
    seen += f", {clients:.2f} of it in the probe processes; the idle cluster takes {idle:.2f}"
    rows.append(("all probing, server side included", "≤ 0.30 of a core", seen))
    told, result, held = run("control")
    busy = [event["busy_share"] for event in told.named("instrument") if event["process"] == "host"]
    rows.append(
        (
            "probes started within 10 ms under load (niced)",
            "≥ 99 %",
            f"{on_time(told):.2%} (host busy {statistics.median(busy):.0%})",
        )
    )
    outage = next(f for f in result["findings"] if f["checker"] == "outage")
    rows.append(("a control run without a fault", "no outage", outage["summary"]))
    rows.append(
        (
            "memory beside the servers",
            "≤ 500 MB",
            f"{sum(held.values()):.0f} MB (" + ", ".join(f"{name} {value:.0f}" for name, value in held.items()) + ")",
        )
    )
    for number in range(times):
        stood = bracket(*run("pause")[:2])
        low, high = stood["truth"]
        brackets = "; ".join(f"{name} {a:.3f} … {b:.3f}" for name, (a, b) in stood["brackets"].items())
        rows.append((f"a pause of 2 s ({number + 1}): truth {low:.3f} … {high:.3f} s", "inside, ≤ 0.1 s wide", brackets))
    print("| figure | to reach | measured |\n| --- | --- | --- |")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
