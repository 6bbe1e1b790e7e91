"""Which processes ask the cluster, how do they begin and end together, and is each of them still there?

In every zone's client node a probe process and a load process for each workload. They write into the history's folder,
which is mounted there; what they are told comes as files in it: `start` holds the instant at which all schedules
begin (each load that is added later has such a file of its own), `stop` ends them all, and `<process>.exit` is left by
a process that has ended.
"""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.clock import SECOND_NS, now_ns, wait_until
from harness.endpoints import role_of, shard_of, with_role
from harness.errors import ClusterError
from harness.layout import LOCUST_UI, keeps, part_of, through_toxiproxy
from harness.protocols import Announces, Cluster, Composed, Endpoint, LogsInTogether, Node, NodeSpec, Topology
from harness.readings import Readings
from harness.recording import OBSERVE
from harness.scenario import Use
from harness.witnesses import LOOK

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
    # What stands in front of a database: a cache that is gone is slow, not down.
    "cache": {
        "kept": {"cadence_ms": 50, "deadline_ms": 500, "unanswered_max": 4},
        "fresh": {"cadence_ms": 3000, "deadline_ms": 1000, "unanswered_max": 3},
    },
    "cache-reader": {
        "kept": {"cadence_ms": 250, "deadline_ms": 500, "unanswered_max": 3},
        "fresh": {"cadence_ms": 6000, "deadline_ms": 1000, "unanswered_max": 3},
    },
    "node": {"kept": {"cadence_ms": 250, "deadline_ms": 500, "unanswered_max": 3}},
}
READY_WITHIN_S = 60.0
PROBES_MODULE, LOAD_MODULE = "harness.probes", "harness.load"
UNANSWERED_LEAST = 3  # also where many writers share what may be unanswered
HISTORY = "/run/harness/history"  # where client nodes have the cluster's folder of histories


