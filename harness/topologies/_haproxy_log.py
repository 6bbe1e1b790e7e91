"""What does HAProxy's log say of where an endpoint leads, and since when?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from harness.protocols import ManagerRecord

# Its log format `timed`: a level, and a time with microseconds and time zone.
_UP = re.compile(r"^<\d>(?P<at>\S+) (?P<said>Server (?P<endpoint>[^/ ]+)/(?P<server>\S+) is UP(?:,| via) .*)$")


def routed(log: str, endpoint: str) -> Iterator[ManagerRecord]:
    """The lines that tell that an endpoint leads to a server from now on, in order."""
    for line in log.splitlines():
        if (read := _UP.match(line)) and read["endpoint"] == endpoint:
            yield ManagerRecord(datetime.fromisoformat(read["at"]).timestamp(), "routed", read["said"][:120], read["server"])
