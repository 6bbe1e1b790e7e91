"""How do slots get from one shard to another while clients go on, whoever of the members fails meanwhile?

Runs in a client node: `python3 -m harness.resharding move|accounted|copy CONFIG`, and prints what came of it as JSON. CONFIG is a
JSON file: `user`, `password`, `port`, `shards` (name → its members' addresses), `within_s`; of `move` `way` and `moves` ([{from,
to, ranges}], shards by name); of `copy` `to` (the shards of another cluster) and `backup` (a file).

`native` lets the source send all of its slots at once (CLUSTER MIGRATESLOTS, Valkey 9), which become the target's in one
instant; when a member fails on the way they stay where they were. `keys` sends slot by slot and key by key (MIGRATE), for every
engine; a slot is half here and half there meanwhile, and clients are sent on by ASK. Either way what was not done is begun again
with whoever is primary then, until the time is over.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from harness.niceness import give_way
from harness.resp import Refused, Server, Word
from harness.slots import SLOTS, Range, ranges_of, read, slot_of, slots_of

AT_ONCE = 8  # slots on their way key by key: each round trip serves so many
COPIED_AT_ONCE = 500
KEYS_AT_ONCE = 50  # of one slot in one MIGRATE, which holds up all else on its source meanwhile
LOOK_EVERY_S = 0.05
MIGRATE_WITHIN_MS = 5000
NICENESS = 10  # moving is work, and the probes beside it must not wake up late for it
GONE = (OSError, EOFError)


class Late(Exception):
    """The time was over."""


@dataclass(frozen=True)
class Move:
    """Slots that shall go from one shard to another."""

    source: str
    target: str
    slots: frozenset[int]


@dataclass
class Cluster:
    """Finds a shard's primary, whoever that is now."""

    user: str
    password: str
    port: int
    shards: Mapping[str, Sequence[str]]
    until: float
    why: str = ""  # what stood in the way last

    def primary(self, shard: str) -> tuple[Server, Known]:
        """The member that is primary by its own word and has been heard of by the others. Raises Late."""
        while True:
            for host in self.shards[shard]:
                with suppress(*GONE, Refused):
                    server = self.at(host)
                    known = _known(server)
                    if known.primary and known.state == "ok":
                        return server, known
                    server.close()
            self.why = f"no member of shard {shard} is its primary"
            self.wait(0.2)

    def at(self, host: str, timeout_s: float = 3) -> Server:
        return Server(host, self.port, self.user, self.password, timeout_s)

    def wait(self, seconds: float) -> None:
        if time.monotonic() > self.until:
            raise Late
        time.sleep(seconds)


@dataclass(frozen=True)
class Known:
    """A member by its own word."""

    id: str
    primary: bool
    state: str
    slots: frozenset[int]


def _known(server: Server) -> Known:
    nodes, info = server.ask_all([("CLUSTER", "NODES"), ("CLUSTER", "INFO")])
    line = next(line for line in nodes.splitlines() if "myself" in line.split(" ")[2]).split(" ")
    state = dict(one.split(":", 1) for one in info.split("\r\n") if ":" in one)["cluster_state"]
    return Known(line[0], "master" in line[2], state, frozenset(slots_of(read(" ".join(line[8:])))))


