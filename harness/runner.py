"""From a scenario to a history, and from a history to a verdict.

Record first, judge later: `record` writes a history and nothing else; everything that is concluded is concluded by
`judging` from that history alone, at once or years later.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import random
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from harness import archive, judging, registry
from harness.clock import SECOND_NS, now_ns, wait_until
from harness.errors import ClusterError, HarnessError, RuntimeUnavailable, UsageError
from harness.layout import Plan, client_nodes, through_toxiproxy
from harness.nemesis import Nemesis
from harness.protocols import Cluster, Endpoint, NodeSpec, Runtime, Topology
from harness.readings import Readings
from harness.recording import Notes
from harness.scenario import Scenario, as_run
from harness.verdict import Verdict
from harness.watch import HostWatch
from harness.witnesses import LOOK

Progress = Callable[[str], None]

# How the probes ask: {lane: {cadence, deadline}} in ms, per endpoint, and how many of them may be unanswered. A fresh
# connection costs the server as much as forty kept writes, so there are few of them, and the zones' are staggered.
# Eight kept connections to the writer keep the cadence up to a latency of 160 ms.
PROBES: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "writer": {
        "kept": {"cadence_ms": 20, "deadline_ms": 500, "unanswered_max": 8},
        "fresh": {"cadence_ms": 1500, "deadline_ms": 1000, "unanswered_max": 3},
    },
    "reader": {
        "kept": {"cadence_ms": 250, "deadline_ms": 500, "unanswered_max": 3},
        "fresh": {"cadence_ms": 6000, "deadline_ms": 1000, "unanswered_max": 3},
    },
    "node": {"kept": {"cadence_ms": 250, "deadline_ms": 500, "unanswered_max": 3}},
}
WARM_UP_S = 2.0  # from the first operation to the beginning of the steady state
STEADY_WITHIN_S = 60.0
HEALTH_EVERY_S = 2.0
AFTER_AT_LEAST_S, AFTER_AT_MOST_S = 5.0, 60.0  # how long is measured after recovery: as long as the outage was
REPORTERS = ("json", "markdown", "junit", "html")


@dataclass(frozen=True)
class RunResult:
    """How a run ended, and where its report is."""

    verdict: Verdict
    reason: str
    findings: Sequence[Mapping[str, Any]]
    folder: Path


def run(
    scenario: Scenario,
    *,
    runtime: str = "auto",
    reports: Path = Path("reports"),
    seed: int | None = None,
    progress: Progress = print,
) -> RunResult:
    """Runs a scenario and writes `reports/<scenario>/<time>/`, to which `latest` then points.

    Raises RuntimeUnavailable when this machine cannot start the nodes, UsageError for an unknown runtime. What goes
    wrong once the cluster is being started ends in a report whose verdict is UNKNOWN.
    """
    chosen = _runtime(runtime, scenario, progress)
    folder = _new_folder(reports, scenario.name)
    (folder / "scenario.yaml").write_text(scenario.text, encoding="utf-8")
    record(scenario, chosen, folder, secrets.randbelow(2**31) if seed is None else seed, progress)
    progress("judging")
    archive.write(folder / "history")
    result = judging.judge_folder(folder)
    write_reports(folder, result)
    _point_latest(folder)
    return RunResult(Verdict(result["verdict"]), result["reason"], result["findings"], folder)


def write_reports(folder: Path, result: Mapping[str, Any]) -> None:
    """Writes every form of a result into a run's folder."""
    from harness import history  # noqa: PLC0415

    told = history.read(folder / "history")
    for name in REPORTERS:
        registry.find("reporters", name)().write(folder, told, result)


def _runtime(name: str, scenario: Scenario, progress: Progress) -> Runtime:
    if name == "local":
        raise RuntimeUnavailable("the embedded runtime is not there yet; use --runtime docker")
    if name not in ("auto", "docker"):
        raise UsageError(f"no runtime called '{name}'; known: auto, docker, local")
    try:
        from harness.runtimes.docker import Docker, engine  # noqa: PLC0415 (an optional extra)
    except ImportError as problem:
        raise RuntimeUnavailable(f"the docker runtime needs {problem.name}: pip install 'failover-harness[docker]'") from None
    engine()
    return Docker(images=scenario.images, progress=progress)


