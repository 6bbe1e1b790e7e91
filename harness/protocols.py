"""What can a contributor add, and what may it rely on?

Small contracts without behaviour. Nodes, clusters and networks are what a runtime
gives; topologies, faults, workloads and checkers are what one file adds.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import tzinfo
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, ClassVar, NewType, Protocol, runtime_checkable

from harness.history import History
from harness.verdict import Finding

Progress = Callable[[str], None]  # told in words what goes on now

# --- nodes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Greeting:
    """A question that a healthy server answers before any login: at least one byte for `send`."""

    port: int
    send: bytes


@dataclass(frozen=True)
class Memory:
    """How the memory that a server has for data is filled from a client node, each time on a connection of its own.

    `used` asks how much of it is taken, `share` reads that out of the answer: 1 is full, None that it cannot be told. `fill` asks
    for so many pieces more, of so many bytes each; to those that find no room the server says `full`, which is empty for one that
    makes room by putting others out. `free` gives back whatever was filled; one that has done so says `freed`.
    """

    port: int
    used: bytes
    share: Callable[[str], float | None]
    fill: Callable[[int, int], bytes]
    full: str
    free: bytes
    freed: str


@dataclass(frozen=True)
class Limits:
    """What a node may use; None is no limit."""

    cpus: float | None = None
    memory_mb: int | None = None


@dataclass(frozen=True)
class Paths:
    """Where a node finds things, as the node itself sees them."""

    data: str
    config: str
    log: str


@dataclass(frozen=True)
class Command:
    """How a node's server is started: its argv, its files (path → text), its environment."""

    argv: Sequence[str]
    files: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeSpec:
    """A node as a topology describes it, before anything is started.

    `server` is the family of its image (`postgres`, `etcd`, `haproxy`, `toxiproxy`, `client`); `role` says what it is
    for (`database`, `manager`, `router`, `proxy`, `client`). `in_memory` keeps its data on tmpfs. `published` are the
    ports that programs on the host may reach, on loopback. `shard` names the part of the data that a database keeps, where
    each keeps a part: of one shard, one node is primary. `memory` is how what it has for data is filled, where that has a limit.
    `made` is what its topology must know beside to describe it again (`ComesAndGoes`).
    """

    name: str
    zone: str
    server: str
    role: str
    address: str
    build: Callable[[Paths], Command] | None
    greeting: Greeting | None = None
    unprivileged: bool = False
    in_memory: bool = False
    published: Sequence[int] = ()
    limits: Limits = Limits()
    shard: str = ""
    memory: Memory | None = None
    made: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Ran:
    """A command that ran in a node: its exit status and what it printed."""

    status: int
    out: str


class Node(Protocol):
    """A member with an address, which outlives its server."""

    @property
    def spec(self) -> NodeSpec: ...
    def start(self) -> None:
        """Starts the node's server; the address, network and rules stay what they were."""

    def stop(self, grace_s: float) -> bool:
        """Asks the server to end, and kills it after `grace_s` seconds; whether it ended by itself."""

    def kill(self) -> None:
        """SIGKILL to all of the server's processes: clients see a reset."""

    def pause(self) -> None:
        """Freezes every process of the node: its kernel still answers, nobody else does."""

    def resume(self) -> None: ...
    def running(self) -> bool:
        """Whether the server's main process is there."""

    def run(self, *argv: str, environment: Mapping[str, str] | None = None) -> Ran:
        """Runs a command in the node and waits for it."""

    def spawn(self, *argv: str, log: str, behind: bool = False) -> None:
        """Starts a command in the node and leaves it running, its output in `<log>.log` beside the server's.

        What is to stay `behind` gets no more of a busy core than other nodes' servers do; in a client node all else gets more.
        """

    def put_first(self, program: str) -> None:
        """Lets the processes of a program of Python's (`python -m program`) wake up before all others, where that is allowed."""

    def put(self, path: str, text: str) -> None:
        """Writes a file in the node, which only its server's user can read."""

    def logs(self, of: str = "server") -> str:
        """What the server has printed, or the command that was spawned with that `log`."""

    def limit(self, limits: Limits) -> None: ...


