"""How do the nodes of a cluster reach each other, and how are packets between some of them dropped?

One bridge in the cluster's own network namespace, a port of it for every node. Cuts are nftables rules of the bridge
family, as on Docker, where the nft program makes them; here there may be none, so they go to the kernel as it takes them:
netlink messages, all of a change in one transaction (linux/netfilter/nf_tables.h). Links are made by pyroute2, whose
nftables part can neither put several messages into one transaction nor mask addresses that do not end at a byte.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from itertools import product
from typing import Any

from pyroute2 import IPRoute  # type: ignore[import-untyped]

BRIDGE, PORT = "zones", "eth0"  # the bridge, and what a node calls its own end
TABLE = b"harness"

# linux/netlink.h, linux/netfilter/nfnetlink.h
_NETFILTER = 12
_REQUEST, _ACK, _DUMP, _CREATE, _EXCLUSIVE, _APPEND = 1, 4, 0x300, 0x400, 0x200, 0x800
_ERROR, _DONE, _BEGIN, _END = 2, 3, 16, 17
_BRIDGE_FAMILY, _SUBSYSTEM = 7, 10
# linux/netfilter/nf_tables.h
_NEW_TABLE, _NEW_CHAIN, _DELETE_CHAIN, _NEW_RULE, _GET_RULE, _DELETE_RULE = 0, 3, 5, 6, 7, 8
_HOOKS = {"prerouting": 0, "forward": 2, "output": 3}
_DROP, _VERDICT, _REGISTER = 0, 0, 1
_LINK_HEADER, _NETWORK_HEADER, _SOURCE_OFFSET, _PROTOCOL = 0, 1, 12, 1
_NESTED = 0x8000


def make_bridge() -> None:
    """Makes the bridge of a namespace that has nothing yet."""
    with IPRoute() as links:
        links.link("set", index=1, state="up")  # the loopback is always the first
        links.link("add", ifname=BRIDGE, kind="bridge")
        links.link("set", index=links.link_lookup(ifname=BRIDGE)[0], state="up")


def plug(port: str) -> None:
    """Takes a node's outer end into the bridge."""
    with IPRoute() as links:
        bridge, outer = links.link_lookup(ifname=BRIDGE)[0], links.link_lookup(ifname=port)[0]
        links.link("set", index=outer, master=bridge)
        links.link("set", index=outer, state="up")


def join(port: str, address: str, prefix: int, network: int) -> None:
    """Gives this namespace its address; `network` is the bridge's namespace, as an open file, and `port` the outer end's name."""
    with IPRoute() as links:
        links.link("set", index=1, state="up")
        links.link("add", ifname=PORT, kind="veth", peer={"ifname": port, "net_ns_fd": network})
        inner = links.link_lookup(ifname=PORT)[0]
        links.addr("add", index=inner, address=address, prefixlen=prefix)
        links.link("set", index=inner, state="up")


@dataclass(frozen=True)
class Chain:
    """A chain of rules: where in the bridge, and in which order with others, packets pass it."""

    name: str
    hook: str  # prerouting, forward, output
    priority: int = 0


@dataclass(frozen=True)
class Way:
    """One direction: what becomes of packets from any of `sources` to any of `targets`, which are counted."""

    sources: Sequence[str]  # CIDR, or single addresses
    targets: Sequence[str]
    mark: str  # by which its count is found again
    drop: bool = False
    to: str = ""  # the hardware address that they are readdressed to


@dataclass
class Rules:
    """The rules of the namespace in which it is made."""

    _socket: socket.socket = field(
        default_factory=lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
    )

    def make(self, chains: Sequence[Chain], ways: Sequence[Way]) -> None:
        """Makes chains that do the same, in one transaction. Raises OSError: EEXIST when one of them is there already."""
        messages = [(_NEW_TABLE, _CREATE, _text(1, TABLE))]
        for chain in chains:
            hook = _nest(4, _number(1, _HOOKS[chain.hook]) + _number(2, chain.priority & 0xFFFF_FFFF))
            about = _text(1, TABLE) + _text(3, chain.name.encode()) + hook + _text(7, b"filter")
            messages.append((_NEW_CHAIN, _CREATE | _EXCLUSIVE, about))
            for way in ways:
                for source, target in product(way.sources, way.targets):
                    matching = _matching(IPv4Network(source), IPv4Network(target), way)
                    rule = _text(1, TABLE) + _text(2, chain.name.encode()) + matching + _attribute(7, way.mark.encode())
                    messages.append((_NEW_RULE, _CREATE | _APPEND, rule))
        self._transaction(messages)

    def delete(self, chains: Sequence[str]) -> None:
        """Deletes those chains, in one transaction. Raises OSError: ENOENT for one that is not there."""
        messages = []
        for chain in chains:
            messages.append((_DELETE_RULE, 0, _text(1, TABLE) + _text(2, chain.encode())))
            messages.append((_DELETE_CHAIN, 0, _text(1, TABLE) + _text(3, chain.encode())))
        self._transaction(messages)

    def counted(self, chain: str) -> Iterator[tuple[str, bool, int]]:
        """Each rule of a chain: its mark, whether it drops, and how many packets there were."""
        question = _message(_GET_RULE, _REQUEST | _DUMP, _text(1, TABLE) + _text(2, chain.encode()))
        self._socket.send(question)
        while True:
            for kind, body in _messages(self._socket.recv(1 << 17)):
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    _raise_for(body)
                    continue
                about = _attributes(body[4:])
                if about[2].rstrip(b"\0").decode() == chain:
                    packets, drops = _counter(about[4])
                    yield about[7].decode(), drops, packets

    def _transaction(self, messages: Sequence[tuple[int, int, bytes]]) -> None:
        border = struct.pack(">BBH", 0, 0, _SUBSYSTEM)
        sent = _message(_BEGIN, _REQUEST, border, own=True)
        for kind, flags, body in messages:
            sent += _message(kind, _REQUEST | _ACK | flags, body)
        self._socket.send(sent + _message(_END, _REQUEST, border, own=True))
        answered, failed = 0, None
        while answered < len(messages) and failed is None:
            for kind, body in _messages(self._socket.recv(1 << 17)):
                if kind == _ERROR:
                    answered += 1
                    failed = failed or struct.unpack_from("=i", body)[0] or None
        if failed:  # what is still said of this transaction would be taken for an answer to the next
            self._socket.setblocking(False)
            try:
                while self._socket.recv(1 << 17):
                    pass
            except BlockingIOError:
                self._socket.setblocking(True)
            raise OSError(-failed, os.strerror(-failed))