def _new_folder(reports: Path, scenario: str) -> Path:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    for attempt in range(100):
        folder = reports / scenario / (moment if not attempt else f"{moment}-{attempt}")
        with suppress(FileExistsError):
            (folder / "history").mkdir(parents=True)
            return folder
    raise UsageError(f"{reports / scenario}: a hundred runs began in this second")


def _point_latest(folder: Path) -> None:
    latest, fresh = folder.parent / "latest", folder.parent / f".latest-{folder.name}"
    fresh.symlink_to(folder.name)
    os.replace(fresh, latest)


# --- recording ---------------------------------------------------------------------------------------------


def record(scenario: Scenario, runtime: Runtime, folder: Path, seed: int, progress: Progress) -> None:
    """Carries a scenario out and leaves its history in `folder/history`, whatever happens on the way."""
    notes = Notes(folder / "history" / "events.jsonl")
    topology: Topology = scenario.topology.options
    notes.write("run", now_ns(), **_first_event(scenario, topology, runtime, seed))
    try:
        notes.write("phase", now_ns(), phase="forming")
        with runtime.launch(topology, folder) as cluster:
            Recording(scenario, topology, cluster, notes, seed, progress).carry_out()
            progress("removing the nodes")
    except HarnessError as problem:
        progress(str(problem))
        notes.write("aborted", now_ns(), reason=str(problem))
    except Exception as problem:
        notes.write("aborted", now_ns(), reason=f"the harness crashed: {type(problem).__name__}: {problem}")
        raise
    except KeyboardInterrupt:
        progress("interrupted: everything is healed and removed")
        notes.write("aborted", now_ns(), reason="interrupted by the user")
    finally:
        notes.write("phase", now_ns(), phase="done")
        notes.close()


def _first_event(scenario: Scenario, topology: Topology, runtime: Runtime, seed: int) -> dict[str, Any]:
    plan = Plan(IPv4Network("198.18.0.0/20"), topology.zones)
    planned = [*topology.nodes(plan.addresses()), *client_nodes(plan, topology)]
    workloads = [workload.options for workload in scenario.workloads]
    told = as_run(scenario)
    told["topology"] |= {"zones": list(topology.zones), "nodes": [_told(spec) for spec in planned]}
    return told | {
        "seed": seed,
        "runtime": runtime.name,
        "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "probes": PROBES,
        "sets": {"probe_write": "probe", **{kind: name for work in workloads for kind, name in work.sets.items()}},
        "invariants": {name: value for work in workloads for name, value in work.invariants().items()},
        "versions": _own_versions(),
    }


def _own_versions() -> dict[str, str]:
    return {
        "harness": importlib.metadata.version("failover-harness"),
        "python": platform.python_version(),
        "kernel": f"{platform.system()} {platform.release()}",
        "cores": str(os.cpu_count()),
    }


def _told(spec: NodeSpec) -> dict[str, str]:
    return {"name": spec.name, "zone": spec.zone, "role": spec.role, "server": spec.server}