# --- networks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """Some nodes as the network sees them: a zone's whole range, or single addresses."""

    name: str
    ranges: Sequence[str]  # CIDR, or single addresses

    def holds(self, address: str) -> bool:
        """Whether an address is one of the group's."""
        return any(ip_address(address) in ip_network(range_) for range_ in self.ranges)


@dataclass(frozen=True)
class Counted:
    """How many packets of one direction a cut has dropped, and how many it let through."""

    dropped: int
    passed: int


@dataclass(frozen=True)
class Shape:
    """What a slow or lossy network does to each packet of one direction.

    A packet waits its turn at `rate_bytes_per_s` (its whole length, IP header included), in a queue of a tenth of a second
    which drops what finds no room; then it takes `delay_ms`, give or take `jitter_ms`. Between two addresses, none overtakes
    the one before it. Of each `loss_share` is lost, drawn for every packet by itself, in the same order in every run.
    With `refuse` none passes, and its sender is told so: by a TCP reset, or by ICMP's "port unreachable".
    """

    delay_ms: float = 0
    jitter_ms: float = 0
    loss_share: float = 0
    rate_bytes_per_s: float | None = None
    refuse: bool = False


@dataclass(frozen=True)
class Carried:
    """What became of the packets of one direction that were shaped: how many came in, and how many of them

    were lost or refused as was asked for, found the queue of a limited rate full, or found nobody with their address. `late`
    of the rest left more than a millisecond after their time. `missed` is how many, of all that is shaped in the cluster,
    came faster than they could be taken in.
    """

    taken: int
    lost: int
    overrun: int
    unreachable: int
    late: int
    missed: int


class Network(Protocol):
    """The network between the nodes; its rules outlive restarts of nodes and end with the run."""

    def drop(self, a: Group, b: Group, *, forth: bool = True, back: bool = True) -> AbstractContextManager[None]:
        """Drops packets from `a` to `b` (forth) and from `b` to `a` (back), in one transaction."""

    def counted(self, a: Group, b: Group) -> Counted | None:
        """What the cut between two groups did to packets from `a` to `b`; None where there is no cut."""

    def shape(self, a: Group, b: Group, shape: Shape, *, forth: bool = True, back: bool = True) -> AbstractContextManager[None]:
        """Makes packets from `a` to `b` (forth) and from `b` to `a` (back) slow, few or rare, until the context is left.

        Shapes add up, and a cut is a cut for shaped packets, too. Raises ClusterError where packets cannot be shaped.
        """

    def carried(self, a: Group, b: Group) -> Carried | None:
        """What became of packets from `a` to `b` under all shapes that they have now; None where they have none."""


@dataclass(frozen=True)
class Endpoint:
    """What a client connects to; `greeting` is a question that it answers before any login."""

    name: str
    host: str
    port: int
    greeting: bytes = b""


class Link(Protocol):
    """A client zone's TCP path to an endpoint, which leads through that zone's Toxiproxy."""

    @property
    def name(self) -> str: ...
    @property
    def zone(self) -> str: ...
    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def ways(self) -> Sequence[Endpoint]:
        """Where its bytes go through: the endpoint; where clients find their way to nodes by themselves, its shard's nodes."""

    @property
    def greeting(self) -> bytes:
        """A question that the endpoint answers before any login."""

    def toxic(self, type_: str, attributes: Mapping[str, float], stream: str = "downstream") -> AbstractContextManager[None]:
        """Adds a toxic for as long as the context lasts; raises ClusterError when Toxiproxy did not take it."""


# --- clusters and topologies ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Accident:
    """What happened to a node that nobody did on purpose, in words; to all of them where `node` is None."""

    node: str | None
    what: str

    def __str__(self) -> str:
        return f"{self.node} {self.what}" if self.node else self.what


class Accidents(Protocol):
    """Looks after the nodes of a cluster."""

    def all(self) -> Sequence[Accident]:
        """Every accident since the looking began, in order."""


