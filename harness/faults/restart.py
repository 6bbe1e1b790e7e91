"""What do clients notice when a server is ended as its host would end it, to reboot?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, ClassVar

from harness.errors import ClusterError
from harness.protocols import Cluster, Node, Witness
from harness.units import MoreThan
from harness.witnesses import from_every_zone


@dataclass(frozen=True)
class Restart:
    """Asks the node's server to end (SIGTERM to its main process, as a host does that reboots); healing starts it again.

    What ends, and what it hands over before, is the server's matter: under Patroni it is Patroni that is asked, which
    stops PostgreSQL and gives up the leader's lock. A server that has not ended after `grace` is killed, and
    the run is UNKNOWN: that was no graceful restart.
    """

    changes_roles: ClassVar[bool] = True

    grace_s: Annotated[float, MoreThan(0)] = 30

    @contextmanager
    def on_node(self, node: Node) -> Iterator[None]:
        ended = node.stop(self.grace_s)
        try:
            if not ended:
                raise ClusterError(f"{node.spec.name}'s server did not end within {self.grace_s:g} s, and was killed")
            yield
        finally:
            node.start()

    def witnesses_on_node(self, cluster: Cluster, node: Node) -> Sequence[Witness]:
        return from_every_zone(cluster, node, expected="refused")