@dataclass
class Recording:
    """One run on a cluster that was laid out."""

    scenario: Scenario
    topology: Topology
    cluster: Cluster
    notes: Notes
    seed: int
    progress: Progress

    def __post_init__(self) -> None:
        self.history = self.cluster.folder / "history"
        self.readings = Readings(self.history)
        self.rng = random.Random(self.seed)
        self.deadline = now_ns() + int(self.scenario.max_runtime_s * SECOND_NS)

    def carry_out(self) -> None:
        """Forms, measures, breaks, heals, measures on, reads what is left."""
        self.topology.form(self.cluster, self.progress)
        self._note_layout()
        self._await_endpoints()
        self._prepare()
        processes = self._start_clients()
        with HostWatch(self.notes):
            self._await_steady()
            self._break()
            self._await_recovery()
            self._measure_on()
        self._phase("final_reads")
        self._stop_clients(processes)
        self._final_reads()
        self._note_rejoins()

    # --- before ---

    def _phase(self, name: str, at: int | None = None) -> None:
        self.notes.write("phase", now_ns() if at is None else at, phase=name)

    def _note_layout(self) -> None:
        told = as_run(self.scenario)["topology"]
        nodes = [_told(node.spec) | {"address": node.spec.address} for node in self.cluster.nodes.values()]
        self.notes.write(
            "laid_out", now_ns(),
            topology=told | {"zones": list(self.cluster.zones), "nodes": nodes},
            versions=_own_versions() | dict(self.cluster.versions()) | dict(self.topology.versions(self.cluster)),
        )  # fmt: skip

    def endpoints(self, zone: str) -> Mapping[str, Endpoint]:
        """What the zone's clients connect to: directly, or through their Toxiproxy."""
        if self.scenario.path_through == "toxiproxy":
            return through_toxiproxy([node.spec for node in self.cluster.nodes.values()], self.topology, zone)
        return self.topology.endpoints(zone)

    def _await_endpoints(self) -> None:
        def silent() -> list[str]:
            asked = [(zone, endpoint) for zone in self.cluster.zones for endpoint in self.endpoints(zone).values()]

            def ask(zone: str, endpoint: Endpoint) -> str | None:
                answer = self.cluster.client(zone).run(
                    *LOOK, "greet", endpoint.host, str(endpoint.port), endpoint.greeting.hex(), "1"
                )
                return None if answer.out.strip() == "answers" else f"{endpoint.name} in {zone}"

            with ThreadPoolExecutor(len(asked)) as pool:
                return [name for name in pool.map(lambda pair: ask(*pair), asked) if name]

        missing = [""]

        def all_answer() -> bool:
            missing[:] = silent()
            return not missing

        try:
            wait_until(all_answer, 30, "every endpoint to answer")
        except ClusterError as problem:
            raise ClusterError(f"{problem}: silent: {', '.join(missing)}") from None

    def _login(self, zone: str, endpoint: Endpoint | None = None, host: str = "") -> dict[str, Any]:
        client = self.topology.client_config(zone)
        return {
            "host": endpoint.host if endpoint else host,
            "port": endpoint.port if endpoint else client["direct_port"],
            "dbname": client["database"],
            **client["application"],
        }

    def _prepare(self) -> None:
        zone = self.cluster.zones[0]
        for number, workload in enumerate(self.scenario.workloads):
            config = {
                "workload": workload.use,
                "options": dataclasses.asdict(workload.options),
                "login": self._login(zone, self.topology.endpoints(zone)["writer"]),
            }
            self._in_client(zone, f"prepare-{number}", "harness.load", "prepare", config)

    def _in_client(self, zone: str, name: str, module: str, verb: str, config: Mapping[str, Any]) -> None:
        """Runs a module in a zone's client node to its end. Raises ClusterError with the last line it printed."""
        node = self.cluster.client(zone)
        path = f"/run/harness/{name}.json"
        node.put(path, json.dumps(config))
        ran = node.run("python3", "-m", module, verb, path)
        if ran.status:
            last = (ran.out.strip().splitlines() or ["it said nothing"])[-1]
            raise ClusterError(f"{name} in {node.spec.name} failed: {last}")

    def _start_clients(self) -> list[str]:
        """Starts probes and load in every zone; returns when all are ready, their schedules set to one instant."""
        self.progress("starting probes and load")
        processes = []
        for number, zone in enumerate(self.cluster.zones):
            self._spawn(zone, f"probe-{zone}", ("harness.probes",), self._probe_config(zone, number))
            processes.append(f"probe-{zone}")
            for config in self._load_configs(zone, number):
                self._spawn(zone, config["process"], ("harness.load", "run"), config)
                processes.append(config["process"])
        wait_until(lambda: self._alive() and set(processes) <= self.readings.noted("ready"), 60, "probes and load to be ready")
        first_at = now_ns() + SECOND_NS
        fresh = self.history / "start.new"
        fresh.write_text(str(first_at))
        fresh.rename(self.history / "start")
        return processes

    def _spawn(self, zone: str, process: str, module: tuple[str, ...], config: Mapping[str, Any]) -> None:
        node = self.cluster.client(zone)
        path = f"/run/harness/{process}.json"
        node.put(path, json.dumps(config))
        # Its exit status goes into the history, so that a process that died is noticed, and by whoever judges too.
        script = 'process=$1; shift; "$@"; echo $? > /run/harness/history/$process.exit'
        node.spawn("sh", "-c", script, "sh", process, "python3", "-m", *module, path, log=process)

    def _probe_config(self, zone: str, number: int) -> dict[str, Any]:
        zones = len(self.cluster.zones)
        client = self.topology.client_config(zone)
        endpoints = self.endpoints(zone)
        asked = [(name, endpoint.host, endpoint.port, PROBES[name]) for name, endpoint in endpoints.items()]
        own = next(node.spec for node in self.cluster.nodes.values() if node.spec.role == "database" and node.spec.zone == zone)
        asked.append((f"node:{own.name}", own.address, client["direct_port"], PROBES["node"]))
        targets = [
            {
                "endpoint": name, "host": host, "port": port, "lane": lane, **timing,
                "kind": "read" if name == "reader" else "probe_write",
                # Fresh connections come one after the other. Kept writes of all zones come at once: the server then
                # commits and replicates them in one go, at half the cost.
                "delay_ms": timing["cadence_ms"] * number / zones if lane == "fresh" else 0,
            }
            for name, host, port, lanes in asked
            for lane, timing in lanes.items()
        ]  # fmt: skip
        return {
            "zone": zone, "number": number, "folder": "/run/harness/history", "client": client, "targets": targets,
            "observe": {
                "node": own.name, "host": own.address, "port": client["direct_port"], "manager_port": client.get("manager_port"),
            },
        }  # fmt: skip

    def _load_configs(self, zone: str, number: int) -> Iterator[dict[str, Any]]:
        for order, workload in enumerate(self.scenario.workloads):
            options = workload.options
            zones = list(self.cluster.zones) if options.zones == "all" else list(options.zones)
            if zone not in zones:
                continue
            users = options.users // len(zones) + (zones.index(zone) < options.users % len(zones))
            yield {
                "process": f"load-{zone}" if not order else f"load{order + 1}-{zone}",
                "workload": workload.use, "options": dataclasses.asdict(options), "zone": zone,
                "number": order * len(self.cluster.zones) + number, "place": zones.index(zone), "processes": len(zones),
                "users": users, "rate_per_s": options.rate_per_s * users / options.users,
                "seed": self.rng.randrange(2**31), "folder": "/run/harness/history",
                "login": self._login(zone, self.endpoints(zone)["writer"]),
            }  # fmt: skip

    def _await_steady(self) -> None:
        """Waits for a window in which the steady state's bounds held in every zone."""
        steady = self.scenario.steady_state
        self._phase("warming_up")
        self.progress(f"measuring the steady state for {steady.for_s:g} s")
        since = int((self.history / "start").read_text()) + int(WARM_UP_S * SECOND_NS)
        last = ""
        end = since + int(STEADY_WITHIN_S * SECOND_NS)
        while since < end:
            until = since + int(steady.for_s * SECOND_NS)
            self._pass_time(until + SECOND_NS)
            last = self._below(since, until)
            if not last:
                self._phase("steady", since)
                return
            self.progress(f"not steady yet: {last}")
            since = until
        raise ClusterError(f"no steady state within {STEADY_WITHIN_S:g} s: {last}")

    def _below(self, since: int, until: int) -> str:
        """Which bound did not hold between two instants, in words; empty when all held."""
        steady = self.scenario.steady_state
        for zone in self.cluster.zones:
            for endpoint, reads, bound in (("writer", False, steady.write_success), ("reader", True, steady.read_success)):
                ok, asked = self.readings.success(f"probe-{zone}", "kept", endpoint, since, until, reads)
                if not asked or ok / asked < bound:
                    return f"{ok} of {asked} probes of the {endpoint} in {zone} were ok"
        return ""

    def _alive(self) -> bool:
        """True; raises ClusterError when a process of probes or load has ended by itself."""
        for path in self.history.glob("*.exit"):
            status = path.read_text().strip()
            raise ClusterError(f"{path.stem} ended while it was needed (status {status}); see nodes/*/{path.stem}.log")
        return True

    def _pass_time(self, until: int) -> None:
        wait_until(lambda: self._alive() and now_ns() >= until, (until - now_ns()) / SECOND_NS + 10, "time to pass")

    # --- during ---

    def _break(self) -> None:
        """Lets the nemesis act; heals at once when the run's time is over or the user interrupts."""
        self._phase("faults")
        self.nemesis = Nemesis(
            self.cluster, self.topology, self.scenario.faults, self.readings, self.notes, self.rng,
            self.scenario.recovery.stable_for_s, self.progress,
        )  # fmt: skip
        self.broken_at = now_ns()
        self.nemesis.start(self.broken_at)
        try:
            wait_until(self._over, self.scenario.max_runtime_s + 60, "the faults to end")
        finally:
            self.nemesis.stop()

    def _over(self) -> bool:
        if now_ns() > self.deadline:
            self.notes.write("aborted", now_ns(), reason=f"max_runtime of {self.scenario.max_runtime_s:g} s is over")
            return True
        return self._alive() and not self.nemesis.under_way()

    def _await_recovery(self) -> None:
        """Waits until clients in every zone are served and every member is healthy; says so either way."""
        self._phase("recovering")
        self.progress("waiting for stable recovery")
        recovery = self.scenario.recovery
        limit = now_ns() + int(recovery.at_most_s * SECOND_NS)
        served = False
        while now_ns() < limit:
            served = all(self.readings.stable(self.cluster.zones, recovery.stable_for_s, name) for name in ("writer", "reader"))
            missing = self.topology.healthy(self.cluster)
            self.notes.write("cluster", now_ns(), healthy=missing is None, missing=missing)
            if served and missing is None:
                self.progress("recovered")
                return
            self._pass_time(now_ns() + int(HEALTH_EVERY_S * SECOND_NS))
        self.progress(f"not recovered within {recovery.at_most_s:g} s: {missing if served else 'clients are not served'}")

    def _measure_on(self) -> None:
        """Goes on measuring for as long as the outage was: the reconnects and the cold caches belong to it."""
        outage = self.readings.longest_gap_s(self.cluster.zones, self.broken_at)
        more = min(AFTER_AT_MOST_S, max(AFTER_AT_LEAST_S, outage))
        self.progress(f"measuring for {more:.0f} s more")
        self._pass_time(now_ns() + int(more * SECOND_NS))

    # --- after ---

    def _stop_clients(self, processes: Sequence[str]) -> None:
        (self.history / "stop").touch()
        wait_until(lambda: set(processes) <= self.readings.noted("stopped"), 20, "probes and load to stop")

    def _final_reads(self) -> None:
        """Reads everything on every database node, each from its own zone."""
        self.progress("final reads on every node")
        roles = self.topology.roles(self.cluster)
        primaries = [name for name, role in roles.items() if role == "primary"]
        if len(primaries) == 1:
            self.notes.write("authority", now_ns(), node=primaries[0])
        nodes = [node.spec for node in self.cluster.nodes.values() if node.spec.role == "database"]
        workloads = [{"workload": w.use, "options": dataclasses.asdict(w.options)} for w in self.scenario.workloads]

        def read(spec: NodeSpec) -> None:
            config = {
                "node": spec.name, "folder": "/run/harness/history", "workloads": workloads,
                "login": self._login(spec.zone, host=spec.address),
            }  # fmt: skip
            self._in_client(spec.zone, f"final-{spec.name}", "harness.load", "final_reads", config)

        with ThreadPoolExecutor(len(nodes)) as pool:
            list(pool.map(read, nodes))

    def _note_rejoins(self) -> None:
        for name, node in self.cluster.nodes.items():
            if node.spec.role == "database" and (way := self.topology.rejoin_way(node.logs())):
                self.notes.write("rejoin", now_ns(), node=name, way=way)
