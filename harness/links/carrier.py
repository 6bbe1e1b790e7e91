"""How do packets come late, at a limited rate, not at all, or back refused, on a kernel that offers nothing for it?

A rule of the bridge hands the packets between two groups to the bridge's own device, by rewriting whom they are
addressed to; there the host's network stack ignores them, since they are for somebody else. This process reads them,
holds each for as long as it shall take, and sends it out through the bridge to whom it was meant for. A packet is either
bridged or carried, never both and never neither; and when this process is gone, none passes.

It is a file of its own that needs nothing but the standard library: `links/shaping.py` hands its text to a Python on
whichever host the bridge is (`python3 -c TEXT tell SOCKET BRIDGE REQUEST`). The first request starts the process, which
takes those that follow on a Unix socket, and ends when its last lane has ended. A request is a JSON object, and so is the answer:

    {"begin": [LANE, …]}  → {"address": the bridge's, "process": …}       {"end": [ID, …]} (none: all) → {}
    {"count": []}         → {ID: counts, …} (of all)          a LANE: id, seed, source, target (ranges), delay_ms,
                                                              jitter_ms, loss_share, rate_bytes_per_s (null: no limit),
                                                              refuse (true: none passes, and its sender is told)
"""

import contextlib
import ctypes
import fcntl
import gc
import heapq
import ipaddress
import json
import os
import random
import select
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# From <linux/if_packet.h>, <asm-generic/socket.h>, <linux/if_ether.h>, <linux/virtio_net.h> and <linux/filter.h>.
SOL_PACKET, PACKET_STATISTICS, PACKET_VNET_HDR = 263, 6, 15
SO_RCVBUFFORCE, SO_SNDBUFFORCE, SO_TIMESTAMPNS, SO_ATTACH_FILTER = 33, 32, 35, 26
SIOCGIFHWADDR = 0x8927
IPV4, ARP = 0x0800, 0x0806
NEEDS_CHECKSUM, GSO_NONE, GSO_TCP4, GSO_ECN = 1, 0, 1, 0x80
PR_SET_TIMERSLACK = 29

VNET = struct.Struct("=BBHHHH")  # flags, kind of GSO, bytes of headers, of a segment, start and place of the checksum
ETHERNET, SOURCE_MAC, IP_SOURCE = 14, slice(6, 12), 26  # of a frame
TCP_CHECKSUM = 16
FIN_PSH, CWR = 0x09, 0x80
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
ICMP_QUESTIONS, PORT_UNREACHABLE = (8, 13), (3, 3)

BUFFER_BYTES = 1 << 26  # for what arrives while this process does something else
LARGEST = 1 << 17
AT_ONCE = 32  # packets taken before those that are due are looked at again
QUEUE_S, QUEUE_BYTES = 0.1, 30_000  # what waits at a limited rate: so long, or so much where that is more
ASK_AGAIN_S, GIVE_UP_S, RETRY_S = 5.0, 1.0, 0.0005  # for the hardware address of a node
LATE_S = 0.001