class Cluster(Protocol):
    """A topology that is running."""

    @property
    def run_id(self) -> str: ...
    @property
    def nodes(self) -> Mapping[str, Node]: ...
    @property
    def zones(self) -> Sequence[str]: ...
    @property
    def network(self) -> Network: ...
    @property
    def folder(self) -> Path:
        """The run's folder; every client node has its `history` mounted at `/run/harness/history`."""

    def zone_group(self, zone: str) -> Group:
        """A whole zone: every address that it has, or will have."""

    def client(self, zone: str) -> Node:
        """The client node of a zone."""

    def address(self, zone: str) -> str:
        """An address of a zone that no node has had yet."""

    def add(self, spec: NodeSpec) -> Node:
        """Lays out one node more while the others go on; starts no server."""

    def remove(self, node: str) -> None:
        """Takes a node away for good, with all that it holds."""

    def link(self, zone: str, endpoint: str) -> Link: ...
    def published(self, node: str, port: int) -> tuple[str, int]:
        """Where programs on the host reach a published port of a node: (host, port)."""

    def entrance(self, zone: str, endpoint: str) -> tuple[str, int]:
        """Where programs on this machine reach a zone's endpoint: an address of loopback, which leads through its Toxiproxy."""

    def restore(self) -> None:
        """Heals whatever any fault left: rules, toxics, paused nodes, servers that do not run; ends clients' processes."""

    def keep(self, state: Path, for_s: float | None) -> None:
        """From now on the cluster outlives this process: its supervisor keeps it, for `for_s` seconds at most.

        `state` is the folder in which others find it; the supervisor removes it with the cluster.
        """

    @property
    def supervisor(self) -> str:
        """The process that removes the cluster in the end, by `harness.supervisor.identity`."""

    def watched(self) -> AbstractContextManager[Accidents]:
        """Notes whatever happens to a node by itself, for as long as the context lasts."""

    def versions(self) -> Mapping[str, str]:
        """What runs: each image's or server's version."""


class _Any:
    """Holds whatever is asked for."""

    def __contains__(self, _: object) -> bool:
        return True


@dataclass(frozen=True)
class AddressPlan:
    """The zones and the addresses that a topology may use, and the server families that nodes can have."""

    zones: Sequence[str]
    take: Callable[[str], str]  # zone → the next free address in it
    servers: Container[str] = field(default_factory=_Any)


@runtime_checkable
class Topology(Protocol):
    """One system: its nodes, how they form a cluster, what clients connect to. Options are dataclass fields."""

    protocol: ClassVar[str]  # what its endpoints speak: `postgresql`, `redis`, …

    @property
    def zones(self) -> tuple[str, ...]: ...
    @property
    def endpoint_names(self) -> tuple[str, ...]:
        """`writer` and, where there is one, `reader`; `writer:1`, `writer:2`, … where each shard has a writer of its own."""

    def nodes(self, plan: AddressPlan) -> Sequence[NodeSpec]: ...
    def form(self, cluster: Cluster, progress: Callable[[str], None]) -> None:
        """Starts the nodes in order; returns when every member itself says that it is healthy."""

    def healthy(self, cluster: Cluster) -> str | None:
        """None when every member itself says that it is healthy and in sync, else what is missing, in words."""

    def roles(self, cluster: Cluster) -> Mapping[str, str]:
        """What each database node says of itself now: node → primary, replica, …"""

    def versions(self, cluster: Cluster) -> Mapping[str, str]:
        """The servers' versions, as they say them."""

    def rejoin_way(self, log: str) -> str | None:
        """How a node came back as a replica (`rewind`, …), from its own log; None when the log does not say."""

    @property
    def secrets(self) -> dict[str, str]:
        """The passwords that it made for its cluster, by name; who attaches to that cluster later puts them back in."""

    def endpoints(self, zone: str) -> Mapping[str, Endpoint]: ...
    def dsn(self, host: str, port: int) -> str:
        """What a program pastes to connect to an endpoint at that address, password included."""

    def login(self, host: str, port: int) -> Mapping[str, Any]:
        """What a workload's sessions log in with at that address: `protocol`, `host`, `port`, and what else it needs."""

    def client_config(self, zone: str) -> Mapping[str, Any]:
        """What the probes of a zone's client node need.

        `protocol`, by which their client is chosen; `probe`, what that client is made with; `direct_port`, on which databases
        are asked directly; and `manager` (`speaks`, `host`, `port`) where the zone's member has one that can be asked.
        """


