"""How do nodes live as containers?

Testcontainers starts them, docker-py below it does what Testcontainers has no call for: static addresses,
pausing, live limits. A container lives for the whole run; its server is a process in it, so that a crash of
the server keeps the node's address, network and rules.
"""

from __future__ import annotations

import ipaddress
import os
import platform
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import docker
import docker.errors
from docker.models.containers import Container
from docker.types import EndpointConfig, IPAMConfig, IPAMPool
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network as TestNetwork

from harness import interrupts
from harness.clock import wait_until
from harness.errors import ClusterError, HarnessError, RuntimeUnavailable, UsageError
from harness.layout import Plan, client_nodes
from harness.links.packets import Packets
from harness.links.shaping import Carrier
from harness.protocols import Cluster, Command, Group, Limits, Node, NodeSpec, Paths, Progress, Ran, Topology
from harness.runtimes.accidents import Accidents
from harness.runtimes.engine import asked, execute
from harness.runtimes.engine import engine as engine  # noqa: PLC0414 (others find it here, too)
from harness.runtimes.images import Images
from harness.runtimes.laid_out import LaidOut, ended_within
from harness.supervisor import Supervised, identity

RUN_LABEL = "failover-harness.run"
OWNER_LABEL = "failover-harness.owner"  # machine/process of the supervisor, so that `clean` spares what is in use
HISTORY = "/run/harness/history"
PATHS = Paths(data="/var/lib/harness/data", config="/etc/harness", log="/var/log/harness")
PID_FILE = "/run/harness/server.pid"
# No LAN uses 198.18.0.0/15 (RFC 2544 keeps it for measuring), so a cluster never hides a user's own network. Where a VPN
# does, the environment may name another range.
RANGE, RANGE_UNLESS_TOLD, PREFIX = "HARNESS_NETWORK", "198.18.0.0/15", 20
ROUTES = Path("/proc/net/route")
# A node's PID 1: it reaps whatever is left to it and starts its own child again when all processes are killed.
INIT = ("/bin/sh", "-c", "while :; do sleep 3600 & wait; done")
CLIENT_CPU_SHARES = 32 * 1024  # of what probes and witnesses live in; a container has 1024 unless told
# Connections whose processes were killed are forgotten within a second, not told of for minutes: a host that was lost
# knows none of them when it is back.
FORGETFUL = {"net.ipv4.tcp_orphan_retries": "1"}
ASKING = {"net.ipv4.ping_group_range": "0 2147483647"}  # witnesses ask for echoes, as nobody in particular
PACKETS = "packets"  # the node that makes packet rules; it is on the host's network and has no address
CARRIER = "/run/harness-carrier"
QUIET_ROUNDS, ROUND_S = 4, 0.5  # how often, so long apart, nothing of a run must be found before it counts as removed
AT_ONCE = 8  # containers started, or brought back to how they were, at the same time

# The supervisor takes Ryuk's part: it also removes packet rules, and needs no image of its own.
testcontainers_config.ryuk_disabled = True