class Lane:
    """What one shape does to the packets of one direction."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.sources = [ipaddress.ip_network(each) for each in asked["source"]]
        self.targets = [ipaddress.ip_network(each) for each in asked["target"]]
        self.delay_s: float = asked["delay_ms"] / 1000
        self.jitter_s: float = asked["jitter_ms"] / 1000
        self.loss: float = asked["loss_share"]
        self.rate: float = asked["rate_bytes_per_s"] or 0.0
        self.refuse: bool = asked["refuse"]
        self.random = random.Random(asked["seed"])  # so the n-th packet of a lane has the same fate in every run
        self.queue_s = max(QUEUE_S, QUEUE_BYTES / self.rate) if self.rate else 0.0
        self.free_at = 0.0
        self.taken = self.lost = self.overrun = self.late = self.unreachable = 0

    def concerns(self, source: ipaddress.IPv4Address, target: ipaddress.IPv4Address) -> bool:
        return any(source in each for each in self.sources) and any(target in each for each in self.targets)

    def through(self, at: float, packet: "Packet") -> list[tuple[float, "Packet"]]:
        """The parts of a packet that come out, each with its moment; `at` is when it came in."""
        self.taken += packet.segments
        parts = self._survivors(packet) if self.loss else [packet]
        out = []
        for part in parts:
            queued = self._queued(at, part) if self.rate else (at, part)
            if queued:
                leaves, left = queued
                delay = self.delay_s + (self.random.uniform(-self.jitter_s, self.jitter_s) if self.jitter_s else 0)
                out.append((leaves + delay, left))
        return out

    def _survivors(self, packet: "Packet") -> list["Packet"]:
        """What is left when each segment that this packet will become on a wire is lost or not by itself."""
        draw, loss = self.random.random, self.loss
        fates = [draw() < loss for _ in range(packet.segments)]
        self.lost += sum(fates)
        if not any(fates):
            return [packet]
        runs: list[Packet] = []
        first: int | None = None
        for number, gone in enumerate([*fates, True]):
            if gone and first is not None:
                runs.append(packet.part(first, number))
                first = None
            elif not gone and first is None:
                first = number
        return runs

    def _queued(self, at: float, packet: "Packet") -> tuple[float, "Packet"] | None:
        """When the last byte of a packet has left the queue, and what of it has found room there; None when nothing has."""
        begins = max(at, self.free_at)
        room = (self.queue_s - (begins - at)) * self.rate
        # There is less than no room for a packet that came before the last one of those that wait.
        fits = packet.segments if packet.wire_bytes <= room else max(0, int(room / packet.wire_bytes * packet.segments))
        self.overrun += packet.segments - fits
        if not fits:
            return None
        if fits < packet.segments:
            packet = packet.part(0, fits)
        self.free_at = begins + packet.wire_bytes / self.rate
        return self.free_at, packet

    def counts(self) -> dict[str, int]:
        return {
            "taken": self.taken, "lost": self.lost, "overrun": self.overrun, "late": self.late, "unreachable": self.unreachable,
        }  # fmt: skip


class Packet:
    """A frame as the kernel gave it: perhaps many TCP segments in one, which some device would have to part."""

    __slots__ = ("captured", "frame", "headers", "segment", "segments", "vnet", "wire_bytes")

    def __init__(self, vnet: bytes, frame: bytes, captured: float) -> None:
        self.vnet, self.frame, self.captured = vnet, frame, captured
        self.segments, self.segment, self.headers = 1, 0, 0
        self.wire_bytes = len(frame) - ETHERNET
        _, kind, _, segment, _, _ = VNET.unpack(vnet)
        if kind & ~GSO_ECN == GSO_TCP4 and segment:
            begins = _transport(frame)
            self.headers = begins + (frame[begins + 12] >> 4) * 4
            self.segment = segment
            self.segments = max(1, -(-(len(frame) - self.headers) // segment))
            self.wire_bytes += (self.segments - 1) * (self.headers - ETHERNET)

    def part(self, first: int, end: int) -> "Packet":
        """The segments from `first` to before `end`, as one packet, with the headers that they would have had."""
        if (first, end) == (0, self.segments):
            return self
        _, kind, _, segment, _, _ = VNET.unpack(self.vnet)
        begins = _transport(self.frame)
        payload = self.frame[self.headers + first * segment : self.headers + end * segment]
        head = bytearray(self.frame[: self.headers])
        struct.pack_into("!H", head, ETHERNET + 2, self.headers - ETHERNET + len(payload))
        (number,) = struct.unpack_from("!H", head, ETHERNET + 4)
        struct.pack_into("!H", head, ETHERNET + 4, (number + first) & 0xFFFF)
        struct.pack_into("!H", head, ETHERNET + 10, 0)
        struct.pack_into("!H", head, ETHERNET + 10, ~_sum(head[ETHERNET:begins]) & 0xFFFF)
        (sequence,) = struct.unpack_from("!I", head, begins + 4)
        struct.pack_into("!I", head, begins + 4, (sequence + first * segment) & 0xFFFFFFFF)
        if end < self.segments:
            head[begins + 13] &= ~FIN_PSH
        if first:
            head[begins + 13] &= ~CWR
        # What the kernel wants in the place of a checksum that is still to be made: the sum of addresses, protocol, length.
        pseudo = head[IP_SOURCE : IP_SOURCE + 8] + struct.pack("!HH", socket.IPPROTO_TCP, len(head) - begins + len(payload))
        struct.pack_into("!H", head, begins + TCP_CHECKSUM, _sum(pseudo))
        if end - first == 1:
            kind, segment = GSO_NONE, 0
        vnet = VNET.pack(NEEDS_CHECKSUM, kind, self.headers, segment, begins, TCP_CHECKSUM)
        return Packet(vnet, bytes(head) + payload, self.captured)


def _transport(frame: bytes) -> int:
    """Where the header after IP's begins."""
    return ETHERNET + (frame[ETHERNET] & 15) * 4


