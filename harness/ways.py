"""Where does a zone's Toxiproxy let its clients through to an address that a server announces?

Clients of some systems learn from the servers where to connect to. With the way through Toxiproxy each such address has a port
there, which follows from the address: whoever learns of a new one knows its way at once.
"""

from __future__ import annotations

FIRST_PORT = 20_000  # above the endpoints' ports, below those that kernels hand out


def port_of(address: str) -> int:
    """The port at every zone's Toxiproxy that leads to a node of the cluster, whose range is a /20."""
    _, _, third, last = (int(part) for part in address.split("."))
    return FIRST_PORT + 256 * (third % 16) + last


def way(through: str, host: str, port: int) -> tuple[str, int]:
    """Where an announced address is reached: `through` a Toxiproxy, at its address; directly where that is empty."""
    return (through, port_of(host)) if through else (host, port)