@dataclass
class Resharding:
    """Carries moves out, one after the other."""

    cluster: Cluster
    way: str
    moves: Sequence[Move]
    began_anew: int = 0
    reasons: list[str] = field(default_factory=list)

    def carry_out(self) -> dict[str, Any]:
        began, wanted = time.monotonic(), sum(len(move.slots) for move in self.moves)
        left = wanted
        try:
            for move in self.moves:
                while slots := self._left(move):
                    self._try(move, slots)
                left -= len(move.slots)
        except Late:
            with suppress(Late, *GONE, Refused):
                left = sum(len(self._left(move)) for move in self.moves)
            return self._told(wanted - left, wanted, began, self.cluster.why or "the time was over")
        return self._told(wanted, wanted, began, "")

    def _told(self, moved: int, wanted: int, began: float, stopped: str) -> dict[str, Any]:
        took_s = round(time.monotonic() - began, 3)
        return {
            "moved": moved, "of": wanted, "way": self.way, "took_s": took_s, "stopped": stopped,
            "began_anew": self.began_anew, "reasons": self.reasons,
        }  # fmt: skip

    def _left(self, move: Move) -> frozenset[int]:
        """What the target does not own yet, by its own word."""
        server, known = self.cluster.primary(move.target)
        server.close()
        return move.slots - known.slots

    def _try(self, move: Move, slots: frozenset[int]) -> None:
        """Moves slots with whoever is primary now; what fails is begun again by the caller."""
        with ExitStack() as open_:
            source, from_ = self.cluster.primary(move.source)
            open_.callback(source.close)
            target, to = self.cluster.primary(move.target)
            open_.callback(target.close)
            try:
                if self.way == "native":
                    self._native(source, target, to.id, slots)
                else:
                    self._forget_the_dead(move.target, target)
                    sources, targets = self._several(source, open_), self._several(target, open_)
                    for batch in _batches(sorted(slots)):
                        self._by_keys(sources, targets, from_.id, to.id, batch)
            except (*GONE, Refused) as problem:
                self.cluster.why = str(problem) or type(problem).__name__
                self.reasons.append(self.cluster.why)
                self.began_anew += 1
                self.cluster.wait(0.2)

    def _forget_the_dead(self, shard: str, primary: Server) -> None:
        """Lets all others forget a primary that died while slots were on their way to it.

        It would come back as it was. When it then hears of a source that has not a slot any more which was on its way to it, it
        takes that slot, with a configuration newer than everybody's, and with that all others that it ever had: from whoever took
        over, who throws their keys away (Valkey 8 and 9; clusterUpdateSlotsConfigWith says that it may).
        """
        nodes = [line.split(" ") for line in primary.ask("CLUSTER", "NODES").splitlines()]
        for id_, address, flags, *_ in nodes:
            if {"master", "fail"} <= set(flags.split(",")) and address.split(":")[0] in self.cluster.shards[shard]:
                for host in (host for hosts in self.cluster.shards.values() for host in hosts):
                    with suppress(*GONE, Refused), closing(self.cluster.at(host)) as member:
                        member.ask("CLUSTER", "FORGET", id_)

    def _several(self, server: Server, open_: ExitStack) -> list[Server]:
        """As many connections to a server as slots are on their way at once."""
        return [server, *(open_.enter_context(closing(self.cluster.at(server.host))) for _ in range(AT_ONCE - 1))]

    def _native(self, source: Server, target: Server, id_: str, slots: frozenset[int]) -> None:
        before = {job["name"] for job in _jobs(source)}
        ends = [str(edge) for range_ in ranges_of(slots) for edge in range_]
        source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *ends, "NODE", id_)
        while True:
            mine = [job for job in _jobs(source) if job["name"] not in before]
            if any(job["state"] in ("failed", "cancelled", "canceled") for job in mine):
                raise Refused("; ".join(job.get("message", job["state"]) for job in mine))
            if mine and all(job["state"] == "success" for job in mine) and slots <= _known(target).slots:
                return
            self.cluster.wait(LOOK_EVERY_S)

    def _by_keys(self, sources: Sequence[Server], targets: Sequence[Server], from_: str, to: str, batch: Sequence[int]) -> None:
        # Each slot by a connection of its own: Valkey answers a SETSLOT once the replicas have it, and does one after the other.
        # The target first: a slot whose source sends clients on, and whose target sends them back, would be nowhere.
        _ask_each(targets, [("CLUSTER", "SETSLOT", slot, "IMPORTING", from_) for slot in batch])
        _ask_each(sources, [("CLUSTER", "SETSLOT", slot, "MIGRATING", to) for slot in batch])
        source, target, left = sources[0], targets[0], batch
        while left:  # asked all at once: between zones, round trips are what takes long
            held = source.ask_all([("CLUSTER", "GETKEYSINSLOT", slot, KEYS_AT_ONCE) for slot in left])
            left = [slot for slot, keys in zip(left, held, strict=True) if keys]
            for keys in filter(None, held):
                self._migrate(source, target, keys)
                self.cluster.wait(0)
        _ask_each(targets, [("CLUSTER", "SETSLOT", slot, "NODE", to) for slot in batch])
        _ask_each(sources, [("CLUSTER", "SETSLOT", slot, "NODE", to) for slot in batch])

    def _migrate(self, source: Server, target: Server, keys: Sequence[str]) -> None:
        to = ("MIGRATE", target.host, target.port, "", 0, MIGRATE_WITHIN_MS)
        who = ("AUTH2", self.cluster.user, self.cluster.password, "KEYS", *keys)
        try:
            source.ask(*to, *who)
        except Refused as refusal:
            if "BUSYKEY" not in str(refusal):  # in the target's own words, or passed on by the source
                raise
            # The one that became primary has what had been moved already. Clients have written to it since: it counts.
            source.ask(*to, "REPLACE", *who)


