"""What does a Redis Cluster answer to the cheapest write and read of each shard's data, and who owns which slots?

A client that finds its way as an application's would: it learns who owns what from any member, goes there, follows MOVED and ASK,
and learns anew when a connection is lost. It never sends anything twice that may have been carried out.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.clock import MILLISECOND_NS, now_ns
from harness.probes._resp import Lost, Resp, Said, connected
from harness.probes.contract import Address, Answered
from harness.recording import Outcome
from harness.slots import slot_of
from harness.ways import way

OK = Answered(Outcome.OK)
REDIRECTED_MAX = 5  # as most clients do
LEARNS_EVERY_NS = 100 * MILLISECOND_NS
LEARNS_WITHIN_S = 0.5  # from one member; then the next one is asked
ROLES = {"master": "primary", "slave": "replica"}
Place = tuple[str, int]


@dataclass(frozen=True)
class Owners:
    """Who serves a slot: the primary first, then its replicas."""

    primary: Place
    replicas: Sequence[Place] = ()


@dataclass
class Map:
    """Who owns which slot, as a member last told; one for all connections of a process.

    `learn` asks one member. The file `members`, once it is there, says where to begin instead of `seeds`.
    """

    seeds: Sequence[Place]
    learn: Callable[[Place], Awaitable[Any]]
    owners: dict[int, Owners] = field(default_factory=dict)
    _learning: asyncio.Task[None] | None = None
    _learned: int = 0
    _told_by: Place | None = None
    members: Path | None = None
    _written: int = 0

    async def ready(self) -> None:
        """Returns when every slot was looked for once. Raises ConnectionError when no member tells."""
        if not self.owners:
            self.stale()
            if self._learning is not None:
                await asyncio.wait({self._learning})
        if not self.owners:
            raise ConnectionError("no member of the cluster answers")

    def stale(self) -> None:
        """What is known led astray: it is learned anew, at most every 100 ms and beside whatever else goes on."""
        if (self._learning is None or self._learning.done()) and now_ns() - self._learned > LEARNS_EVERY_NS:
            self._learning = asyncio.create_task(self._learn())

    async def _learn(self) -> None:
        known = dict.fromkeys(place for owners in self.owners.values() for place in (owners.primary, *owners.replicas))
        # Who told last is asked first: where clients began, there may be nobody any more.
        for place in dict.fromkeys((*self._anew(), *([self._told_by] if self._told_by else []), *known, *self.seeds)):
            try:
                async with asyncio.timeout(LEARNS_WITHIN_S):
                    said = await self.learn(place)
            except (ConnectionError, TimeoutError, Said, Lost):
                continue
            self._take(said)
            self._told_by = place
            break
        self._learned = now_ns()

    def _anew(self) -> Sequence[Place]:
        """Where clients shall begin from now on, when they were told so: the configuration endpoint leads to another cluster."""
        try:
            written = self.members.stat().st_mtime_ns if self.members else 0
        except FileNotFoundError:
            return ()
        if written == self._written or self.members is None:
            return ()
        self._written = written
        self.seeds = [(host, int(port)) for host, port in json.loads(self.members.read_text())]
        self._told_by = None
        return self.seeds

    def _take(self, said: Any) -> None:
        for first, last, primary, *replicas in said:
            owners = Owners(_place(primary), tuple(_place(one) for one in replicas))
            for slot in range(first, last + 1):
                self.owners[slot] = owners

    def moved(self, slot: int, place: Place) -> None:
        """A member said that another one owns the slot."""
        self.owners[slot] = Owners(place)
        self.stale()


def _place(told: Sequence[Any]) -> Place:
    return told[0].decode(), int(told[1])


class RedisClusterConnection:
    """One client's connections: one to each member that it was led to, and one question under way at most."""

    def __init__(self, client: RedisCluster, address: Address, keys: Sequence[str]) -> None:
        self._client, self._address = client, address
        self._keys = itertools.cycle([(key.encode(), slot_of(key.encode())) for key in keys])
        self._sessions: dict[Place, Resp] = {}
        self._current: Resp | None = None
        self._asking = self._lost = False

    async def open(self) -> None:
        """Connects to where the next question will lead. Raises ConnectionError."""
        await self._session(self._client.begin(self._address))

    async def _session(self, place: Place) -> Resp:
        reached = self._client.way(place) if self._address.leads else place
        session = self._sessions.get(reached)
        if session is None or session.broken is not None:
            session = self._sessions[reached] = await self._client.reach(reached, reads=self._address.leads == "reader")
        self._current = session
        return session

    @property
    def socket(self) -> socket.socket:
        assert self._current is not None, "a connection is opened before it is handed out"
        return self._current.socket

    @property
    def usable(self) -> bool:
        return not self._asking and not self._lost

    async def write(self, value: int) -> Answered:
        """Appends one unique value to the next of its keys. A refusal by a server means that nothing was done."""
        return await self._ask(b"RPUSH", str(value).encode(), lost=Outcome.UNKNOWN)

    async def read(self) -> Answered:
        """Reads the newest value of the next of its keys."""
        return await self._ask(b"LINDEX", b"-1", lost=Outcome.FAILED)

    async def remove(self) -> Answered:
        """Removes the next of its keys."""
        return await self._ask(b"UNLINK", lost=Outcome.UNKNOWN)

    async def _ask(self, command: bytes, *more: bytes, lost: Outcome) -> Answered:
        key, slot = next(self._keys)
        self._asking = True
        try:
            return await self._led(slot, command, key, *more)
        except Said as refusal:
            if refusal.whole.startswith("CLUSTERDOWN"):
                self._client.map.stale()
            return Answered(Outcome.FAILED, str(refusal))
        except ConnectionError as problem:  # while it was led to another member: nothing was sent there
            self._gone()
            return Answered(Outcome.FAILED, str(problem))
        except Lost as loss:
            self._gone()
            return Answered(lost, str(loss))
        finally:
            self._asking = False

    def _gone(self) -> None:
        self._lost = True
        self._client.map.stale()

    async def _led(self, slot: int, *words: bytes) -> Answered:
        """Asks who owns the slot, and whoever it is sent to from there. Raises Said, Lost or ConnectionError."""
        if not self._address.leads:
            await (await self._session((self._address.host, self._address.port))).ask(*words)
            return OK
        place, ask = self._client.serves(slot, self._address.leads), False
        for _ in range(REDIRECTED_MAX):
            session = await self._session(place)
            try:
                if ask:
                    await session.ask(b"ASKING")
                await session.ask(*words)
                return OK
            except Said as said:
                word, _, to = said.whole.rpartition(" ")
                if not word.startswith(("MOVED ", "ASK ")):
                    raise
                host, _, port = to.rpartition(":")
                place, ask = (host, int(port)), word.startswith("ASK ")
                if not ask:
                    self._client.map.moved(slot, place)
        return Answered(Outcome.FAILED, "sent from one to another")

    async def role(self) -> dict[str, Any]:
        """What the server says of itself: its role, the slots that it owns, and whether the cluster is whole in its eyes."""
        try:
            session = await self._session((self._address.host, self._address.port))
            nodes, info = await session.ask(b"CLUSTER", b"NODES"), await session.ask(b"CLUSTER", b"INFO")
        except (Said, Lost, ConnectionError):
            self._lost = True
            return {"role": "unreachable"}
        line = next(line for line in nodes.decode().splitlines() if "myself" in line.split(" ")[2]).split(" ")
        owned = [word for word in line[8:] if not word.startswith("[")]
        role = role_of(line[2].split(","), owned)
        moving = {"moving": len(line) - 8 - len(owned)} if len(line) - 8 > len(owned) else {}
        state = dict(one.split(":", 1) for one in info.decode().split("\r\n") if ":" in one).get("cluster_state", "")
        return {"role": role, "slots": " ".join(owned), "state": state, **moving}

    async def clear(self) -> None:
        """Removes every value that probes wrote, wherever it is now."""
        for shard, keys in self._client.keys.items():
            connection = await self._client.connect(replace(self._address, leads="writer", shard=shard))
            for _ in keys:
                answered = await connection.remove()
                if answered.outcome is not Outcome.OK:
                    raise ConnectionError(answered.error)
            await connection.close()

    async def close(self) -> None:
        for session in self._sessions.values():
            session.close()


