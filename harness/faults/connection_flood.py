"""What do clients see of a server that others hold all connections of?"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Annotated, ClassVar

from harness.clock import wait_until
from harness.errors import ClusterError
from harness.protocols import Cluster, Node, Witness
from harness.units import MoreThan

INSIDE = "/run/harness"  # of a client node, which only it sees
ESTABLISHED = "01"
FLOODED_WITHIN_S, ENDED_WITHIN_S = 10.0, 10.0


@dataclass(frozen=True)
class ConnectionFlood:
    """Holds `connections` to the node's server, from the client nodes of all zones, and says nothing on them.

    What the server closes is opened again at once. Whether anybody else still finds room is the server's limit of connections:
    give more than it takes. Healing closes them all.
    """

    changes_roles: ClassVar[bool] = True

    connections: Annotated[int, MoreThan(0)] = 1000

    @contextmanager
    def on_host(self, cluster: Cluster, node: Node) -> Iterator[None]:
        port = _port(node)
        share, more = divmod(self.connections, len(cluster.zones))
        with ExitStack() as floods:
            for number, zone in enumerate(cluster.zones):
                if count := share + (number < more):
                    floods.enter_context(_flood(cluster.client(zone), node.spec.address, port, count))
            held = Held(node, port, self._enough)
            wait_until(lambda: held.look() == held.expected, FLOODED_WITHIN_S, f"{node.spec.name} to be flooded", every_s=0.1)
            yield

    @property
    def _enough(self) -> int:
        """Seen at least: between two looks a server may have closed some that are not open again yet."""
        return max(1, self.connections // 2)

    def witnesses_on_host(self, cluster: Cluster, node: Node) -> Sequence[Witness]:
        del cluster  # it is the flooded node's own kernel that knows
        return [Held(node, _port(node), self._enough)]


@dataclass(frozen=True)
class Held:
    """How many connections the kernel of a node has to its server's port."""

    node: Node
    port: int
    enough: int
    normal: str = "fewer"

    @property
    def expected(self) -> str:
        return f"at least {self.enough} connections"

    @property
    def vantage(self) -> str:
        return f"the kernel of {self.node.spec.name}"

    def look(self) -> str:
        rows = [line.split() for line in self.node.run("cat", "/proc/net/tcp", "/proc/net/tcp6").out.splitlines()]
        ours = f"{self.port:04X}"
        held = sum(len(row) > 3 and row[3] == ESTABLISHED and row[1].rpartition(":")[2] == ours for row in rows)
        return self.expected if held >= self.enough else self.normal


@contextmanager
def _flood(client: Node, address: str, port: int, connections: int) -> Iterator[None]:
    """Connections from one client node, until the context is left."""
    name = f"flood-{secrets.token_hex(4)}"
    stop, ended = f"{INSIDE}/{name}.stop", f"{INSIDE}/{name}.ended"
    script = 'ended=$1; shift; "$@"; echo $? > "$ended"'
    flood = ("python3", "-m", "harness.flood", address, str(port), str(connections), stop)
    client.spawn("sh", "-c", script, "sh", ended, *flood, log=name)
    try:
        yield
    finally:
        client.put(stop, "")
        said = f"{client.spec.name} to close its connections"
        wait_until(lambda: client.run("test", "-e", ended).status == 0, ENDED_WITHIN_S, said, every_s=0.1)
    status = client.run("cat", ended).out.strip()
    if status != "0":
        raise ClusterError(f"{client.spec.name} could not hold {connections} connections: {client.logs(name).strip()[-200:]}")


def _port(node: Node) -> int:
    """The port that the server answers on. Raises ClusterError for a node of which none is known."""
    if node.spec.greeting is None:
        raise ClusterError(f"{node.spec.name} has no port that could be flooded")
    return node.spec.greeting.port