@dataclass(frozen=True)
class DockerNode:
    """A node that is a container."""

    spec: NodeSpec
    container: Container
    engine: docker.DockerClient

    def start(self) -> None:
        if self.spec.build is None:
            return
        command = self.spec.build(PATHS)
        script = ["umask 077", f"mkdir -p {PATHS.data}"]  # a node has one on every runtime, its server's user owns it
        environment = dict(command.environment)
        for number, (path, text) in enumerate(command.files.items()):
            environment[f"HARNESS_FILE_{number}"] = text
            script.append(f'printf %s "$HARNESS_FILE_{number}" > {shlex.quote(path)}; unset HARNESS_FILE_{number}')
        script.append(f"umask 022; setsid {shlex.join(command.argv)} >> {PATHS.log}/server.log 2>&1 & echo $! > {PID_FILE}")
        ran = self._exec(["sh", "-c", "\n".join(script)], environment)
        if ran.status:
            raise ClusterError(f"{self.spec.name}: its server could not be started: {ran.out.strip()}")

    def stop(self, grace_s: float) -> bool:
        self.run("sh", "-c", f"kill -TERM $(cat {PID_FILE})")
        return ended_within(self, grace_s)

    def kill(self) -> None:
        # -1 is every process of the node but PID 1 and this shell: no time in which some are left.
        self.run("sh", "-c", "kill -KILL -1")

    def pause(self) -> None:
        with asked(f"{self.spec.name} could not be paused"):
            self.container.pause()

    def resume(self) -> None:
        with asked(f"{self.spec.name} could not be thawed"):
            self.container.unpause()

    def running(self) -> bool:
        return self.run("sh", "-c", f"kill -0 $(cat {PID_FILE})").status == 0

    def run(self, *argv: str, environment: Mapping[str, str] | None = None) -> Ran:
        return self._exec(list(argv), dict(environment or {}))

    def spawn(self, *argv: str, log: str, behind: bool = False) -> None:  # noqa: ARG002 (only a client node has two places)
        script = f"exec {shlex.join(argv)} >> {PATHS.log}/{shlex.quote(log)}.log 2>&1"
        with asked(f"{self.spec.name}: {argv[0]} could not be started"):
            self.container.exec_run(["sh", "-c", script], detach=True)

    def put_first(self, program: str) -> None:
        """Nothing: an engine gives containers no real time unless its daemon is told to, and their shares do much of it."""

    def put(self, path: str, text: str) -> None:
        script = 'umask 077; printf %s "$HARNESS_FILE" > "$0"'
        ran = self._exec(["sh", "-c", script, path], {"HARNESS_FILE": text})
        if ran.status:
            raise ClusterError(f"{self.spec.name}: {path} could not be written: {ran.out.strip()}")

    def logs(self, of: str = "server") -> str:
        return self.run("cat", f"{PATHS.log}/{of}.log").out

    def limit(self, limits: Limits) -> None:
        with asked(f"{self.spec.name} could not be limited"):
            self.container.update(**_limits(limits))

    def restore(self) -> None:
        """Brings the node back to how it was laid out: thawed, its server running; a client node without any process."""
        with asked(f"{self.spec.name} could not be examined"):
            self.container.reload()
        if self.container.status == "paused":
            self.resume()
        if self.spec.role == "client":
            self.kill()
        elif self.spec.role != "proxy" and not self.running():
            self.start()

    def _exec(self, argv: list[str], environment: dict[str, str]) -> Ran:
        with asked(f"{self.spec.name}: {argv[0]} could not be run"):
            status, out = execute(self.container, argv, environment=environment)
        return Ran(status, out.decode("utf-8", "replace"))


@dataclass(frozen=True)
class DockerClientNode(DockerNode):
    """A client node: two containers on one network, since niceness counts only within a container.

    What is spawned `behind` lives in the second one (`load`), which has a server's share of the cores; the first has a far
    greater one, so that probes come before servers, and servers are not starved by the load.
    """

    load: DockerNode

    def spawn(self, *argv: str, log: str, behind: bool = False) -> None:
        if behind:
            self.load.spawn(*argv, log=log)
        else:
            super().spawn(*argv, log=log)

    def put(self, path: str, text: str) -> None:
        super().put(path, text)
        self.load.put(path, text)

    def kill(self) -> None:
        super().kill()
        self.load.kill()

    def pause(self) -> None:
        super().pause()
        self.load.pause()

    def resume(self) -> None:
        super().resume()
        self.load.resume()


def _limits(limits: Limits) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    if limits.cpus is not None:
        plain |= {"cpu_period": 100_000, "cpu_quota": int(limits.cpus * 100_000)}
    if limits.memory_mb is not None:
        plain |= {"mem_limit": f"{limits.memory_mb}m", "memswap_limit": f"{limits.memory_mb}m"}
    return plain


