"""What does Patroni's log, and PostgreSQL's in it, say of a failover, and when?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo

from harness.protocols import ManagerRecord

_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)[.,](\d{3}) (UTC )?(.*)$")
# A member that finds the lock free asks the others how far they are before it tries to take it.
_SIGNS = (
    ("detected", re.compile(r"(WARNING: Request failed to \S+|INFO: Got response from) ")),
    ("elected", re.compile(r"INFO: (promoted self to leader by acquiring session lock|acquired session lock as a leader)")),
    ("recovered", re.compile(r"\[\d+\] LOG:  archive recovery complete")),
    ("promoted", re.compile(r"\[\d+\] LOG:  database system is ready to accept connections")),
    ("demoted", re.compile(r"INFO: demot(ing|ed) self")),
)
OF_A_PROMOTION = ("recovered", "promoted")


def recorded(log: str, zone: tzinfo) -> Iterator[ManagerRecord]:
    """The lines that tell of a failover, in order; `zone` is that of the node's clock, in which Patroni writes.

    PostgreSQL becomes ready at every start, too: `recovered` and `promoted` are only what follows `elected`.
    """
    elected = False
    for line in log.splitlines():
        if not (read := _LINE.match(line)):
            continue
        moment, milliseconds, utc, text = read.groups()
        what = next((what for what, sign in _SIGNS if sign.search(text)), None)
        if what is None or (what in OF_A_PROMOTION and not elected):
            continue
        elected = what in ("elected", "recovered")
        at = datetime.fromisoformat(moment).replace(microsecond=int(milliseconds) * 1000, tzinfo=UTC if utc else zone)
        yield ManagerRecord(at.timestamp(), what, text[:120])