def _ask_each(servers: Sequence[Server], commands: Sequence[Sequence[Word]]) -> None:
    """Asks as many connections as there are commands, which wait side by side."""
    asked = list(zip(servers, commands, strict=False))
    waiting = [(server, server.send([words])) for server, words in asked]
    for server, count in waiting:
        server.heard(count)


def _batches(slots: Sequence[int]) -> Iterator[Sequence[int]]:
    return (slots[first : first + AT_ONCE] for first in range(0, len(slots), AT_ONCE))


def _jobs(source: Server) -> list[dict[str, str]]:
    """The migrations that a source knows of, under way and over."""
    told = source.ask("CLUSTER", "GETSLOTMIGRATIONS")
    return [{str(key): str(value) for key, value in zip(job[::2], job[1::2], strict=True)} for job in told]


def accounted(cluster: Cluster) -> dict[str, Any]:
    """Whether every key that a primary holds is in a slot that it owns, and how many keys there are."""
    keys, stray = 0, {}
    for shard in cluster.shards:
        server, known = cluster.primary(shard)
        held, *counted = server.ask_all([("DBSIZE",), *(("CLUSTER", "COUNTKEYSINSLOT", slot) for slot in range(SLOTS))])
        owned = sum(counted[slot] for slot in known.slots)
        keys += owned
        if held != owned:
            stray[shard] = held - owned
        server.close()
    return {"keys": keys, "stray": stray}


def copy(old: Cluster, new: Cluster, backup: Path) -> dict[str, Any]:
    """Backs up every key of a cluster that nobody writes to, restores all of them into another one, and compares the two.

    A server refuses what a newer one wrote. What another version, or another hash's seed, writes otherwise is compared by what
    it holds.
    """
    began = time.monotonic()
    sources = {shard: old.primary(shard) for shard in old.shards}
    with open(backup, "w", encoding="ascii") as file:
        keys = sum(_back_up(server, file) for server, _ in sources.values())
    backed_up = time.monotonic()
    targets = {shard: new.primary(shard) for shard in new.shards}
    owned, owner = ({slot: server for server, known in all_.values() for slot in known.slots} for all_ in (sources, targets))
    with open(backup, encoding="ascii") as file:
        for server, commands in _by_owner(file, owner, _restoring):
            server.ask_all(commands)
    restored = time.monotonic()
    differ = 0
    with open(backup, encoding="ascii") as file:
        for server, wanted in _by_owner(file, owner, lambda key, ttl, value: (key, value)):
            held = server.ask_all((("DUMP", key) for key, _ in wanted), raw=True)
            otherwise = [key for one, (key, value) in zip(held, wanted, strict=True) if one != value]
            differ += _differing(server, owned, otherwise)
    there = sum(server.ask("DBSIZE") for server, _ in targets.values())
    return {
        "keys": keys, "there": there, "differ": differ, "backed_up_s": round(backed_up - began, 3),
        "restored_s": round(restored - backed_up, 3), "compared_s": round(time.monotonic() - restored, 3),
    }  # fmt: skip


