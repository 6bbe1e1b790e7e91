"""What does a Sentinel's log say of a failover, and when?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import tzinfo

from harness.protocols import ManagerRecord
from harness.topologies._redis_log import told

_ADDRESS = re.compile(r" (?:master|slave) \S+ (\S+) ")
# What the Sentinel that leads a failover logs. Others log that they think the primary down, and the outcome.
_SIGNS = (
    ("detected", re.compile(r"\+odown master ")),
    ("elected", re.compile(r"\+elected-leader ")),
    ("promoted", re.compile(r"\+promoted-slave ")),
    ("demoted", re.compile(r"\+convert-to-slave ")),
)


def recorded(log: str, zone: tzinfo, names: Mapping[str, str]) -> Iterator[ManagerRecord]:
    """The lines that tell of a failover, in order; `zone` is that of the node's clock, in which a Sentinel writes.

    `names` are those of the database nodes, by address.
    Detected is what enough Sentinels agree on; one that finds the primary silent alone may be the one that is cut off.
    """
    for at, text in told(log, zone):
        what = next((what for what, sign in _SIGNS if sign.match(text)), None)
        if what is not None:
            address = _ADDRESS.search(text)
            yield ManagerRecord(at, what, text[:120], names.get(address[1], "") if address else "")
