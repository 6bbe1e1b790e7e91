"""What does a manager say of the member that it looks after? One sort of manager a file.

`harness/members/patroni.py` asks Patroni. A topology names it in its client's configuration; the answers are the `member`
events of a history, beside what the node says of itself.
"""

from __future__ import annotations

from typing import Any, Protocol

from harness.probes.contract import Address


class Manager(Protocol):
    """Asks managers of one sort."""

    async def member(self, address: Address) -> dict[str, Any]:
        """What the manager at an address says now, in plain values.

        Raises OSError or ValueError where it says nothing that can be read.
        """