@dataclass(frozen=True)
class Part:
    """A topology inside another one: the word that means it, and itself, with its options."""

    use: str
    topology: Topology


@runtime_checkable
class Composed(Protocol):
    """A topology that contains others, each of which forms, is asked and is logged in to as if it were alone."""

    @property
    def parts(self) -> Mapping[str, Topology]:
        """The topologies that it contains, by what they are for."""

    def part_of(self, name: str) -> Topology:
        """The part that has the endpoint, or the node, of that name; endpoints have other names there than in the part."""

    def keeps(self, node: str) -> bool:
        """Whether a database node keeps data that must not be lost, rather than copies of it."""

    def login_to_keep(self, node: str, login: Mapping[str, Any]) -> Mapping[str, Any]:
        """With what its final reads are made at a node that keeps data, by the login to the part alone."""


@runtime_checkable
class ComesAndGoes(Protocol):
    """A topology some of whose nodes are others than it was laid out with; who attaches to its cluster later tells it which."""

    def came(self, name: str, zone: str, address: str, made: Mapping[str, str]) -> NodeSpec:
        """Describes a node again that was added, by what its `NodeSpec.made` held."""

    def went(self, name: str) -> None:
        """Forgets a node that was taken away."""


@runtime_checkable
class LogsInTogether(Protocol):
    """A topology whose clients need more than one endpoint: they themselves know which node keeps what."""

    def login_together(self, endpoints: Mapping[str, Endpoint]) -> Mapping[str, Any]:
        """What a workload's sessions log in with, given all the endpoints of their zone as they reach them."""


class Runtime(Protocol):
    """Where nodes live."""

    name: ClassVar[str]

    def launch(self, topology: Topology, folder: Path) -> AbstractContextManager[Cluster]:
        """Lays the topology out, starts no server; leaving the context removes everything.

        `folder` is the run's folder: client nodes have its `history` mounted, nodes log below its `nodes`.
        """

    def attach(self, run_id: str, topology: Topology, folder: Path) -> Cluster:
        """A cluster that another process launched and that lives on. Raises ClusterError when it is not whole."""

    def remove(self, run_id: str) -> None:
        """Removes whatever is left of a run; safe to call twice."""


# --- faults --------------------------------------------------------------------------------------------------


class Witness(Protocol):
    """Looks at a fault's effect from another vantage point than the injector's.

    `normal` is what it sees without the fault, `expected` what it sees while the fault is in force.
    """

    @property
    def vantage(self) -> str: ...
    @property
    def normal(self) -> str: ...
    @property
    def expected(self) -> str: ...
    def look(self) -> str:
        """What is seen now, in one or two words; takes at most about a second."""


@runtime_checkable
class NodeFault(Protocol):
    """Something that happens to a node. Entering injects, leaving heals."""

    changes_roles: ClassVar[bool]

    def on_node(self, node: Node) -> AbstractContextManager[None]: ...
    def witnesses_on_node(self, cluster: Cluster, node: Node) -> Sequence[Witness]: ...


@runtime_checkable
class HostFault(Protocol):
    """Something that happens to a node together with its network."""

    changes_roles: ClassVar[bool]

    def on_host(self, cluster: Cluster, node: Node) -> AbstractContextManager[None]: ...
    def witnesses_on_host(self, cluster: Cluster, node: Node) -> Sequence[Witness]: ...


@runtime_checkable
class LinkFault(Protocol):
    """Something that happens to a client's TCP path, through Toxiproxy."""

    changes_roles: ClassVar[bool]

    def on_link(self, link: Link) -> AbstractContextManager[None]: ...
    def witnesses_on_link(self, cluster: Cluster, link: Link) -> Sequence[Witness]: ...