def probes_of(topology: Topology) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
    """How a topology is probed. Where each shard has an endpoint, all of them together are asked as often as one would be."""

    def shared(timing: Mapping[str, float], among: int) -> dict[str, float]:
        unanswered = max(UNANSWERED_LEAST, -(-timing["unanswered_max"] // among))
        return {**timing, "cadence_ms": timing["cadence_ms"] * among, "unanswered_max": unanswered}

    # A store that answers slowly is asked less often: it shall not be busy with probes alone.
    slower = float(getattr(topology, "probed_slower", 1))
    found = {
        role: {lane: {**timing, "cadence_ms": timing["cadence_ms"] * slower} for lane, timing in lanes.items()}
        if role in ("writer", "reader", "node")
        else lanes
        for role, lanes in PROBES.items()
    }
    for role in ("writer", "cache"):
        if (among := len(with_role(topology.endpoint_names, role))) > 1:
            found[role] = {lane: shared(timing, among) for lane, timing in found[role].items()}
    return found


@dataclass
class Clients:
    """The processes that ask one cluster during one measurement.

    `session` is the measurement's folder below the cluster's histories, empty where the cluster lives for one
    measurement only; `through` is `direct`, or `toxiproxy` for a path through each zone's.
    """

    topology: Topology
    cluster: Cluster
    workloads: Sequence[Use]
    through: str
    rng: random.Random
    session: str = ""
    web_uis: dict[str, str] = field(default_factory=dict)  # process of load → URL of Locust's web UI, for the host
    _processes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.history: Path = self.cluster.folder / "history" / self.session
        self.readings = Readings(self.history)
        self._inside = f"{HISTORY}/{self.session}".rstrip("/")

    def endpoints(self, zone: str) -> Mapping[str, Endpoint]:
        """What the zone's clients connect to: directly, or through their Toxiproxy."""
        if self.through == "toxiproxy":
            return through_toxiproxy([node.spec for node in self.cluster.nodes.values()], self.topology, zone)
        return self.topology.endpoints(zone)

    def await_endpoints(self) -> None:
        """Returns when every endpoint answers to its zone's client node. Raises ClusterError, naming those that do not."""

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

    def _login(self, endpoint: Endpoint) -> dict[str, Any]:
        return dict(part_of(self.topology, endpoint.name).login(endpoint.host, endpoint.port))

    def _client_config(self, zone: str, name: str = "writer") -> dict[str, Any]:
        """What the probes of a zone need for an endpoint, or a node."""
        config = dict(part_of(self.topology, name).client_config(zone))
        return config | {"probe": config["probe"] | self._led(zone)}

    def _led(self, zone: str) -> dict[str, str]:
        """For clients that learn from servers where to connect to: their Toxiproxy, and what says that they shall begin anew."""
        if not isinstance(self.topology, Announces):
            return {}
        through = self.cluster.nodes[f"toxiproxy-{zone}"].spec.address if self.through == "toxiproxy" else ""
        return {"through": through, "members": f"{HISTORY}/members-{zone}.json"}

    def _together(self, zone: str, endpoints: Mapping[str, Endpoint]) -> dict[str, Any]:
        """What sessions log in with, which may need more than one endpoint, and be told of nodes that come and go."""
        if isinstance(self.topology, LogsInTogether):
            members = f"{HISTORY}/members-{zone}.json"
            return {**self.topology.login_together(endpoints), "members": members, **self._led(zone)}
        return self._login(endpoints["writer"])

    def _direct(self, spec: NodeSpec) -> dict[str, Any]:
        part = part_of(self.topology, spec.name)
        return dict(part.login(spec.address, part.client_config(spec.zone)["direct_port"]))

    def prepare(self) -> None:
        """Makes what the workloads need; on a cluster that lives on, removes what earlier measurements wrote first."""
        zone = self.cluster.zones[0]
        endpoints = self.topology.endpoints(zone)
        for writer in with_role(endpoints, "writer") if self.session else ():
            address = {"host": endpoints[writer].host, "port": endpoints[writer].port}
            told = {"client": part_of(self.topology, writer).client_config(zone), **address}
            self._in_client(zone, "clear", "harness.probes", "clear", told)
        for number, workload in enumerate(self.workloads):
            self._prepare(number, workload)

    def _prepare(self, number: int, workload: Use) -> None:
        zone = self.cluster.zones[0]
        config = {
            "workload": workload.use,
            "options": dataclasses.asdict(workload.options),
            "login": self._together(zone, self.topology.endpoints(zone)),
            "anew": not number,
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

    def start(self) -> int:
        """Starts probes and load in every zone; returns the instant, in ns, at which all their schedules begin."""
        for number, zone in enumerate(self.cluster.zones):
            self._spawn(zone, f"probe-{zone}", (PROBES_MODULE, "run"), self._probe_config(zone, number))
            self._processes.append(f"probe-{zone}")
        self._spawn_load(self.workloads, "start")
        return self._begin("start")

    def add(self, workload: Use) -> int:
        """Starts the load of one workload more beside what runs already; returns the instant at which its schedule begins."""
        number = len(self.workloads)
        self.workloads = (*self.workloads, workload)
        self._prepare(number, workload)
        self._spawn_load([workload], f"start-{number}")
        return self._begin(f"start-{number}")

    def _spawn_load(self, workloads: Sequence[Use], start: str) -> None:
        for number, zone in enumerate(self.cluster.zones):
            for config in self._load_configs(zone, number, workloads):
                self._spawn(zone, config["process"], (LOAD_MODULE, "run"), {**config, "start": f"{self._inside}/{start}"})
                self._processes.append(config["process"])
                if config["ui_port"]:
                    host, port = self.cluster.published(self.cluster.client(zone).spec.name, config["ui_port"])
                    self.web_uis[config["process"]] = f"http://{host}:{port}/"

    def _begin(self, start: str) -> int:
        """Once all are ready, tells those that look for the file `start` the instant at which their schedules begin."""
        processes = set(self._processes)
        wait_until(
            lambda: self.alive() and processes <= self.readings.noted("ready"), READY_WITHIN_S, "probes and load to be ready"
        )
        for zone in self.cluster.zones:
            self.cluster.client(zone).put_first(PROBES_MODULE)
        first_at = now_ns() + SECOND_NS
        fresh = self.history / f"{start}.new"
        fresh.write_text(str(first_at))
        fresh.rename(self.history / start)
        return first_at

    def _spawn(self, zone: str, process: str, module: tuple[str, ...], config: Mapping[str, Any]) -> None:
        spawn(self.cluster.client(zone), self._inside, process, module, config)

    def _probe_config(self, zone: str, number: int) -> dict[str, Any]:
        zones = len(self.cluster.zones)
        probes = probes_of(self.topology)
        asked = [
            (name, one.host, one.port, {"leads": role_of(name), "shard": shard_of(name)}, probes[role_of(name)], name)
            for name, one in self.endpoints(zone).items()
        ]
        own = [node for node in self._databases() if node.zone == zone]
        asked += [
            (
                f"node:{node.name}", node.address, self._client_config(zone, node.name)["direct_port"], {"shard": node.shard},
                probes["node"], node.name,
            )
            for node in own
        ]  # fmt: skip
        targets = [
            {
                "endpoint": name, "host": host, "port": port, **led, "lane": lane, **timing,
                "kind": self._kind(name), "client": self._client_config(zone, of),
                # Fresh connections come one after the other. Kept writes of all zones come at once: the server then
                # commits and replicates them in one go, at half the cost.
                "delay_ms": timing["cadence_ms"] * number / zones if lane == "fresh" else 0,
            }
            for name, host, port, led, lanes, of in asked
            for lane, timing in lanes.items()
        ]  # fmt: skip
        return {
            "zone": zone, "number": number, "folder": self._inside, "client": self._client_config(zone), "targets": targets,
            "observe": [self._observed(node) for node in own],
        }  # fmt: skip

    def _kind(self, endpoint: str) -> str:
        """How operations of probes there are called: what a cache was told need not be there in the end."""
        if role_of(endpoint) in ("reader", "cache-reader"):
            return "read"
        cache = role_of(endpoint) == "cache" or (role_of(endpoint) == "node" and not keeps(self.topology, shard_of(endpoint)))
        return "probe_cache" if cache else "probe_write"

    def _observed(self, spec: NodeSpec) -> dict[str, Any]:
        client = self._client_config(spec.zone, spec.name)
        return {
            "node": spec.name, "zone": spec.zone, "shard": spec.shard, "host": spec.address, "port": client["direct_port"],
            "client": client, "manager": client.get("manager"),
        }  # fmt: skip

    def observe(self, came: Sequence[NodeSpec], gone: Sequence[str]) -> None:
        """Tells the probe processes of databases that came, which are asked for their roles from now on, and of those gone."""
        lines = [{"node": name, "gone": True} for name in gone] + [self._observed(spec) for spec in came]
        with open(self.history / OBSERVE, "a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))

    def _load_configs(self, zone: str, number: int, workloads: Sequence[Use]) -> Iterator[dict[str, Any]]:
        """One for each of the workloads that asks from this zone; they are the latest of all."""
        for order, workload in enumerate(workloads, len(self.workloads) - len(workloads)):
            options = workload.options
            zones = list(self.cluster.zones) if options.zones == "all" else list(options.zones)
            if zone not in zones:
                continue
            users = options.users // len(zones) + (zones.index(zone) < options.users % len(zones))
            name = f"load{order + 1 if order else ''}"
            endpoints = self.endpoints(zone)
            yield {
                "process": f"{name}-{zone}",
                "workload": workload.use, "options": dataclasses.asdict(options), "zone": zone,
                "number": order * len(self.cluster.zones) + number, "place": zones.index(zone), "processes": len(zones),
                # Its part of the users, and of everything that all of them do in a second.
                "users": users, **{rate: value * users / options.users for rate, value in _rates(options)},
                "seed": self.rng.randrange(2**31), "folder": self._inside,
                "ui_port": self._ui_port(zone, order), "ready_within_s": READY_WITHIN_S - 15,
                "files": self._put_along(name, workload.files),
                "endpoints": {
                    name: {
                        "host": endpoint.host, "port": endpoint.port,
                        "dsn": part_of(self.topology, name).dsn(endpoint.host, endpoint.port),
                    }
                    for name, endpoint in endpoints.items()
                },
                "login": self._together(zone, endpoints),
                "reading": self._login(endpoints["reader"]) if "reader" in endpoints else self._together(zone, endpoints),
                "direct": {node.name: self._direct(node) for node in self._databases()},
            }  # fmt: skip

    def _ui_port(self, zone: str, order: int) -> int:
        """The port of Locust's web UI for the zone's process of a workload; 0 where programs on the host could not reach it."""
        port = LOCUST_UI + order
        return port if port in self.cluster.client(zone).spec.published else 0

    def _databases(self) -> list[NodeSpec]:
        return [node.spec for node in self.cluster.nodes.values() if node.spec.role == "database"]

    def _put_along(self, name: str, files: Mapping[str, Path]) -> str:
        """Copies a workload's files to where client nodes see them, and reports keep them; returns the folder there."""
        for inside, file in files.items():
            target = self.history / f"{name}.files" / inside
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
            except OSError as problem:
                raise ClusterError(f"{file} could not be put into the client nodes: {problem.strerror}") from None
        return f"{self._inside}/{name}.files" if files else ""

    def alive(self) -> bool:
        """True; raises ClusterError when a process of probes or load has ended by itself."""
        for path in self.history.glob("*.exit"):
            raise self._ended(path)
        return True

    def _ended(self, path: Path) -> ClusterError:
        """What to say of a process that has left its exit status there, and was needed."""
        status, why = path.read_text().strip(), self.readings.failed(path.stem)
        if why:
            return ClusterError(f"{path.stem}: {why}")
        ended = f"status {status}" if status else f"its status could not be written; is the disk of {self.history} full?"
        return ClusterError(f"{path.stem} ended while it was needed ({ended}); see nodes/*/{path.stem}.log")

    def stop(self) -> None:
        """Ends probes and load; returns when all have written what they know."""
        (self.history / "stop").touch()
        silent = set(self._processes)

        def stopped() -> bool:
            gone = list(self.history.glob("*.exit"))  # looked for first: who is well says so before it ends
            silent.difference_update(self.readings.noted("stopped"))
            for path in gone:
                if path.stem in silent:
                    raise self._ended(path)
            return not silent

        wait_until(stopped, 20, "probes and load to stop", told=lambda: f"silent: {', '.join(sorted(silent))}")

    def final_reads(self) -> None:
        """Reads everything on every database node, each from its own zone, into the history."""
        nodes = [node for node in self._databases() if keeps(self.topology, node.name)]
        workloads = [{"workload": w.use, "options": dataclasses.asdict(w.options)} for w in self.workloads]

        def read(spec: NodeSpec) -> None:
            login = self._direct(spec)
            if isinstance(self.topology, Composed):
                login = dict(self.topology.login_to_keep(spec.name, login))
            config = {"node": spec.name, "folder": self._inside, "workloads": workloads, "login": login}
            self._in_client(spec.zone, f"final-{spec.name}", "harness.load", "final_reads", config)

        with ThreadPoolExecutor(len(nodes)) as pool:
            list(pool.map(read, nodes))


def spawn(node: Node, inside: str, process: str, module: tuple[str, ...], config: Mapping[str, Any]) -> None:
    """Starts `python3 -m <module> <file with config>` in a client node; its exit status goes into the folder `inside`.

    So a process that died is noticed, and by whoever judges, too.
    """
    path = f"/run/harness/{process}.json"
    node.put(path, json.dumps(config))
    script = 'ended=$1; shift; "$@"; echo $? > "$ended"'
    command = ("sh", "-c", script, "sh", f"{inside}/{process}.exit", "python3", "-m", *module, path)
    node.spawn(*command, log=process, behind=module[0] == LOAD_MODULE)


def _rates(options: Any) -> Iterator[tuple[str, float]]:
    """A workload's options that say how much all its users do in a second."""
    return ((name, value) for name, value in vars(options).items() if name.endswith("_per_s"))
