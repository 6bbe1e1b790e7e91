"""How is the network between two groups of nodes cut, at one instant, and healed?

One nftables table of the bridge family per run, on the host's network. Every cut is a chain of its own, added and
deleted in one transaction, which counts the packets of each direction: those that it drops, or lets through. The rules
lie on the bridge, not in a node, so they stay in force when a node restarts. A second table, of the same name in the
family inet, keeps out who comes from beyond the host. Nothing but the run's own tables is ever touched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from harness.errors import ClusterError
from harness.links.shaping import Carrier
from harness.protocols import Carried, Counted, Group, Shape

Run = Callable[[str], str]  # an nft script → what it printed; raises ClusterError when nft refused it


@dataclass(frozen=True)
class Packets:
    """The rules of one run.

    `run` gives an nft script to the packet helper, which prints JSON; `carrier` carries what is shaped.
    """

    run: Run
    table: str
    carrier: Carrier | None = None

    @contextmanager
    def drop(self, a: Group, b: Group, *, forth: bool = True, back: bool = True) -> Iterator[None]:
        """Drops packets from `a` to `b` (forth) and from `b` to `a` (back), in one transaction.

        Raises ClusterError when the same two groups are cut already.
        """
        chain = chain_of(a, b)
        ways = [(a, b, "drop" if forth else ""), (b, a, "drop" if back else "")]
        # `create` refuses a chain that is there: two cuts of one place would heal each other. What is shaped is diverted
        # before it is forwarded, and comes back as what this host itself sends: a cut is in both places.
        with self._chains({chain: "forward priority 0", f"{chain}_shaped": "output priority 0"}, ways):
            yield

    def counted(self, a: Group, b: Group) -> Counted | None:
        """What the cut between two groups did to packets from `a` to `b`; None where there is no cut."""
        listed = json.loads(self.run(f"add table bridge {self.table}\nlist table bridge {self.table}"))
        rules = [entry["rule"] for entry in listed["nftables"] if "rule" in entry]
        chains = (chain_of(a, b), f"{chain_of(a, b)}_shaped")
        found = [rule["expr"] for rule in rules if rule["chain"] in chains and rule.get("comment") == mark_of(a)]
        if not found:
            return None
        packets = sum(part["counter"]["packets"] for rule in found for part in rule if "counter" in part)
        return Counted(packets, 0) if any("drop" in part for part in found[0]) else Counted(0, packets)

    @contextmanager
    def shape(self, a: Group, b: Group, shape: Shape, *, forth: bool = True, back: bool = True) -> Iterator[None]:
        """Shapes packets from `a` to `b` (forth) and from `b` to `a` (back); diverts them from one instant to another."""

        def divert(chain: str, address: str) -> AbstractContextManager[None]:
            to = f"ether daddr set {address}"
            ways = [(a, b, to)] * forth + [(b, a, to)] * back
            return self._chains({chain: "prerouting priority -300"}, ways)

        with self._carrier().shape(a, b, shape, divert, forth=forth, back=back):
            yield

    def carried(self, a: Group, b: Group) -> Carried | None:
        """What became of packets from `a` to `b` under all shapes that they have now; None where they have none."""
        return self._carrier().carried(a, b)

    def _carrier(self) -> Carrier:
        if self.carrier is None:
            raise ClusterError("packets cannot be shaped where there is no bridge")
        return self.carrier

    @contextmanager
    def _chains(self, hooks: Mapping[str, str], ways: Sequence[tuple[Group, Group, str]]) -> Iterator[None]:
        """Chains that do the same at each hook, made in one transaction, and deleted in another."""
        lines = [f"add table bridge {self.table}"]
        for chain, hook in hooks.items():
            lines.append(f"create chain bridge {self.table} {chain} {{ type filter hook {hook}; }}")
            for source, target, act in ways:
                what = f"ip saddr {_set(source)} ip daddr {_set(target)} counter {act}"
                lines.append(f'add rule bridge {self.table} {chain} {what} comment "{mark_of(source)}"')
        self.run("\n".join(lines))
        try:
            yield
        finally:
            self.run("\n".join(f"{verb} chain bridge {self.table} {chain}" for chain in hooks for verb in ("flush", "delete")))

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
        """Deletes every cut, and ends every shape."""
        self._delete("bridge")
        if self.carrier:
            self.carrier.end()

    def remove(self) -> None:
        """Deletes all rules of the run."""
        self._delete("bridge", "inet")

    def _delete(self, *families: str) -> None:
        # Added first, so that deleting is no error where nothing was ever made.
        self.run("\n".join(f"add table {family} {self.table}\ndelete table {family} {self.table}" for family in families))


def chain_of(a: Group, b: Group) -> str:
    """One name for one place, from whichever side it is named."""
    return f"cut_{_digest('|'.join(sorted((str(a.ranges), str(b.ranges)))))}"


def mark_of(group: Group) -> str:
    """Marks a rule with whose packets it counts."""
    return f"from_{_digest(str(group.ranges))}"


def _digest(text: str) -> str:
    """Of characters that nft takes."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _set(group: Group) -> str:
    return "{ " + ", ".join(group.ranges) + " }"
