"""Does the carrier do to packets what a slow, lossy or narrow network would? Without any network."""

from __future__ import annotations

import socket
import struct

import pytest

from harness.links.carrier import ETHERNET, GSO_NONE, GSO_TCP4, NEEDS_CHECKSUM, VNET, Lane, Packet, refusal_of

SEGMENT, HEADERS = 1000, 54


def lane(**given: object) -> Lane:
    about = {"source": ["198.18.1.0/24"], "target": ["198.18.2.7"], "seed": "forth"}
    return Lane({**about, "delay_ms": 0, "jitter_ms": 0, "loss_share": 0, "rate_bytes_per_s": 0, "refuse": False, **given})


def packet(payload: bytes, flags: int = 0x19, segment: int = SEGMENT) -> Packet:
    """TCP from 198.18.1.1 to 198.18.2.7, its checksum still to be made, in segments that nobody has parted yet."""
    addresses = socket.inet_aton("198.18.1.1") + socket.inet_aton("198.18.2.7")
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 40 + len(payload), 65535, 0x4000, 64, 6, 0) + addresses
    tcp = struct.pack("!HHIIBBHHH", 1, 2, 2**32 - 500, 0, 0x50, flags, 1, 0, 0)
    kind = GSO_TCP4 if len(payload) > segment else GSO_NONE
    vnet = VNET.pack(NEEDS_CHECKSUM, kind, HEADERS, segment if kind else 0, 34, 16)
    return Packet(vnet, bytes(12) + b"\x08\x00" + ip + tcp + payload, captured=0.0)


