"""Which nodes, zones or links does `zone of writer` mean right now?

A target is words until its fault fires: only then is it known who the writer is. Nothing here
touches a cluster; who is what is handed in, and what was meant is handed out.

    nodes   writer · one replica · every replica · node(pg-az-a) · one manager · database in zone(az-b)
            writer of shard(1) · one replica of shard(1) · every node of shard(1) · writer of shard_of(user:42)
    zones   zone(az-b) · zone of writer · zone of one replica · zone of writer of shard(1)
    links   clients · clients in zone(az-b) · clients outside zone of writer · clients to reader
"""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from harness.endpoints import role_of
from harness.errors import TargetError, suggestion
from harness.protocols import NodeSpec

NODE_ROLES = ("database", "manager", "router", "proxy")
ENDPOINTS = ("writer", "reader")
EXAMPLES = (
    "writer",
    "one replica",
    "every replica",
    "node(pg-az-a)",
    *(f"one {role}" for role in NODE_ROLES),
    *(f"{role} in zone(az-b)" for role in NODE_ROLES),
    "zone(az-b)",
    "zone of writer",
    "zone of one replica",
    "writer of shard(1)",
    "every node of shard(1)",
    "writer of shard_of(user:42)",
    "zone of writer of shard(1)",
    "clients",
    "clients in zone(az-b)",
    "clients outside zone of writer",
    "clients to writer",
    "clients in zone(az-b) to reader",
)

_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_KEY = r"[^()\s]+"
_SHARD = rf"shard\({_NAME}\)|shard_of\({_KEY}\)"
_ONE = rf"(?:writer|one replica)(?: of (?:{_SHARD}))?"
_ZONE = rf"zone\({_NAME}\)|zone of {_ONE}"
_NODE = (
    rf"{_ONE}|every replica(?: of (?:{_SHARD}))?|every node of (?:{_SHARD})|node\({_NAME}\)"
    rf"|(?:{'|'.join(NODE_ROLES)}) in zone\({_NAME}\)|one (?:{'|'.join(NODE_ROLES)})"
)
_LINK = rf"clients(?: (?:in|outside) (?:{_ZONE}))?(?: to (?:{'|'.join(ENDPOINTS)}))?"
PATTERN = rf"^(?:{_NODE}|{_ZONE}|{_LINK})$"

_NAMED = re.compile(rf"(?P<what>node|zone)\((?P<name>{_NAME})\)")
_OF_SHARD = re.compile(rf"(?P<who>.*) of (?:shard\((?P<shard>{_NAME})\)|shard_of\((?P<key>{_KEY})\))")
_LINK_PARTS = re.compile(rf"clients(?: (?P<side>in|outside) (?P<zone>{_ZONE}))?(?: to (?P<endpoint>\w+))?")


@dataclass(frozen=True)
class NodeTarget:
    """Nodes: of a cluster role (`primary`, `replica`), of a node role (`manager`, …), in a zone, of a shard, or by name.

    The shard is named, or it is the one that keeps a `key`. `one` picks one of those that match, at random; without it all of
    them are meant.
    """

    sort: ClassVar[str] = "nodes"

    text: str
    cluster_role: str | None = None
    node_role: str | None = None
    zone: str | None = None
    name: str | None = None
    one: bool = False
    shard: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class ZoneTarget:
    """A zone, by name or as the one that a node lives in."""

    sort: ClassVar[str] = "zones"

    text: str
    name: str | None = None
    of: NodeTarget | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class LinkTarget:
    """The paths of clients to `endpoint` (None: to every one), from inside or outside a zone (None: from all)."""

    sort: ClassVar[str] = "links"

    text: str
    zone: ZoneTarget | None = None
    outside: bool = False
    endpoint: str | None = None

    def __str__(self) -> str:
        return self.text


Target = NodeTarget | ZoneTarget | LinkTarget
ShardOf = Callable[[str], str]