@dataclass
class DockerCluster(LaidOut):
    """A topology whose nodes are containers on one bridge network."""

    _packets: Packets | None = None
    _maker: Callable[[NodeSpec], Node] | None = None

    def _make(self, spec: NodeSpec) -> Node:
        assert self._maker is not None, "whoever lays a cluster out, or attaches to it, knows how its nodes are made"
        return self._maker(spec)

    def _unmake(self, node: Node) -> None:
        assert isinstance(node, DockerNode), "every node of this cluster is a container"
        with asked(f"{node.spec.name} could not be removed"):
            node.container.remove(force=True, v=True)

    @property
    def network(self) -> Packets:
        assert self._packets is not None, "the packet helper starts with the nodes"
        return self._packets

    def watched(self) -> Accidents:
        return Accidents(engine(), f"{RUN_LABEL}={self.run_id}", _named(self.run_id, ""))

    def published(self, node: str, port: int) -> tuple[str, int]:
        return "127.0.0.1", published_port(self._container(node), port)

    def restore(self) -> None:
        self.network.heal()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda node: node.restore(), [n for n in self.nodes.values() if isinstance(n, DockerNode)]))
        self.reset()

    def _container(self, name: str) -> Container:
        node = self.nodes[name]
        assert isinstance(node, DockerNode), "every node of this cluster is a container"
        return node.container


def published_port(container: Container, port: int) -> int:
    """The loopback port at which a container's port can be reached."""
    with asked(f"{container.name} could not be examined"):
        container.reload()
    bindings = container.ports.get(f"{port}/tcp")
    if not bindings:
        raise ClusterError(f"{container.name}: port {port} is not published")
    return int(bindings[0]["HostPort"])