def _back_up(server: Server, file: IO[str]) -> int:
    """Writes every key of a server as the server itself would write it, with how long it has to live; how many there were."""
    cursor, count = b"0", 0
    while True:
        cursor, keys = server.ask_all([("SCAN", cursor, "COUNT", COPIED_AT_ONCE)], raw=True)[0]
        told = server.ask_all([(command, key) for key in keys for command in ("PTTL", "DUMP")], raw=True)
        for key, ttl, value in zip(keys, told[::2], told[1::2], strict=True):
            if value is not None:  # it may have expired between the two questions
                file.write(f"{key.hex()} {max(0, ttl)} {value.hex()}\n")
                count += 1
        if cursor == b"0":
            return count


def _differing(server: Server, owned: Mapping[int, Server], keys: Sequence[bytes]) -> int:
    """How many of a server's keys hold something else than their owners in another cluster (slot → server)."""
    shared: dict[Server, list[bytes]] = {}
    for key in keys:
        shared.setdefault(owned[slot_of(key)], []).append(key)
    parts = shared.items()
    return sum(
        one != other for source, its in parts for one, other in zip(_content(source, its), _content(server, its), strict=True)
    )


# A value's type → how all of it is asked for.
_ALL: Mapping[str, tuple[Any, ...]] = {
    "string": ("GET",), "list": ("LRANGE", 0, -1), "set": ("SMEMBERS",), "hash": ("HGETALL",),
    "zset": ("ZRANGE", 0, -1, "WITHSCORES"), "stream": ("XRANGE", "-", "+"),
}  # fmt: skip


def _content(server: Server, keys: Sequence[bytes]) -> list[Any]:
    """What each key holds, by its type and in an order that does not depend on the server; None where there is nothing.

    Raises Refused for a type that is not known here.
    """
    kinds = [str(kind) for kind in server.ask_all(("TYPE", key) for key in keys)]
    if unknown := set(kinds) - {*_ALL, "none"}:
        raise Refused(f"a value of the type {min(unknown)} cannot be compared")
    there = [(key, kind) for key, kind in zip(keys, kinds, strict=True) if kind != "none"]
    told = iter(server.ask_all(((_ALL[kind][0], key, *_ALL[kind][1:]) for key, kind in there), raw=True))
    return [None if kind == "none" else (kind, _in_order(kind, next(told))) for kind in kinds]


def _in_order(kind: str, said: Any) -> Any:
    if kind == "hash":
        return sorted(zip(said[::2], said[1::2], strict=True))
    return sorted(said) if kind == "set" else said


Row = Any


def _by_owner(
    file: IO[str], owner: Mapping[int, Server], row: Callable[[bytes, int, bytes], Row]
) -> Iterator[tuple[Server, list[Row]]]:
    """The rows of a backup with the server that each belongs to, some at once."""
    waiting: dict[Server, list[Row]] = {}
    for line in file:
        key, ttl, value = line.split(" ")
        name = bytes.fromhex(key)
        rows = waiting.setdefault(owner[slot_of(name)], [])
        rows.append(row(name, int(ttl), bytes.fromhex(value)))
        if len(rows) == COPIED_AT_ONCE:
            yield owner[slot_of(name)], waiting.pop(owner[slot_of(name)])
    yield from waiting.items()


def _restoring(key: bytes, ttl: int, value: bytes) -> Row:
    return ("RESTORE", key, ttl, value)


def main(argv: list[str]) -> int:
    """`move|accounted|copy CONFIG`."""
    what, path = argv
    config = json.loads(Path(path).read_text())
    until = time.monotonic() + config["within_s"]
    cluster = Cluster(config["user"], config["password"], config["port"], config["shards"], until)
    if what != "move":
        try:
            if what == "copy":
                new = Cluster(config["user"], config["password"], config["port"], config["to"], until)
                print(json.dumps(copy(cluster, new, Path(config["backup"]))))
            else:
                print(json.dumps(accounted(cluster)))
        except (Late, *GONE, Refused) as problem:
            print(json.dumps({"problem": cluster.why or str(problem)}))
        return 0
    give_way(NICENESS)
    moves = [Move(move["from"], move["to"], frozenset(slots_of(map(_range, move["ranges"])))) for move in config["moves"]]
    print(json.dumps(Resharding(cluster, config["way"], moves).carry_out()))
    return 0


def _range(told: Sequence[int]) -> Range:
    return told[0], told[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