@dataclass(frozen=True)
class Resolved:
    """What a target meant when it was resolved: one of the three is filled, in the topology's order.

    `links` are pairs (client zone, endpoint).
    """

    nodes: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What was hit, in words, as the history records it: `az-a to writer` for a link."""
        return self.nodes or self.zones or tuple(f"{zone} to {endpoint}" for zone, endpoint in self.links)


# --- words → target ------------------------------------------------------------------------------------------


def parse(text: str) -> Target:
    """The target that a text means. Raises ValueError, with what would be right, for one that means none."""
    words = " ".join(text.split())
    if not re.fullmatch(PATTERN, words):
        raise ValueError(f"no target called '{words}'{_similar(words)}")
    if words.startswith("clients"):
        return _link(words)
    if words.startswith("zone"):
        return _zone(words)
    return _node(words)


def _node(words: str) -> NodeTarget:
    if of := _OF_SHARD.fullmatch(words):
        who = NodeTarget(words, node_role="database") if of["who"] == "every node" else _node(of["who"])
        return replace(who, text=words, shard=of["shard"], key=of["key"])
    if words == "writer":
        return NodeTarget(words, cluster_role="primary")
    if words.endswith(" replica"):
        return NodeTarget(words, cluster_role="replica", one=words.startswith("one "))
    if words.startswith("one "):
        return NodeTarget(words, node_role=words.removeprefix("one "), one=True)
    role, _, place = words.partition(" in ")
    named = _NAMED.fullmatch(place or words)
    assert named, f"PATTERN let '{words}' through"
    return NodeTarget(words, node_role=role, zone=named["name"]) if place else NodeTarget(words, name=named["name"])


def _zone(words: str) -> ZoneTarget:
    named = _NAMED.fullmatch(words)
    if named:
        return ZoneTarget(words, name=named["name"])
    return ZoneTarget(words, of=_node(words.removeprefix("zone of ")))


def _link(words: str) -> LinkTarget:
    parts = _LINK_PARTS.fullmatch(words)
    assert parts, f"PATTERN let '{words}' through"
    zone = _zone(parts["zone"]) if parts["zone"] else None
    return LinkTarget(words, zone, outside=parts["side"] == "outside", endpoint=parts["endpoint"])


def _similar(words: str) -> str:
    """The closest target, with the writer's own names in its parentheses."""
    names = re.findall(r"\(([^()]*)\)", words)
    bare = re.sub(r"\([^()]*\)", "()", words)
    shapes = {re.sub(r"\([^()]*\)", "()", example): example for example in EXAMPLES}
    close = difflib.get_close_matches(bare, shapes, n=1)
    if not close:
        return f"; known: {', '.join(EXAMPLES)}"
    example = close[0].replace("()", f"({names[0]})") if names and names[0] else shapes[close[0]]
    return f"; did you mean '{example}'?"


# --- target → nodes, zones, links ----------------------------------------------------------------------------


def resolve(
    target: Target,
    specs: Sequence[NodeSpec],
    roles: Mapping[str, str],
    rng: random.Random,
    endpoints: Sequence[str] = ENDPOINTS,
    shard_of: ShardOf | None = None,
) -> Resolved:
    """What `target` means now.

    `specs` are the nodes that there are, `roles` what each database says of itself (node → primary, replica,
    unknown), `endpoints` what the topology offers, `shard_of` says which shard keeps a key now; `rng` makes the choice of `one …`
    repeatable.
    Raises TargetError, with what was seen, when nothing matches, or two nodes both call themselves primary.
    """
    if isinstance(target, NodeTarget):
        return Resolved(nodes=tuple(spec.name for spec in _nodes(_placed(target, shard_of), specs, roles, rng)))
    if isinstance(target, ZoneTarget):
        return Resolved(zones=_zones(target, specs, roles, rng, shard_of))
    zones = tuple(dict.fromkeys(spec.zone for spec in specs))
    if target.zone:
        chosen = _zones(target.zone, specs, roles, rng, shard_of)
        zones = tuple(zone for zone in zones if (zone in chosen) != target.outside)
    links = tuple((zone, name) for zone in zones for name in endpoints if target.endpoint in (None, name, role_of(name)))
    if not links:
        raise TargetError(f"target '{target}' matched no link; endpoints: {', '.join(endpoints)}; {_seen(specs, roles)}")
    return Resolved(links=links)


def _placed(target: NodeTarget, shard_of: ShardOf | None) -> NodeTarget:
    """The target with the shard in place of a key, if it names one."""
    if not target.key:
        return target
    if shard_of is None:
        raise TargetError(f"target '{target}' names a key, and the topology has no shards")
    return replace(target, shard=shard_of(target.key), key=None)