@dataclass(frozen=True)
class Docker:
    """Nodes as containers of the engine that `DOCKER_HOST` or the default socket names.

    `images` are the user's own, by server family; `client_ports` those of client nodes that programs on the host may reach.
    Images of the families `later` are there from the start.
    """

    name: ClassVar[str] = "docker"

    images: Mapping[str, str] = field(default_factory=dict)
    progress: Callable[[str], None] = print
    client_ports: Sequence[int] = ()
    later: Sequence[str] = ()

    def __post_init__(self) -> None:
        _range()  # what the environment says is looked at before anything is begun

    @cached_property
    def _engine(self) -> docker.DockerClient:
        return engine()

    @contextmanager
    def launch(self, topology: Topology, folder: Path) -> Iterator[Cluster]:
        """Lays the topology out as containers, starts no server; leaving the context removes everything."""
        run_id = secrets.token_hex(4)
        images = Images(self._engine, self.images, self.progress)
        with ExitStack() as stack:
            log = stack.enter_context(open(folder / "supervisor.log", "ab"))
            supervised = stack.enter_context(Supervised("own", "docker", run_id, log=log))
            stack.callback(self._end, run_id, supervised)
            owner = _owner(supervised.pid)
            network, subnet = _network(run_id, owner)
            cluster = DockerCluster(run_id, folder, Plan(subnet, topology.zones), topology, owner)

            def keep(state: Path, for_s: float | None) -> None:
                supervised.keep(state, for_s)
                stack.pop_all()

            cluster._keep = keep
            specs = [*topology.nodes(cluster.plan.addresses()), *client_nodes(cluster.plan, topology, self.client_ports)]
            with asked("the images cannot be had", RuntimeUnavailable):
                references = {
                    family: images.of(family) for family in sorted({spec.server for spec in specs} | {"packets", *self.later})
                }
            cluster._versions.update({f"image {family}": reference for family, reference in references.items()})
            cluster._maker = lambda spec: self._start(spec, images.of(spec.server), cluster, network)
            self.progress(f"starting {len(specs)} nodes in {len(cluster.zones)} zones")
            with ThreadPoolExecutor(AT_ONCE) as pool:
                rules = pool.submit(_packet_rules, run_id, owner, references["packets"], str(subnet))
                started = pool.map(lambda spec: self._start(spec, references[spec.server], cluster, network), specs)
                cluster.nodes.update({node.spec.name: node for node in started})
                cluster._packets = rules.result()
            cluster.open_links()
            yield cluster

    def _end(self, run_id: str, supervised: Supervised) -> None:
        try:
            with interrupts.shielded():
                remove(run_id)
        except HarnessError as problem:  # the supervisor, which is not told that it is done, goes on trying
            self.progress(f"{problem}; see supervisor.log for when it is done, or `harness clean` later")
        else:
            supervised.done()

    def remove(self, run_id: str) -> None:
        remove(run_id)

    @asked("the cluster could not be attached to")
    def attach(self, run_id: str, topology: Topology, folder: Path) -> Cluster:
        """A cluster that another process launched and that lives on. Raises ClusterError when it is not whole."""
        mine: dict[str, str | list[str] | bool] = {"label": f"{RUN_LABEL}={run_id}"}
        containers = {str(one.name): one for one in self._engine.containers.list(filters=mine, ignore_removed=True)}
        networks = self._engine.networks.list(filters=mine)
        if not networks:
            raise ClusterError(f"run {run_id} has no network any more; `harness down` removes what is left of it")
        subnet = ipaddress.IPv4Network(networks[0].attrs["IPAM"]["Config"][0]["Subnet"])
        cluster = DockerCluster(run_id, folder, Plan(subnet, topology.zones), topology, networks[0].attrs["Labels"][OWNER_LABEL])
        first = [*topology.nodes(cluster.plan.addresses()), *client_nodes(cluster.plan, topology)]
        specs = cluster.attached(first, {name.removeprefix(_named(run_id, "")) for name in containers})
        names = [name for spec in specs for name in _containers(spec)]
        missing = [name for name in (*names, PACKETS) if _named(run_id, name) not in containers]
        if missing:
            raise ClusterError(f"run {run_id} has lost nodes: {', '.join(missing)}; `harness down` removes what is left of it")
        for spec in specs:
            cluster.nodes[spec.name] = _node(spec, containers, run_id, self._engine)
            cluster._versions[f"image {spec.server}"] = containers[_named(run_id, spec.name)].attrs["Config"]["Image"]
        cluster._packets = _packets(containers[_named(run_id, PACKETS)], run_id)
        images, network = Images(self._engine, self.images, self.progress), str(networks[0].name)
        cluster._maker = lambda spec: self._start(spec, images.of(spec.server), cluster, network)
        cluster.open_links(make=False)
        return cluster

    def _start(self, spec: NodeSpec, image: str, cluster: DockerCluster, network: str) -> Node:
        run_id = cluster.run_id
        container = _described(spec, _named(run_id, spec.name), image, cluster.folder).with_exposed_ports(*spec.published)
        extra: dict[str, Any] = _limits(spec.limits)
        if spec.server == "client":
            extra |= {"user": _own_user(), "cpu_shares": CLIENT_CPU_SHARES}
        if spec.server == "toxiproxy":
            container.with_command(_toxiproxy_command(image, spec))
        else:
            extra["entrypoint"] = list(INIT)
        if spec.in_memory:
            container.with_tmpfs_mount(PATHS.data)
        container.with_kwargs(
            network=network,
            networking_config={network: EndpointConfig("1.41", ipv4_address=spec.address)},
            hostname=spec.name,
            sysctls=FORGETFUL | ASKING,
            labels=_labels(run_id, cluster.owner),
            **extra,
        )
        started = _started(container, spec.name)
        if spec.role != "client":
            return DockerNode(spec, started, self._engine)
        *_, name = _containers(spec)
        load = _described(spec, _named(run_id, name), image, cluster.folder).with_kwargs(
            network_mode=f"container:{started.id}", labels=_labels(run_id, cluster.owner), entrypoint=list(INIT), user=_own_user()
        )
        return DockerClientNode(spec, started, self._engine, DockerNode(spec, _started(load, name), self._engine))


def _containers(spec: NodeSpec) -> tuple[str, ...]:
    """What a node's containers are called, without the run's part of their names."""
    return (spec.name, f"{spec.name}-load") if spec.role == "client" else (spec.name,)


def _node(spec: NodeSpec, containers: Mapping[str, Container], run_id: str, client: docker.DockerClient) -> DockerNode:
    """A node whose containers are there."""
    first, *more = (containers[_named(run_id, name)] for name in _containers(spec))
    if more:
        return DockerClientNode(spec, first, client, DockerNode(spec, more[0], client))
    return DockerNode(spec, first, client)


def _own_user() -> str:
    """What clients write into the run's folder belongs to who runs the harness."""
    return f"{os.getuid()}:{os.getgid()}"