def _sum(data: bytes | bytearray) -> int:
    """The ones' complement sum of 16-bit words."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def refusal_of(frame: bytes, own: bytes) -> bytes | None:
    """What tells the sender of a frame that nobody is there; `own` is the hardware address that says so.

    A TCP reset, by the rules for a connection that does not exist (RFC 9293, 3.5.2); to anything else "port unreachable"
    (RFC 792). None where nothing may be said: to a reset, to an ICMP error, to a fragment that is not the first.
    """
    begins = _transport(frame)
    (fragment,) = struct.unpack_from("!H", frame, ETHERNET + 6)
    if fragment & 0x1FFF:
        return None
    protocol = frame[ETHERNET + 9]
    if protocol == socket.IPPROTO_TCP:
        answer = _reset(frame, begins)
    elif protocol == socket.IPPROTO_ICMP and frame[begins] not in ICMP_QUESTIONS:
        return None
    else:
        protocol = socket.IPPROTO_ICMP
        (length,) = struct.unpack_from("!H", frame, ETHERNET + 2)
        quoted = frame[ETHERNET : min(begins + 8, ETHERNET + length)]
        answer = _summed(struct.pack("!BBHI", *PORT_UNREACHABLE, 0, 0) + quoted, at=2)
    if answer is None:
        return None
    source, target = frame[IP_SOURCE : IP_SOURCE + 4], frame[IP_SOURCE + 4 : IP_SOURCE + 8]
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(answer), 0, 0x4000, 64, protocol, 0, target, source)
    return frame[SOURCE_MAC] + own + struct.pack("!H", IPV4) + _summed(header, at=10) + answer


def _reset(frame: bytes, begins: int) -> bytes | None:
    source, target, sequence, acknowledged, offset, flags = struct.unpack_from("!HHIIBB", frame, begins)
    if flags & RST:
        return None
    (length,) = struct.unpack_from("!H", frame, ETHERNET + 2)
    payload = (length or len(frame) - ETHERNET) - (begins - ETHERNET) - (offset >> 4) * 4
    if flags & ACK:
        numbers = (acknowledged, 0, 0x50, RST)
    else:
        numbers = (0, (sequence + payload + bool(flags & SYN) + bool(flags & FIN)) & 0xFFFFFFFF, 0x50, RST | ACK)
    header = struct.pack("!HHIIBBHHH", target, source, *numbers, 0, 0, 0)
    pseudo = frame[IP_SOURCE + 4 : IP_SOURCE + 8] + frame[IP_SOURCE : IP_SOURCE + 4]
    pseudo += struct.pack("!HH", socket.IPPROTO_TCP, len(header))
    return _summed(header, at=TCP_CHECKSUM, beside=pseudo)


def _summed(data: bytes, at: int, beside: bytes = b"") -> bytes:
    """Those bytes with their checksum in its place, over what is `beside` them too."""
    checksum = ~_sum(beside + data + bytes(len(data) % 2)) & 0xFFFF
    return data[:at] + struct.pack("!H", checksum) + data[at + 2 :]


class Pair:
    """Two addresses between which packets keep their order: none leaves before the one that came before it."""

    __slots__ = ("lanes", "last", "target")

    def __init__(self, lanes: list[Lane], target: bytes) -> None:
        self.lanes, self.target = lanes, target
        self.last = 0.0  # when the last one leaves


class Neighbours:
    """Who has which hardware address on the bridge; asked by ARP, since the diverting rule has overwritten it."""

    def __init__(self, bridge: str, own: bytes) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.bind((bridge, ARP))
        self.socket.setblocking(False)
        self.own = own
        self.known: dict[bytes, bytes] = {}
        self.asked: dict[bytes, float] = {}

    def of(self, address: bytes, now: float) -> bytes | None:
        """The hardware address of an IP address, or None when nobody has said it yet; asked again every few seconds."""
        known = self.known.get(address)
        if now - self.asked.get(address, -ASK_AGAIN_S) >= (ASK_AGAIN_S if known else RETRY_S * 20):
            self.asked[address] = now
            question = struct.pack("!HHBBH6s4s6s4s", 1, IPV4, 6, 4, 1, self.own, bytes(4), bytes(6), address)
            with contextlib.suppress(OSError):
                self.socket.send(b"\xff" * 6 + self.own + struct.pack("!H", ARP) + question)
        return known

    def listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                said = self.socket.recv(128)
                if len(said) >= ETHERNET + 28 and any(said[28:32]):
                    self.known[said[28:32]] = said[22:28]


class Carrier:
    """Everything that waits, and who it waits for."""

    def __init__(self, bridge: str, listener: socket.socket) -> None:
        self.listener = listener
        self.tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.own = fcntl.ioctl(self.tap, SIOCGIFHWADDR, struct.pack("256s", bridge.encode()))[18:24]
        self.neighbours = Neighbours(bridge, self.own)
        self.tap.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        for force, plain in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
            try:
                self.tap.setsockopt(socket.SOL_SOCKET, force, BUFFER_BYTES)
            except PermissionError:  # as much as this kernel gives to an ordinary user
                self.tap.setsockopt(socket.SOL_SOCKET, plain, BUFFER_BYTES)
        self._only_diverted()
        self.tap.bind((bridge, IPV4))
        self.lanes: dict[str, Lane] = {}
        self.pairs: dict[bytes, Pair] = {}
        self.waiting: list[tuple[float, int, Pair, Packet]] = []
        self.number = self.missed = 0
        self.buffer = bytearray(LARGEST)

    def _only_diverted(self) -> None:
        """No other packet is copied to here: those for the bridge's address that were, at first, for somebody else's."""
        high, low = struct.unpack("!IH", self.own)
        program = [
            (0x28, 0, 0, 0xFFFFF004),  # A = kind of the packet
            (0x15, 0, 5, socket.PACKET_OTHERHOST),
            (0x20, 0, 0, 0),  # A = bytes 0 to 3 of the frame
            (0x15, 0, 3, high),
            (0x28, 0, 0, 4),
            (0x15, 0, 1, low),
            (0x06, 0, 0, 0xFFFFFFFF),  # all of it
            (0x06, 0, 0, 0),  # nothing of it
        ]
        code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
        pointer = struct.pack("HL", len(program), ctypes.addressof(code))
        self.tap.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, pointer)

    def run(self, over: Callable[[], bool]) -> None:
        """Carries until no lane and no packet is left and `over()` says that nobody asks for more."""
        tap, arp, listener = self.tap, self.neighbours.socket, self.listener
        while self.lanes or self.waiting or not over():
            self._send_due()
            pause = max(0.0, self.waiting[0][0] - time.monotonic()) if self.waiting else None
            if not self.lanes and pause is None:
                pause = 0.05
            for ready in select.select([tap, arp, listener], [], [], pause)[0]:
                if ready is tap:
                    self._take()
                elif ready is arp:
                    self.neighbours.listen()
                else:
                    self._answer()

    # --- packets ---

    def _take(self) -> None:
        """Takes some packets that have arrived, and notes when each has to leave."""
        ahead = time.time() - time.monotonic()  # of the clock by which the kernel stamps packets
        for _ in range(AT_ONCE):
            try:
                size, ancillary, _, _ = self.tap.recvmsg_into([self.buffer], 64, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            now = time.monotonic()
            data = bytes(memoryview(self.buffer)[:size])
            packet = Packet(data[: VNET.size], data[VNET.size :], _arrived(ancillary, ahead, now))
            addresses = packet.frame[IP_SOURCE : IP_SOURCE + 8]
            pair = self.pairs.get(addresses) or self._pair(addresses, packet)
            if refusing := [lane for lane in pair.lanes if lane.refuse]:
                self._refuse(packet, refusing)
                continue
            parts = [(packet.captured, packet)]
            for lane in pair.lanes:
                parts = [left for at, part in parts for left in lane.through(at, part)]
            for due, part in parts:
                pair.last = max(pair.last, due)
                self._wait(pair.last, pair, part)

    def _pair(self, addresses: bytes, packet: Packet) -> Pair:
        pair = self.pairs[addresses] = Pair(self._lanes_of(addresses), addresses[4:])
        self.neighbours.known[addresses[:4]] = packet.frame[SOURCE_MAC]
        self.neighbours.of(pair.target, time.monotonic())  # so that it is known when the packet is due
        return pair

    def _lanes_of(self, addresses: bytes) -> list[Lane]:
        source, target = ipaddress.IPv4Address(addresses[:4]), ipaddress.IPv4Address(addresses[4:])
        return [lane for lane in self.lanes.values() if lane.concerns(source, target)]

    def _refuse(self, packet: Packet, lanes: list[Lane]) -> None:
        for lane in lanes:
            lane.taken += packet.segments
            lane.lost += packet.segments
        if refusal := refusal_of(packet.frame, self.own):
            with contextlib.suppress(OSError):
                self.tap.sendmsg([VNET.pack(0, GSO_NONE, 0, 0, 0, 0), refusal])

    def _wait(self, due: float, pair: Pair, packet: Packet) -> None:
        self.number += 1
        heapq.heappush(self.waiting, (due, self.number, pair, packet))

    def _send_due(self) -> None:
        waiting = self.waiting
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            due, _, pair, packet = heapq.heappop(waiting)
            address = self.neighbours.of(pair.target, now)
            if address is None and now - packet.captured < GIVE_UP_S:
                self._wait(now + RETRY_S, pair, packet)
                continue
            sent = address is not None and self._sent(packet, address)
            now = time.monotonic()
            for lane in pair.lanes:
                lane.late += now - due > LATE_S
                lane.unreachable += 0 if sent else packet.segments

    def _sent(self, packet: Packet, address: bytes) -> bool:
        try:
            self.tap.sendmsg([packet.vnet, address, memoryview(packet.frame)[6:]])
        except OSError:  # no room on the way, as on any other; or the bridge is gone
            return False
        return True

    # --- requests ---

    def _answer(self) -> None:
        connection, _ = self.listener.accept()
        with connection, contextlib.suppress(OSError, ValueError):  # who asks may be gone before it has said what
            connection.settimeout(1)
            answer = self._obey(json.loads(_all(connection)))
            connection.sendall(json.dumps(answer).encode())

    def _obey(self, request: dict[str, Any]) -> dict[str, Any]:
        if "begin" in request:
            self._shape({asked["id"]: Lane(asked) for asked in request["begin"]})
            return {"address": self.own.hex(":"), "process": os.getpid()}
        if "end" in request:
            self._shape(dict.fromkeys(request["end"] or self.lanes))
            return {}
        _, missed = struct.unpack("II", self.tap.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))  # since it was asked last
        self.missed += missed
        return {id_: {**lane.counts(), "missed": self.missed} for id_, lane in self.lanes.items()}

    def _shape(self, changed: dict[str, Lane | None]) -> None:
        """From now on these lanes are in force, or no more (None). What waits leaves when it was to leave."""
        lanes: dict[str, Lane | None] = {**self.lanes, **changed}
        self.lanes = {id_: lane for id_, lane in lanes.items() if lane is not None}
        for addresses, pair in self.pairs.items():
            pair.lanes = self._lanes_of(addresses)


def _arrived(ancillary: Sequence[tuple[int, int, bytes]], ahead: float, now: float) -> float:
    """When the kernel had a packet, on this process's clock; `now` where it does not say so credibly."""
    for _, _, data in ancillary:
        if len(data) >= 16:
            seconds, nanoseconds = struct.unpack_from("qq", data)
            at = float(seconds + nanoseconds / 1e9 - ahead)
            if now - 1.0 < at < now:
                return at
    return now


