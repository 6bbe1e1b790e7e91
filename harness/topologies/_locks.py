"""Who keeps the lock that only one of Patroni's members can hold, the leader's?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

import yaml

from harness.clock import wait_until
from harness.protocols import Cluster, Command, Node, Paths
from harness.witnesses import LOOK


class Lock(Protocol):
    """Three members, one a zone, that agree by majority; `members` are their addresses."""

    server: ClassVar[str]  # the server family of its nodes

    @property
    def members(self) -> Mapping[str, str]: ...
    def command(self, paths: Paths, zone: str) -> Command:
        """How a zone's member is started."""

    def settings(self) -> Mapping[str, Any]:
        """The part of Patroni's configuration that names it."""


@dataclass(frozen=True)
class Etcd:
    """etcd, as most clusters of Patroni have it."""

    server: ClassVar[str] = "etcd"
    CLIENTS: ClassVar[int] = 2379
    PEERS: ClassVar[int] = 2380

    members: Mapping[str, str]

    def command(self, paths: Paths, zone: str) -> Command:
        own = self.members[zone]
        members = ",".join(f"etcd-{name}=http://{address}:{self.PEERS}" for name, address in self.members.items())
        return Command(
            (
                "etcd", "--name", f"etcd-{zone}", "--data-dir", f"{paths.data}/etcd",
                "--listen-peer-urls", f"http://{own}:{self.PEERS}", "--initial-advertise-peer-urls", f"http://{own}:{self.PEERS}",
                "--listen-client-urls", f"http://{own}:{self.CLIENTS}",
                "--advertise-client-urls", f"http://{own}:{self.CLIENTS}",
                "--initial-cluster", members, "--initial-cluster-state", "new",
                # Data is in memory, and two busy cores must not look like a lost leader.
                "--unsafe-no-fsync", "--heartbeat-interval", "250", "--election-timeout", "2500", "--log-level", "warn",
            )
        )  # fmt: skip

    def settings(self) -> Mapping[str, Any]:
        return {"etcd3": {"hosts": [f"{address}:{self.CLIENTS}" for address in self.members.values()]}}


@dataclass(frozen=True)
class Raft:
    """Patroni's own consensus (PySyncObj), where no etcd is to be had: pure Python, so that it comes with a wheel.

    Its members are nodes of their own, as etcd's are: a zone's database may die and its member live on.
    """

    server: ClassVar[str] = "raft"
    PORT: ClassVar[int] = 2222

    members: Mapping[str, str]

    def command(self, paths: Paths, zone: str) -> Command:
        own = f"{self.members[zone]}:{self.PORT}"
        config = {
            "scope": "harness",
            "name": f"raft-{zone}",
            "raft": {"data_dir": f"{paths.data}/raft", "self_addr": own, "partner_addrs": [a for a in self._all() if a != own]},
        }
        path = f"{paths.config}/raft.yml"
        return Command(("patroni_raft_controller", path), files={path: yaml.safe_dump(config, sort_keys=False)})

    def settings(self) -> Mapping[str, Any]:
        return {"raft": {"partner_addrs": self._all()}}

    def _all(self) -> list[str]:
        return [f"{address}:{self.PORT}" for address in self.members.values()]


def start(cluster: Cluster, members: Sequence[Node]) -> None:
    """Starts members, and returns when others may ask them. Raises ClusterError when one never listens.

    PySyncObj asks a member that refused it again only after 5 s (its `connectionRetryTime`), and of two members the one with
    the greater address asks: in that order none is refused. Started at once, forming took 2 to 5 s more.
    """
    if members[0].spec.server != Raft.server:
        with ThreadPoolExecutor(len(members)) as pool:
            list(pool.map(lambda node: node.start(), members))
        return
    for node in sorted(members, key=lambda node: node.spec.address):
        node.start()
        wait_until(partial(_listens, cluster, node), 20, f"{node.spec.name} to listen")


def _listens(cluster: Cluster, node: Node) -> bool:
    asked = cluster.client(node.spec.zone).run(*LOOK, "greet", node.spec.address, str(Raft.PORT), "", "0.1")
    return asked.out.strip() != "refused"


LOCKS: Mapping[str, Callable[[Mapping[str, str]], Lock]] = {"etcd": Etcd, "raft": Raft}
# What in a member's node says the version.
VERSION_OF = {
    "etcd": ("etcd", "--version"),
    "raft": ("python3", "-c", "from importlib.metadata import version; print('PySyncObj', version('pysyncobj'))"),
}