@runtime_checkable
class NetworkFault(Protocol):
    """Something that happens to packets between two groups of nodes."""

    changes_roles: ClassVar[bool]

    def between(self, network: Network, a: Group, b: Group) -> AbstractContextManager[None]: ...
    def witnesses_between(self, cluster: Cluster, a: Group, b: Group) -> Sequence[Witness]: ...


# --- changes -------------------------------------------------------------------------------------------------

# An option of this type names a database node; a scenario that names one that the topology has not is refused.
Database = NewType("Database", str)


@dataclass(frozen=True)
class Outcome:
    """How a change ended.

    `said` is a sentence: what was done; or where it stopped, and whether the cluster still serves. `touched` are the nodes
    that it acted on. `expected` is what `Change.look` must find from now on, for each vantage point. `measured` are figures that
    only the change can know, by metric.
    """

    verified: bool
    said: str
    touched: Sequence[str] = ()
    expected: Mapping[str, str] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class Change(Protocol):
    """Something that an operator does on purpose, through the cluster's own manager; it ends by itself.

    `needs` is the capability that the topology must have: a runtime-checkable protocol, or `object`.
    """

    changes_roles: ClassVar[bool]
    needs: ClassVar[type[Any]]

    def look(self, cluster: Cluster, topology: Topology) -> Mapping[str, str]:
        """What each vantage point says, in a word, of what the change is about: asked before it and after it."""

    def carry_out(self, cluster: Cluster, topology: Topology) -> Outcome:
        """Makes the change and verifies it; one that cannot be made leaves the cluster serving."""


@runtime_checkable
class Moves(Protocol):
    """A change that moves data bit by bit, so that it can be half way."""

    def moved(self, cluster: Cluster, topology: Topology) -> float | None:
        """The share of what shall move that has arrived, 0 to 1; None while nothing is on its way."""


@dataclass(frozen=True)
class Resharded:
    """What a resharding did, in a sentence, on which nodes, and how often what failed meanwhile made it begin anew."""

    said: str
    touched: Sequence[str]
    begun_anew: int = 0


@runtime_checkable
class ChangesNodeType(Protocol):
    """A topology whose nodes have a type, which can be another one."""

    def change_node_type(self, cluster: Cluster, to: str) -> None:
        """Replaces every node by one of that type. Raises ClusterError, with where it stopped, when it could not."""


@runtime_checkable
class Reshards(Protocol):
    """A topology whose shards become more, or fewer, while clients go on.

    `way` is how data goes from one shard to another: `native`, by the engine's own means, `keys`, key by key, or `fastest`, the
    first where the engine has it. Each raises ClusterError, with where it stopped, when it is not done within `within_s`.
    """

    def owned(self, cluster: Cluster) -> Mapping[str, str]:
        """How much of the data each database node keeps, in words, by its own word."""

    def moved(self, cluster: Cluster) -> float | None:
        """The share of the data on its way that has arrived, by its owners' word, 0 to 1; None while nothing is on its way."""

    def add_shard(self, cluster: Cluster, way: str, within_s: float) -> Resharded:
        """One shard more, with as much of the data as the others."""

    def remove_shard(self, cluster: Cluster, shard: str | None, way: str, within_s: float) -> Resharded:
        """One shard fewer: that one, or the last one; its data goes to the others."""


@runtime_checkable
class ReshardsOffline(Protocol):
    """A topology whose data can go into a new cluster with other shards, which takes the old one's place."""

    def owned(self, cluster: Cluster) -> Mapping[str, str]:
        """How much of the data each database node keeps, in words, by its own word."""

    def reshard_offline(self, cluster: Cluster, shards: int, node_type: str, engine: str, within_s: float) -> Resharded:
        """Backs up, restores, verifies, cuts over. Raises ClusterError, with where it stopped, when it could not."""


@runtime_checkable
class SwitchesOver(Protocol):
    """A topology whose manager moves the primary on request."""

    def switch_over(self, cluster: Cluster, to: str | None) -> None:
        """Asks the manager to make `to`, or the replica that it chooses, primary; returns with the manager's answer.

        Raises ClusterError, with the manager's own words, when it will not or cannot.
        """