def _all(connection: socket.socket) -> bytes:
    said = b""
    while chunk := connection.recv(1 << 16):
        said += chunk
    return said


# --- one process for one bridge ----------------------------------------------------------------------------------------


def tell(path: str, bridge: str, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request; `{}` where nobody carries and none is asked to begin, with `ended` if one failed, and why."""
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the process does not end while it is spoken to
        try:
            connection = _connected(path)
        except OSError:
            if "begin" not in request:
                return _failure(Path(f"{path}.log"), over=request.get("end") == [])
            _begin(path, bridge)
            connection = _connected(path)
        with connection:
            connection.sendall(json.dumps(request).encode())
            connection.shutdown(socket.SHUT_WR)
            answer: dict[str, Any] = json.loads(_all(connection) or b'{"problem": "the carrier gave no answer"}')
            return answer


def _failure(log: Path, *, over: bool) -> dict[str, Any]:
    """Why nobody carries any more, where one failed; once all is `over`, that is forgotten."""
    told = {"ended": log.read_text().strip().rpartition("\n")[2]} if log.exists() else {}
    if over:
        log.unlink(missing_ok=True)
    return told


def _connected(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _begin(path: str, bridge: str) -> None:
    """Starts the process that carries; returns when it can be spoken to. Raises OSError where it cannot be."""
    for left in (path, f"{path}.log"):
        Path(left).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    carrier = Carrier(bridge, listener)  # here, where whoever asks can still be told what is missing
    if os.fork() == 0:
        try:
            _carry_on(path, carrier)
        except BaseException:  # noqa: BLE001 (nobody else can say what went wrong)
            with open(f"{path}.log", "w") as log:
                traceback.print_exc(file=log)
        finally:
            os._exit(0)
    listener.close()
    carrier.tap.close()
    carrier.neighbours.socket.close()


def _carry_on(path: str, carrier: Carrier) -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.closerange(3, min(carrier.tap.fileno(), carrier.neighbours.socket.fileno(), carrier.listener.fileno()))
    _go_first()
    gc.freeze()
    gc.disable()
    lock = open(f"{path}.lock", "w")  # noqa: SIM115 (held until the process ends)

    def over() -> bool:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if carrier.lanes:
            fcntl.flock(lock, fcntl.LOCK_UN)
            return False
        return True

    carrier.run(over)
    Path(path).unlink(missing_ok=True)


def _go_first() -> None:
    """A packet that is due does not wait for a busy server: as far as this process is allowed to."""
    with contextlib.suppress(OSError):
        os.nice(-20)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    with contextlib.suppress(OSError):
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)


def main(argv: list[str]) -> int:
    """`tell SOCKET BRIDGE REQUEST`: prints the answer as JSON; its `problem` says what cannot be done."""
    _, path, bridge, request = argv
    try:
        answer = tell(path, bridge, json.loads(request))
    except OSError as problem:
        answer = {"problem": str(problem)}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
