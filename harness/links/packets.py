"""How is the network between two groups of nodes cut, at one instant, and healed?

One nftables table of the bridge family per run, on the host's network. Every cut is a chain of its own,
added and deleted in one transaction. The rules lie on the bridge, not in a node, so they stay in force
when a node restarts; nothing but the run's own table is ever touched.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness.protocols import Cut, Group

Run = Callable[[str], str]  # an nft script → what it printed; raises ClusterError when nft refused it


@dataclass(frozen=True)
class _Chain:
    run: Run
    table: str
    name: str

    def packets(self) -> int:
        listed = json.loads(self.run(f"list chain bridge {self.table} {self.name}"))
        return sum(
            part["counter"]["packets"]
            for entry in listed["nftables"]
            for part in entry.get("rule", {}).get("expr", ())
            if "counter" in part
        )


@dataclass(frozen=True)
class Packets:
    """The rules of one run. `run` gives an nft script to the packet helper, which prints JSON."""

    run: Run
    table: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextmanager
    def drop(self, a: Group, b: Group, *, forth: bool = True, back: bool = True) -> Iterator[Cut]:
        """Drops packets from `a` to `b` (forth) and from `b` to `a` (back), in one transaction."""
        chain = _Chain(self.run, self.table, f"cut{next(self._numbers)}")
        rules = [
            f"add rule bridge {self.table} {chain.name} ip saddr {_set(source)} ip daddr {_set(target)} counter drop"
            for source, target, wanted in ((a, b, forth), (b, a, back))
            if wanted
        ]
        self.run(
            f"add table bridge {self.table}\n"
            f"add chain bridge {self.table} {chain.name} {{ type filter hook forward priority 0; }}\n" + "\n".join(rules)
        )
        try:
            yield chain
        finally:
            self.run(f"flush chain bridge {self.table} {chain.name}\ndelete chain bridge {self.table} {chain.name}")

    def remove(self) -> None:
        """Deletes the run's table, with all that is in it."""
        # Added first, so that deleting it is no error when nothing was ever cut.
        self.run(f"add table bridge {self.table}\ndelete table bridge {self.table}")


def _set(group: Group) -> str:
    return "{ " + ", ".join(group.ranges) + " }"