@runtime_checkable
class ScalesReplicas(Protocol):
    """A topology whose cluster takes replicas in, and lets them go, while it serves."""

    def add_replica(self, cluster: Cluster, zone: str | None) -> str:
        """Lays out and starts a replica more, in that zone or where there are fewest nodes; returns its name.

        It may not be in sync by then. Raises ClusterError when there is no room for it.
        """

    def remove_replica(self, cluster: Cluster, name: str) -> None:
        """Takes a replica away for good, and has the managers forget it. Raises ClusterError where one of them does not."""


@runtime_checkable
class Migrates(Protocol):
    """A topology whose data can move to a new cluster, which takes the old one's place."""

    def migrate(self, cluster: Cluster) -> int:
        """Copies everything, compares, cuts over; returns how many keys there were.

        Raises ClusterError, with where it stopped, when it could not.
        """


@runtime_checkable
class HashedByClients(Protocol):
    """A topology whose clients hash keys onto nodes, and are told which nodes there are."""

    def members(self, cluster: Cluster) -> Sequence[str]:
        """The nodes onto which clients hash keys now."""

    def grow(self, cluster: Cluster, count: int, node_type: str) -> Sequence[str]:
        """Starts so many nodes more, of a type (empty: of the others' type); returns their names. No client knows them yet.

        Raises ClusterError when they cannot be had; then none of them is there.
        """

    def tell(self, cluster: Cluster, nodes: Sequence[str]) -> None:
        """From now on clients hash keys onto these nodes, and no others."""

    def remapped_share(self, cluster: Cluster, before: Sequence[str], after: Sequence[str]) -> float:
        """The share of keys that clients look for on another node than before."""

    def answered(self, cluster: Cluster, node: str) -> int | None:
        """How many reads a node has answered since it was started; None when it does not say."""


@dataclass(frozen=True)
class ManagerRecord:
    """What a manager's or a router's own log tells of a failover: `at` is Unix time in seconds by the node's clock, `said` the
    log's words, `about` the node that it speaks of, where that is another one.
    """

    at: float
    what: str  # detected, elected, recovered, promoted or demoted; of a router, routed
    said: str
    about: str = ""


@runtime_checkable
class KeepsRecords(Protocol):
    """A topology whose manager writes down how a failover went: in the logs of the nodes whose role is `recorded_by`."""

    recorded_by: ClassVar[str]

    def records(self, log: str, zone: tzinfo) -> Iterable[ManagerRecord]:
        """What such a node's log tells of failovers; `zone` is that of its clock."""


@runtime_checkable
class KeepsRoutes(Protocol):
    """A topology whose routers write down since when they lead clients to which primary."""

    def routes(self, log: str) -> Iterable[ManagerRecord]:
        """What a router's log tells of where the writer endpoint leads: `routed`, `about` the database node."""


@runtime_checkable
class Announces(Protocol):
    """A topology whose databases tell clients where to connect to: each at its own address, on this port."""

    announced_port: ClassVar[int]


@runtime_checkable
class Sharded(Protocol):
    """A topology whose shards each keep a part of the data."""

    def shard_of(self, cluster: Cluster, key: str) -> str:
        """The shard that keeps a key now. Raises ClusterError when nobody does."""


@runtime_checkable
class Looping(Protocol):
    """A topology whose manager looks at its members now and then: a fault just after a look is found last."""

    @property
    def manager_loop_s(self) -> float:
        """The time from one look to the next, in seconds."""


# --- judging -------------------------------------------------------------------------------------------------


class Checker(Protocol):
    """One judge: a pure function of the history. `metrics` are what `expect` may bound, with their units.

    One that measures them before, during and after the faults, too, has `by_phase = True`: `during` may then be bounded.
    """

    metrics: ClassVar[Mapping[str, str]]  # name → unit: `s`, `share` or `count`

    def check(self, history: History) -> Finding: ...


class Reporter(Protocol):
    """One form of the result, written into the run's report folder; returns the file."""

    def write(self, folder: Path, history: History, result: Mapping[str, Any]) -> Path: ...