def role_of(flags: Sequence[str], owned: Sequence[str]) -> str:
    """What a node is by its own line of CLUSTER NODES. One that calls itself master of no slot is nobody's primary yet."""
    role = next((ROLES[flag] for flag in flags if flag in ROLES), "unreachable")
    return "unknown" if role == "primary" and not owned else role


@dataclass
class RedisCluster:
    """Opens connections as one user, without retries and without TLS.

    `seeds` are members that are asked at first who owns what, `keys` the keys to ask for of each shard, `zone` where this client
    is. Where `through` names a zone's Toxiproxy, every announced address is reached there, at a port of its own. `members` is a
    file that says where to begin once the cluster is another one.
    """

    user: str
    password: str = field(repr=False)
    seeds: Sequence[Sequence[Any]]
    keys: Mapping[str, Sequence[str]]
    zone: str = ""
    through: str = ""
    members: str = ""

    def __post_init__(self) -> None:
        members = Path(self.members) if self.members else None
        self.map = Map([(host, int(port)) for host, port in self.seeds], self._learn, members=members)
        self._slot = {shard: slot_of(keys[0].encode()) for shard, keys in self.keys.items()}
        self._turn = itertools.count()

    async def connect(self, address: Address) -> RedisClusterConnection:
        if address.leads:
            await self.map.ready()
        connection = RedisClusterConnection(self, address, self.keys.get(address.shard, ("probe",)))
        try:
            await connection.open()
        except ConnectionError:
            self.map.stale()
            raise
        return connection

    def where(self, address: Address) -> Address:
        if not address.leads:
            return address
        self.map.stale()  # whoever asks has lost a connection
        return Address(*self.way(self.begin(address)))

    def begin(self, address: Address) -> Place:
        """Who serves the first key of a shard; the address itself where that is meant."""
        if not address.leads:
            return address.host, address.port
        return self.serves(self._slot[address.shard], address.leads)

    def serves(self, slot: int, leads: str) -> Place:
        """Who takes writes of a slot, or one of those that answer reads of it, each in turn."""
        owners = self.map.owners.get(slot)
        if owners is None:
            return self.map.seeds[next(self._turn) % len(self.map.seeds)]
        if leads == "reader" and owners.replicas:
            return owners.replicas[next(self._turn) % len(owners.replicas)]
        return owners.primary

    def way(self, place: Place) -> Place:
        """Where an announced address is reached from here."""
        return way(self.through, *place)

    async def reach(self, place: Place, *, reads: bool) -> Resp:
        session = await connected(Address(*place), self.user, self.password)
        if reads:
            try:
                await session.ask(b"READONLY")
            except (Said, Lost) as problem:
                session.close()
                raise ConnectionError(str(problem)) from None
        return session

    async def _learn(self, place: Place) -> Any:
        session = await self.reach(self.way(place), reads=False)
        try:
            return await session.ask(b"CLUSTER", b"SLOTS")
        finally:
            session.close()