def _described(spec: NodeSpec, name: str, image: str, folder: Path) -> DockerContainer:
    """A container of a node, with the folders of this machine that it has."""
    logs = folder / "nodes" / spec.name
    logs.mkdir(parents=True, exist_ok=True)
    logs.chmod(0o777)  # the server's user in the node is another one than ours
    container = DockerContainer(image).with_name(name).with_volume_mapping(str(logs.resolve()), PATHS.log, "rw")
    if spec.server == "client":
        container.with_volume_mapping(str((folder / "history").resolve()), HISTORY, "rw")
    return container


def _started(container: DockerContainer, name: str) -> Container:
    with asked(f"{name} could not be started"):
        return container.start().get_wrapped_container()


def _toxiproxy_command(image: str, spec: NodeSpec) -> list[str]:
    """The official image's entrypoint is the server; in the client image, our own server is a module."""
    assert spec.build is not None, "a Toxiproxy node has a command"
    command: Command = spec.build(PATHS)
    if "/client:" in image:
        return ["python3", "-m", "harness.toxiproxy_server", *command.argv]
    return list(command.argv)


def _named(run_id: str, node: str) -> str:
    return f"harness-{run_id}-{node}"


def packet_table(run_id: str) -> str:
    """What a run's table of packet rules is called: the only thing by which it can be told whose it is."""
    return f"harness_{run_id}"


def _bridge(run_id: str) -> str:
    """What the bridge of a run is called on the engine's host."""
    return f"harness{run_id}"  # of the 15 characters that a name may have


def _labels(run_id: str, owner: str) -> dict[str, str]:
    return {RUN_LABEL: run_id, OWNER_LABEL: owner}


def _owner(pid: int) -> str:
    """A process of this machine, as the label says it: several machines may share an engine."""
    return f"{platform.node()}/{identity(pid)}"


def _network(run_id: str, owner: str) -> tuple[str, ipaddress.IPv4Network]:
    """A bridge network on a subnet that nobody has; published ports stay on loopback. Raises RuntimeUnavailable."""
    whole, routed = _range(), _routed(ROUTES)
    for subnet in whole.subnets(new_prefix=PREFIX):
        if any(subnet.overlaps(route) for route in routed):
            continue  # the engine would take it all the same, and hide what is there
        network = TestNetwork(
            docker_network_kw={
                "driver": "bridge",
                "labels": _labels(run_id, owner),
                "ipam": IPAMConfig(pool_configs=[IPAMPool(str(subnet), gateway=str(subnet[1]))]),
                "options": {
                    "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
                    "com.docker.network.bridge.name": _bridge(run_id),
                },
            }
        )
        network.name = f"harness-{run_id}"
        try:
            with asked("no network could be made", RuntimeUnavailable):
                network.create()
            return network.name, subnet
        except RuntimeUnavailable as problem:
            if "overlap" not in str(problem):
                raise
    raise RuntimeUnavailable(
        f"every subnet of {whole} is in use, by networks of the engine (`harness clean` removes those of dead runs) or by"
        f" routes of this machine (`ip route` shows them); {RANGE}=10.96.0.0/16 would take another range"
    )


def _range() -> ipaddress.IPv4Network:
    """The range that clusters take their subnets from. Raises UsageError for one that holds none."""
    told = os.environ.get(RANGE) or RANGE_UNLESS_TOLD
    try:
        whole = ipaddress.IPv4Network(told)
    except ValueError as problem:
        raise UsageError(f"{RANGE}={told}: {problem}; write a range such as 10.96.0.0/16") from None
    if whole.prefixlen > PREFIX:
        raise UsageError(f"{RANGE}={told}: too small for a cluster, which takes a /{PREFIX}; write a range such as 10.96.0.0/16")
    return whole


def _routed(routes: Path) -> list[ipaddress.IPv4Network]:
    """The ranges to which this machine has a route of its own, such as a VPN's; empty where it cannot be known."""
    if not routes.exists():
        return []
    found = []
    for line in routes.read_text().splitlines()[1:]:
        columns = line.split()
        # In the machine's order of bytes, as the kernel holds them.
        address, mask = (int.from_bytes(bytes.fromhex(columns[at]), sys.byteorder) for at in (1, 7))
        if mask:  # all but the default route
            found.append(ipaddress.IPv4Network((address & mask, mask.bit_count())))
    return found


def _packet_rules(run_id: str, owner: str, image: str, subnet: str) -> Packets:
    packets = _packets(_packet_helper(run_id, owner, image), run_id)
    packets.keep_out(subnet)
    return packets