def words(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_only_packets_between_its_groups_concern_a_lane() -> None:
    from ipaddress import IPv4Address as Address

    here, there = Address("198.18.1.9"), Address("198.18.2.7")
    assert lane().concerns(here, there)
    assert not lane().concerns(there, here)
    assert not lane().concerns(here, Address("198.18.2.8"))


def test_a_delay_is_added_to_when_a_packet_came() -> None:
    [(leaves, left)] = lane(delay_ms=20).through(5.0, packet(b"x"))
    assert leaves == pytest.approx(5.020)
    assert left.frame == packet(b"x").frame


def test_jitter_stays_within_its_range_and_uses_all_of_it() -> None:
    jittery = lane(delay_ms=20, jitter_ms=5)
    took = [jittery.through(0.0, packet(b"x"))[0][0] for _ in range(2000)]
    assert 0.015 <= min(took) < 0.0152
    assert 0.0248 < max(took) <= 0.025


def test_the_same_packets_are_lost_in_every_run() -> None:
    def fates() -> list[bool]:
        lossy = lane(loss_share=0.1)
        return [not lossy.through(0.0, packet(b"x")) for _ in range(5000)]

    assert fates() == fates()
    assert sum(fates()) / 5000 == pytest.approx(0.1, abs=0.02)


def test_loss_takes_single_segments_out_of_a_packet_that_holds_many() -> None:
    lossy, payload = lane(loss_share=0.2), bytes(range(256)) * 160
    kept = [left for _ in range(50) for _, left in lossy.through(0.0, packet(payload))]
    assert lossy.taken == 50 * 41
    assert lossy.lost / lossy.taken == pytest.approx(0.2, abs=0.03)
    assert sum(left.segments for left in kept) == lossy.taken - lossy.lost


def test_a_part_has_the_headers_that_its_segments_would_have_had() -> None:
    payload = bytes(range(256)) * 16  # 4096 bytes: five segments, the last of 96
    part = packet(payload, flags=0x99).part(1, 3)
    head, carried = part.frame[:HEADERS], part.frame[HEADERS:]
    assert carried == payload[1000:3000]
    assert struct.unpack_from("!HH", head, 16) == (2040, 0), "its own length, and the second of the numbers, which begin anew"
    assert head[22:24] == b"\x40\x06", "time to live and protocol stay"
    assert words(head[14:34]) == 0xFFFF, "IP's checksum is right"
    assert struct.unpack_from("!I", head, 38)[0] == 500
    assert head[47] == 0x10, "neither the first, which has CWR, nor the last, which has FIN and PSH"
    pseudo = head[26:34] + struct.pack("!HH", 6, 2020)
    assert struct.unpack_from("!H", head, 50)[0] == words(pseudo)
    assert VNET.unpack(part.vnet) == (NEEDS_CHECKSUM, GSO_TCP4, HEADERS, SEGMENT, 34, 16)


def test_a_single_segment_needs_no_parting_any_more() -> None:
    last = packet(bytes(4096)).part(4, 5)
    assert len(last.frame) == HEADERS + 96
    assert last.frame[47] == 0x19
    assert VNET.unpack(last.vnet) == (NEEDS_CHECKSUM, GSO_NONE, HEADERS, 0, 34, 16)
    assert last.segments == 1


def test_packets_wait_for_their_turn_at_a_rate() -> None:
    narrow = lane(rate_bytes_per_s=100_000)
    size = len(packet(bytes(960)).frame) - ETHERNET
    assert size == 1000
    leaves = [narrow.through(1.0, packet(bytes(960)))[0][0] for _ in range(3)]
    assert leaves == pytest.approx([1.01, 1.02, 1.03])
    assert narrow.through(9.0, packet(bytes(960)))[0][0] == pytest.approx(9.01), "nothing is saved up while nobody sends"


def test_the_queue_of_a_rate_is_bounded() -> None:
    narrow = lane(rate_bytes_per_s=1_000_000)  # a tenth of a second: 100 packets of 1000 bytes
    left = [narrow.through(0.0, packet(bytes(960))) for _ in range(150)]
    assert len([one for one in left if one]) == pytest.approx(100, abs=1)
    assert narrow.overrun == pytest.approx(50, abs=1)


def test_a_packet_that_is_older_than_the_one_before_it_finds_no_room_that_there_is_not() -> None:
    """When a machine stood still, the first packets are taken for new ones, and those behind them say how old they are."""
    narrow = lane(rate_bytes_per_s=1_000_000)
    assert all(narrow.through(5.0, packet(bytes(960))) for _ in range(90))
    assert narrow.through(4.0, packet(bytes(960))) == []
    assert narrow.through(4.0, packet(bytes(4096))) == []
    assert narrow.overrun == 6


def test_of_a_packet_that_holds_many_as_many_segments_enter_the_queue_as_fit() -> None:
    narrow = lane(rate_bytes_per_s=1_000)  # room for 30,000 bytes
    [(_, left)] = narrow.through(0.0, packet(bytes(40_000)))
    assert (left.segments, narrow.overrun) == (28, 12)


# --- who is refused ----------------------------------------------------------------------------------------------------

OWN = bytes.fromhex("020000000009")


def checked(frame: bytes, protocol: int) -> bytes:
    """What follows the IP header of a refusal, all of whose checksums are right."""
    header, rest = frame[ETHERNET : HEADERS - 20], frame[HEADERS - 20 :]
    assert words(header) == 0xFFFF
    assert header[9] == protocol
    assert (socket.inet_ntoa(header[12:16]), socket.inet_ntoa(header[16:20])) == ("198.18.2.7", "198.18.1.1")
    pseudo = header[12:20] + struct.pack("!HH", protocol, len(rest)) if protocol == socket.IPPROTO_TCP else b""
    assert words(pseudo + rest + bytes(len(rest) % 2)) == 0xFFFF
    return rest


def test_who_opens_a_connection_is_answered_by_a_reset_that_acknowledges_it() -> None:
    refusal = refusal_of(packet(b"", flags=0x02).frame, OWN)
    assert refusal is not None
    assert refusal[:ETHERNET] == bytes(6) + OWN + b"\x08\x00"
    ports_and_numbers = struct.unpack_from("!HHIIBB", checked(refusal, socket.IPPROTO_TCP))
    assert ports_and_numbers == (2, 1, 0, 2**32 - 499, 0x50, 0x14)


def test_an_open_connection_is_reset_at_the_number_that_its_end_expects() -> None:
    frame = bytearray(packet(b"data", flags=0x18).frame)
    struct.pack_into("!I", frame, HEADERS - 20 + 8, 77)  # what it acknowledges
    refusal = refusal_of(bytes(frame), OWN)
    assert refusal is not None
    assert struct.unpack_from("!HHIIBB", checked(refusal, socket.IPPROTO_TCP)) == (2, 1, 77, 0, 0x50, 0x04)


def of_protocol(protocol: int, payload: bytes) -> bytes:
    frame = bytearray(packet(payload).frame)
    frame[ETHERNET + 9] = protocol
    return bytes(frame[: HEADERS - 20]) + payload


def test_a_datagram_is_answered_by_port_unreachable_which_quotes_it() -> None:
    datagram = of_protocol(socket.IPPROTO_UDP, b"ports and length and more")
    refusal = refusal_of(datagram, OWN)
    assert refusal is not None
    said = checked(refusal, socket.IPPROTO_ICMP)
    assert said[:2] == b"\x03\x03"
    assert said[8:] == datagram[ETHERNET : HEADERS - 20 + 8]


@pytest.mark.parametrize(
    "frame",
    [packet(b"", flags=0x04).frame, of_protocol(socket.IPPROTO_ICMP, b"\x03\x03 an error itself")],
    ids=["reset", "ICMP error"],
)
def test_a_refusal_is_never_refused(frame: bytes) -> None:
    assert refusal_of(frame, OWN) is None