def _nodes(target: NodeTarget, specs: Sequence[NodeSpec], roles: Mapping[str, str], rng: random.Random) -> list[NodeSpec]:
    found = [spec for spec in specs if _matches(target, spec, roles)]
    if not found:
        raise TargetError(f"target '{target}' matched no node; {_seen(specs, roles)}")
    if target.cluster_role == "primary" and len(found) > 1 and any(spec.role == "database" and not spec.shard for spec in specs):
        found = [spec for spec in found if not spec.shard]  # the primary of what is not in parts; a cache in front of it may be
    if target.cluster_role == "primary" and len(found) > 1:
        raise TargetError(f"target '{target}' is not one node; {_seen(specs, roles)}")
    return [rng.choice(found)] if target.one else found


def _matches(target: NodeTarget, spec: NodeSpec, roles: Mapping[str, str]) -> bool:
    return (
        target.name in (None, spec.name)
        and target.zone in (None, spec.zone)
        and target.node_role in (None, spec.role)
        and target.shard in (None, spec.shard)
        and target.cluster_role in (None, roles.get(spec.name))
    )


def _zones(
    target: ZoneTarget, specs: Sequence[NodeSpec], roles: Mapping[str, str], rng: random.Random, shard_of: ShardOf | None
) -> tuple[str, ...]:
    if target.of:
        return tuple(spec.zone for spec in _nodes(_placed(target.of, shard_of), specs, roles, rng))
    if not any(spec.zone == target.name for spec in specs):
        raise TargetError(f"target '{target}' matched no zone; {_seen(specs, roles)}")
    return (str(target.name),)


def _seen(specs: Sequence[NodeSpec], roles: Mapping[str, str]) -> str:
    nodes = (f"{spec.name} ({spec.zone}, {roles.get(spec.name, spec.role)})" for spec in specs)
    return f"seen: {', '.join(nodes) or 'no node at all'}"


# --- before anything runs ------------------------------------------------------------------------------------


def never_matches(
    target: Target, specs: Sequence[NodeSpec], zones: Sequence[str], endpoints: Sequence[str], *, grows: bool = False
) -> str | None:
    """Why `target` cannot match whatever the roles will be, with a suggestion; None when it can.

    `specs`, `zones` and `endpoints` are all that the topology will have; one that `grows` may get nodes and shards later.
    """
    if isinstance(target, LinkTarget):
        if target.endpoint not in (None, *endpoints, *map(role_of, endpoints)):
            return f"the topology has no endpoint called '{target.endpoint}'{suggestion(str(target.endpoint), endpoints)}"
        return never_matches(target.zone, specs, zones, endpoints, grows=grows) if target.zone else None
    if isinstance(target, ZoneTarget) and target.of:
        return never_matches(target.of, specs, zones, endpoints, grows=grows)
    zone = target.name if isinstance(target, ZoneTarget) else target.zone
    if zone not in (None, *zones):
        return f"the topology has no zone called '{zone}'{suggestion(str(zone), zones)}"
    return _no_node(target, specs, grows) if isinstance(target, NodeTarget) else None


def _no_node(target: NodeTarget, specs: Sequence[NodeSpec], grows: bool) -> str | None:
    shards = list(dict.fromkeys(spec.shard for spec in specs if spec.shard))
    if (target.shard or target.key) and not shards:
        return f"the topology has no shards, so '{target}' means nothing"
    if grows and (target.shard or target.key or target.name):
        return None
    if target.shard and target.shard not in shards:
        return f"the topology has no shard called '{target.shard}'; it has {', '.join(shards)}"
    if target.cluster_role == "primary" and len(shards) > 1 and not (target.shard or target.key):
        return f"the topology has {len(shards)} shards, each with a writer of its own; write 'writer of shard({shards[0]})'"
    # Who will be primary is not known yet, but it will be a database.
    wanted = target if target.cluster_role is None else NodeTarget(target.text, node_role="database", shard=target.shard)
    if any(_matches(wanted, spec, {}) for spec in specs):
        return None
    if target.name:
        return f"the topology has no node called '{target.name}'{suggestion(target.name, (spec.name for spec in specs))}"
    return f"the topology has no node that '{target}' could mean; {_seen(specs, {})}"
