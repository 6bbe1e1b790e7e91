"""What does the log of a cluster's member say of a failover, and when?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import tzinfo

from harness.protocols import ManagerRecord
from harness.topologies._redis_log import told

# What the replica logs that takes over, by its own word or as it was told. Redis says master where Valkey says primary.
_SIGNS = (
    ("detected", re.compile(r"Marking node .* as failing \(quorum reached\)|FAIL message received from ")),
    ("elected", re.compile(r"Failover election won: ")),
    ("promoted", re.compile(r"configEpoch set to \d+ after successful failover")),
    ("demoted", re.compile(r"Configuration change detected\. Reconfiguring myself as a replica of ")),
)


def recorded(log: str, zone: tzinfo) -> Iterator[ManagerRecord]:
    """The lines that tell of a failover, in order; `zone` is that of the node's clock, in which a member writes.

    Detected is what most primaries agree on; a member that finds another one silent by itself may be the one that is cut off.
    """
    for at, text in told(log, zone):
        what = next((what for what, sign in _SIGNS if sign.match(text)), None)
        if what is not None:
            yield ManagerRecord(at, what, text[:120])
