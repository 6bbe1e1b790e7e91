"""How is the network between two groups of nodes cut, at one instant, and healed?

One nftables table of the bridge family per run, on the host's network. Every cut is a chain of its own,
added and deleted in one transaction. The rules lie on the bridge, not in a node, so they stay in force
when a node restarts; nothing but the run's own table is ever touched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.protocols import Group

Run = Callable[[str], str]  # an nft script → what it printed; raises ClusterError when nft refused it


@dataclass(frozen=True)
class Packets:
    """The rules of one run. `run` gives an nft script to the packet helper, which prints JSON."""

    run: Run
    table: str

    @contextmanager
    def drop(self, a: Group, b: Group, *, forth: bool = True, back: bool = True) -> Iterator[None]:
        """Drops packets from `a` to `b` (forth) and from `b` to `a` (back), in one transaction.

        Raises ClusterError when the same two groups are cut already.
        """
        chain = _chain(a, b)
        rules = [
            f"add rule bridge {self.table} {chain} ip saddr {_set(source)} ip daddr {_set(target)} counter drop"
            for source, target, wanted in ((a, b, forth), (b, a, back))
            if wanted
        ]
        # `create` refuses a chain that is there: two cuts of one place would heal each other.
        self.run(
            f"add table bridge {self.table}\n"
            f"create chain bridge {self.table} {chain} {{ type filter hook forward priority 0; }}\n" + "\n".join(rules)
        )
        try:
            yield
        finally:
            self.run(f"flush chain bridge {self.table} {chain}\ndelete chain bridge {self.table} {chain}")

    def dropped(self, a: Group, b: Group) -> int:
        """How many packets the cut between two groups has dropped; 0 where there is none."""
        listed = json.loads(self.run(f"add table bridge {self.table}\nlist table bridge {self.table}"))
        return sum(
            part["counter"]["packets"]
            for entry in listed["nftables"]
            if (rule := entry.get("rule")) and rule["chain"] == _chain(a, b)
            for part in rule["expr"]
            if "counter" in part
        )

    def remove(self) -> None:
        """Deletes the run's table, with all that is in it."""
        # Added first, so that deleting it is no error when nothing was ever cut.
        self.run(f"add table bridge {self.table}\ndelete table bridge {self.table}")


def _chain(a: Group, b: Group) -> str:
    """One name for one place, of characters that nft takes."""
    return "cut_" + hashlib.sha256(f"{a.ranges}|{b.ranges}".encode()).hexdigest()[:12]


def _set(group: Group) -> str:
    return "{ " + ", ".join(group.ranges) + " }"