def _matching(source: IPv4Network, target: IPv4Network, way: Way) -> bytes:
    """The expressions of a rule: IPv4 from there to there, counted, and what else is done to it."""
    wanted = source.network_address.packed + target.network_address.packed
    mask = source.netmask.packed + target.netmask.packed
    expressions = [
        (b"meta", _number(1, _REGISTER) + _number(2, _PROTOCOL)),
        (b"cmp", _number(1, _REGISTER) + _number(2, 0) + _nest(3, _attribute(1, b"\x08\x00"))),
        (b"payload", _number(1, _REGISTER) + _number(2, _NETWORK_HEADER) + _number(3, _SOURCE_OFFSET) + _number(4, len(mask))),
        (
            b"bitwise",
            _number(1, _REGISTER) + _number(2, _REGISTER) + _number(3, len(mask))
            + _nest(4, _attribute(1, mask)) + _nest(5, _attribute(1, bytes(len(mask)))),
        ),
        (b"cmp", _number(1, _REGISTER) + _number(2, 0) + _nest(3, _attribute(1, wanted))),
        (b"counter", b""),
    ]  # fmt: skip
    if way.to:  # the first bytes of a frame are whom it is for; a checksum (6, 7) does not cover them
        address = bytes.fromhex(way.to.replace(":", ""))
        expressions.append((b"immediate", _number(1, _REGISTER) + _nest(2, _attribute(1, address))))
        place = _number(2, _LINK_HEADER) + _number(3, 0) + _number(4, len(address))
        expressions.append((b"payload", _number(5, _REGISTER) + place + _number(6, 0) + _number(7, 0)))
    if way.drop:
        expressions.append((b"immediate", _number(1, _VERDICT) + _nest(2, _nest(2, _number(1, _DROP)))))
    return _nest(4, b"".join(_nest(1, _text(1, name) + _nest(2, data)) for name, data in expressions))


def _counter(expressions: bytes) -> tuple[int, bool]:
    """How many packets a rule's counter says, and whether the rule drops."""
    packets, drops = 0, False
    for _, element in _listed(expressions):
        about = _attributes(element)
        data: dict[int, Any] = _attributes(about.get(2, b""))
        if about[1].rstrip(b"\0") == b"counter":
            packets = int.from_bytes(data[2], "big")
        if about[1].rstrip(b"\0") == b"immediate" and 2 in _attributes(data[2]):  # a verdict, not a value
            drops = int.from_bytes(_attributes(_attributes(data[2])[2])[1], "big") == _DROP
    return packets, drops


# --- netlink's form ------------------------------------------------------------------------------------------


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _nest(kind: int, inner: bytes) -> bytes:
    return _attribute(kind | _NESTED, inner)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack(">I", value))


def _text(kind: int, value: bytes) -> bytes:
    return _attribute(kind, value + b"\0")


def _message(kind: int, flags: int, body: bytes, own: bool = False) -> bytes:
    """A message of the nftables subsystem; with `own`, of nfnetlink itself, whose body has its header already."""
    if not own:
        kind, body = _SUBSYSTEM << 8 | kind, struct.pack(">BBH", _BRIDGE_FAMILY, 0, 0) + body
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body + bytes(-len(body) % 4)


def _messages(received: bytes) -> Iterator[tuple[int, bytes]]:
    while received:
        length, kind = struct.unpack_from("=IH", received)
        yield kind, received[16:length]
        received = received[(length + 3) & ~3 :]


def _listed(body: bytes) -> Iterator[tuple[int, bytes]]:
    while len(body) >= 4:
        length, kind = struct.unpack_from("=HH", body)
        yield kind & ~_NESTED, body[4:length]
        body = body[(length + 3) & ~3 :]


def _attributes(body: bytes) -> dict[int, bytes]:
    return dict(_listed(body))


def _raise_for(body: bytes) -> None:
    number = -struct.unpack_from("=i", body)[0]
    if number:
        raise OSError(number, os.strerror(number))
