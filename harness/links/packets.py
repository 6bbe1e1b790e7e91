"""How is the network between two groups of nodes cut, at one instant, and healed?

One nftables table of the bridge family per run, on the host's network. Every cut is a chain of its own, added and
deleted in one transaction, which counts the packets of each direction: those that it drops, or lets through. The rules
lie on the bridge, not in a node, so they stay in force when a node restarts. A second table, of the same name in the
family inet, keeps out who comes from beyond the host. Nothing but the run's own tables is ever touched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.protocols import Counted, Group

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
            f"add rule bridge {self.table} {chain} ip saddr {_set(source)} ip daddr {_set(target)} counter"
            f' {"drop" if cut else ""} comment "{_from(source)}"'
            for source, target, cut in ((a, b, forth), (b, a, back))
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

    def counted(self, a: Group, b: Group) -> Counted | None:
        """What the cut between two groups did to packets from `a` to `b`; None where there is no cut."""
        listed = json.loads(self.run(f"add table bridge {self.table}\nlist table bridge {self.table}"))
        for entry in listed["nftables"]:
            rule = entry.get("rule")
            if rule and rule["chain"] == _chain(a, b) and rule["comment"] == _from(a):
                packets = next(part["counter"]["packets"] for part in rule["expr"] if "counter" in part)
                return Counted(packets, 0) if any("drop" in part for part in rule["expr"]) else Counted(0, packets)
        return None

    def keep_out(self, subnet: str) -> None:
        """Lets no connection into the nodes' range that comes from beyond this host.

        An engine routes to its containers for whoever asks: to their published ports always, to all of their ports where
        the host forwards packets anyway. Replies pass, and so does what the host itself sends.
        """
        self.run(
            f"add table inet {self.table}\n"
            f"add chain inet {self.table} outside {{ type filter hook forward priority -10; }}\n"
            f"add rule inet {self.table} outside ip daddr {subnet} ip saddr != {subnet} ct state new counter drop"
        )

    def kept_out(self) -> int:
        """How many packets from beyond this host were dropped."""
        listed = json.loads(self.run(f"list table inet {self.table}"))["nftables"]
        return sum(
            part["counter"]["packets"] for entry in listed for part in entry.get("rule", {}).get("expr", ()) if "counter" in part
        )

    def heal(self) -> None:
        """Deletes every cut."""
        self._delete("bridge")

    def remove(self) -> None:
        """Deletes all rules of the run."""
        self._delete("bridge", "inet")

    def _delete(self, *families: str) -> None:
        # Added first, so that deleting is no error where nothing was ever made.
        self.run("\n".join(f"add table {family} {self.table}\ndelete table {family} {self.table}" for family in families))


def _chain(a: Group, b: Group) -> str:
    """One name for one place, from whichever side it is named."""
    return f"cut_{_digest('|'.join(sorted((str(a.ranges), str(b.ranges)))))}"


def _from(group: Group) -> str:
    """Marks a rule with whose packets it counts."""
    return f"from_{_digest(str(group.ranges))}"


def _digest(text: str) -> str:
    """Of characters that nft takes."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _set(group: Group) -> str:
    return "{ " + ", ".join(group.ranges) + " }"