def _packets(helper: Container, run_id: str) -> Packets:
    return Packets(_nft(helper), packet_table(run_id), Carrier(_beside(helper), _bridge(run_id), CARRIER))


def _packet_helper(run_id: str, owner: str, image: str) -> Container:
    container = DockerContainer(image).with_name(_named(run_id, PACKETS))
    container.with_kwargs(
        network="host", cap_add=["NET_ADMIN", "NET_RAW", "SYS_NICE"], labels=_labels(run_id, owner), user="0",
        entrypoint=list(INIT), cpu_shares=CLIENT_CPU_SHARES,  # what it carries must be on time beside busy servers
    )  # fmt: skip
    return _started(container, "the packet helper")


def _beside(helper: Container, failed: str = "the packet helper failed") -> Callable[[Sequence[str]], str]:
    """Runs a command where the bridge is. Raises ClusterError with what it said, after `failed`."""

    def run(command: Sequence[str]) -> str:
        with asked(f"{command[0]} could not be run"):
            status, out = execute(helper, command)
        if status:
            raise ClusterError(f"{failed}: {out.decode('utf-8', 'replace').strip()}")
        return out.decode()

    return run


def _nft(helper: Container) -> Callable[[str], str]:
    run = _beside(helper, "nft refused a rule")
    return lambda script: run(["nft", "--json", script])


def trial_rule() -> str:
    """Makes a packet rule of its own and removes it again. Raises ClusterError when the kernel refuses it."""
    run_id = secrets.token_hex(4)
    helper = _packet_helper(run_id, _owner(os.getpid()), Images(engine(), {}, lambda line: None).of("packets"))
    try:
        packets = Packets(_nft(helper), packet_table(run_id))
        # Documentation addresses (RFC 5737), which no node has.
        packets.keep_out("240.0.0.0/32")  # nothing is routed there
        with packets.drop(Group("a", ("192.0.2.0/24",)), Group("b", ("198.51.100.0/24",))):
            return "made and removed"
    finally:
        remove(run_id)


@asked("not everything of the run could be removed")
def remove(run_id: str) -> int:
    """Removes every rule, container and network of a run, and says how many there were; safe to call twice."""
    client = engine()
    mine: dict[str, str | list[str] | bool] = {"label": f"{RUN_LABEL}={run_id}"}
    containers = client.containers.list(all=True, ignore_removed=True, filters=mine)
    for helper in containers:
        if helper.name == _named(run_id, PACKETS) and helper.status in ("running", "exited"):
            helper.start()  # no error when it runs; the rules are the host's, and outlive whoever made them
            Packets(_nft(helper), packet_table(run_id)).remove()

    def gone(container: Container) -> None:
        try:
            container.remove(force=True, v=True)
        except docker.errors.NotFound:
            pass
        except docker.errors.APIError as problem:
            if "already in progress" not in str(problem):
                raise

    with ThreadPoolExecutor(max(1, len(containers))) as pool:  # all at once: each that lives on takes CPU from the rest
        list(pool.map(gone, containers))
    networks = client.networks.list(filters=mine)
    for network in networks:
        wait_until(partial(_network_gone, network), 10, f"network {network.name} to go")
    return len(containers) + len(networks)


def abandon(run_id: str, progress: Progress, patience_s: float = 600) -> None:
    """Removes a run whose harness is gone, until nothing of it has come up for a while: what it asked for last may be late.

    An engine that does not answer is asked again for `patience_s` seconds; then its error is raised.
    """
    give_up, quiet, last = time.monotonic() + patience_s, 0, ""
    while quiet < QUIET_ROUNDS:
        try:
            quiet = 0 if remove(run_id) else quiet + 1
        except HarnessError as problem:
            if time.monotonic() > give_up:
                raise
            if str(problem) != last:
                last = str(problem)
                progress(f"{last}; trying again for {patience_s:g} s")
        time.sleep(ROUND_S)


def _network_gone(network: Any) -> bool:
    try:
        network.remove()
    except docker.errors.NotFound:
        return True
    except docker.errors.APIError:  # an endpoint of a container that is still going
        return False
    return True
