"""What does each member of a Redis Cluster say of itself, and of the others?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import slots
from harness.errors import ClusterError
from harness.protocols import Cluster, NodeSpec
from harness.resp import Refused, replies
from harness.slots import SLOTS, Range
from harness.talk import Question, talk

PORT = 6379
ANSWERS_WITHIN_S = 2
UNFIT = ("fail", "fail?", "handshake", "noaddr")  # what a member may be in the eyes of another


@dataclass(frozen=True)
class Known:
    """One line of CLUSTER NODES: a member as another one knows it."""

    id: str
    address: str
    flags: Sequence[str]
    follows: str
    slots: Sequence[Range]
    on_their_way: Sequence[str]  # slots that are being moved: `[93->-id]`


@dataclass(frozen=True)
class Member:
    """What a node says of itself; `known` are all members as it knows them, itself among them."""

    spec: NodeSpec
    id: str = ""
    info: Mapping[str, str] = field(default_factory=dict)
    replication: Mapping[str, str] = field(default_factory=dict)
    known: Sequence[Known] = ()

    @property
    def myself(self) -> Known | None:
        return next((one for one in self.known if one.id == self.id), None)

    @property
    def role(self) -> str:
        """`primary`, `replica` or `silent`."""
        if self.myself is None:
            return "silent"
        return "primary" if "master" in self.myself.flags else "replica"

    @property
    def slots(self) -> Sequence[Range]:
        return self.myself.slots if self.myself else ()


def ask(cluster: Cluster, spec: NodeSpec, password: str, *commands: str, within_s: float = ANSWERS_WITHIN_S) -> list[Any]:
    """The replies of a node to commands, asked from its own zone's client node; none where it is silent.

    Raises ClusterError, in the server's own words, when it refuses one.
    """
    said = said_by(cluster, spec, password, *commands, within_s=within_s)
    for command, one in zip(commands, said, strict=False):
        if isinstance(one, Refused):
            raise ClusterError(f"{spec.name} refused {' '.join(command.split()[:3])}: {one}")
    return said


def said_by(cluster: Cluster, spec: NodeSpec, password: str, *commands: str, within_s: float = ANSWERS_WITHIN_S) -> list[Any]:
    """As `ask`, with refusals among the replies."""
    return _said(cluster, [spec], password, commands, within_s)[0]


def _said(
    cluster: Cluster, specs: Sequence[NodeSpec], password: str, commands: Sequence[str], within_s: float
) -> list[list[Any]]:
    text = "\r\n".join([f"AUTH admin {password}", *commands, "QUIT", ""]).encode()
    told = talk(cluster, [Question(spec, PORT, text) for spec in specs], within_s)
    return [replies(one)[1 : 1 + len(commands)] for one in told]


def members(cluster: Cluster, password: str, only: Sequence[str] | None = None) -> dict[str, Member]:
    """Every database node, or those that are named, by its own word."""
    specs = [node.spec for name, node in cluster.nodes.items() if node.spec.role == "database" and (only is None or name in only)]

    def member(spec: NodeSpec, said: Sequence[Any]) -> Member:
        if len(said) < 4 or not all(isinstance(one, str) for one in said):
            return Member(spec)
        return Member(spec, said[0], dict(_pairs(said[1])), dict(_pairs(said[2])), tuple(_known(said[3])))

    asked = ("CLUSTER MYID", "CLUSTER INFO", "INFO replication", "CLUSTER NODES")
    told = _said(cluster, specs, password, asked, ANSWERS_WITHIN_S)
    return {spec.name: member(spec, said) for spec, said in zip(specs, told, strict=True)}


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    """`key:value` lines."""
    return ((key, value) for key, _, value in (line.partition(":") for line in text.split("\r\n")) if key and value)


def _known(text: str) -> Iterable[Known]:
    for line in text.splitlines():
        id_, address, flags, follows, _, _, _, _, *owned = line.split(" ")
        moving = [word for word in owned if word.startswith("[")]
        yield Known(id_, address.split(":")[0], flags.split(","), follows, slots.read(" ".join(owned)), moving)


def unfit(said: Mapping[str, Member]) -> str | None:
    """What is missing of a whole cluster whose replicas are in sync, by the word of each member; None when nothing is."""
    for name, one in said.items():
        if one.myself is None:
            return f"{name} is silent"
        if one.info.get("cluster_state") != "ok":
            return f"{name} says that the cluster is {one.info.get('cluster_state', 'unknown')}"
        for other in one.known:
            if wrong := [flag for flag in other.flags if flag in UNFIT]:
                return f"{name} says that {_name(said, other)} is {wrong[0]}"
        if len(one.known) != len(said):
            return f"{name} knows {len(one.known)} members of {len(said)}"
        if one.myself.on_their_way:
            return f"{name} has slots on their way: {len(one.myself.on_their_way)}"
    return _unowned(said) or _unheard(said) or _out_of_sync(said)


def _name(said: Mapping[str, Member], known: Known) -> str:
    return next((name for name, one in said.items() if one.spec.address == known.address), known.address or known.id[:8])


def _unowned(said: Mapping[str, Member]) -> str | None:
    """Slots without an owner, or with several, and shards without a primary, or with several."""
    shards: dict[str, list[str]] = {one.spec.shard: [] for one in said.values()}
    owners: dict[int, str] = {}
    for name, one in said.items():
        if one.role == "primary":
            shards[one.spec.shard].append(name)
        for slot in slots.slots_of(one.slots) if one.role == "primary" else ():
            if slot in owners:
                return f"{owners[slot]} and {name} both own slot {slot}"
            owners[slot] = name
    for shard, primaries in shards.items():
        if len(primaries) != 1:
            return f"shard {shard} has {len(primaries)} primaries"
    return f"{SLOTS - len(owners)} slots have no owner" if len(owners) < SLOTS else None


def _unheard(said: Mapping[str, Member]) -> str | None:
    """Who does not know yet what slots another one owns: it would tell its clients that nobody serves them."""
    owned = {one.spec.address: (name, one.slots if one.role == "primary" else ()) for name, one in said.items()}
    for name, one in said.items():
        for known in one.known:
            owner, own = owned.get(known.address, ("", known.slots))
            if list(known.slots) != list(own):
                return f"{name} has not heard yet what slots {owner} owns"
    return None


def _out_of_sync(said: Mapping[str, Member]) -> str | None:
    primaries = {one.spec.shard: one for one in said.values() if one.role == "primary"}
    for name, one in said.items():
        if one.role == "primary":
            continue
        assert one.myself is not None, "who is silent was told before"
        if one.myself.follows != primaries[one.spec.shard].id:
            return f"{name} does not follow {primaries[one.spec.shard].spec.name}"
        if one.replication.get("master_link_status") != "up" or one.replication.get("master_sync_in_progress") != "0":
            return f"{name} is not in sync"
    return None
