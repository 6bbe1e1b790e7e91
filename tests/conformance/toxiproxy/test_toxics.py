"""What does each toxic measurably do to a connection, in either direction?

Connections are opened after the toxic was added, unless a test is about those that were there before.
"""

from __future__ import annotations

import itertools
import math
import socket
import statistics
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from random import Random

import pytest

from tests.conformance.toxiproxy.wire import Api, Pair, all_of, is_silent, measures, received, trip_ms

Connect = Callable[[], Pair]
MUCH = Random(1).randbytes(3_000_000)
both_streams = pytest.mark.parametrize("stream", ["upstream", "downstream"])


def opposite(stream: str) -> str:
    return "downstream" if stream == "upstream" else "upstream"


def sent_by(sender: socket.socket, data: bytes) -> threading.Thread:
    """Sends all of it, in a thread of its own."""
    thread = threading.Thread(target=sender.sendall, args=[data])
    thread.start()
    return thread


def ms_until_end(receiver: socket.socket, since: float) -> float:
    """From `since` to the end of a connection from which nothing comes any more."""
    assert receiver.recv(1) == b""
    return (time.monotonic() - since) * 1000


# --- none ----------------------------------------------------------------------------------------------------


def test_data_passes_unchanged_both_ways_at_once(connect: Connect) -> None:
    """More than all buffers hold, so that flow control has to work in both directions."""
    pair = connect()
    senders = [sent_by(pair.client, MUCH), sent_by(pair.server, MUCH[::-1])]
    back: list[bytes] = []
    reader = threading.Thread(target=lambda: back.append(received(pair.client, len(MUCH))))
    reader.start()
    there = received(pair.server, len(MUCH))
    for thread in (reader, *senders):
        thread.join(20)
    assert sha256(there).digest() == sha256(MUCH).digest()
    assert sha256(back[0]).digest() == sha256(MUCH[::-1]).digest()


@both_streams
def test_without_a_toxic_a_byte_passes_at_once(connect: Connect, stream: str) -> None:
    """Within a millisecond, half of the time."""
    ends = connect().along(stream)
    assert measures(0, 1, 101, lambda: trip_ms(*ends))


def test_an_end_that_closes_ends_the_other(connect: Connect) -> None:
    """After the last words."""
    for closing, other in (("server", "client"), ("client", "server")):
        pair = connect()
        getattr(pair, closing).sendall(b"last words")
        getattr(pair, closing).close()
        assert all_of(getattr(pair, other)) == b"last words"


def test_a_client_is_closed_when_the_upstream_refuses(api: Api, connect: Connect) -> None:
    """It was accepted, since the proxy cannot know before."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with socket.create_connection(("127.0.0.1", api.proxy(port, "nowhere")), timeout=10) as client:
        assert client.recv(1) == b""


# --- latency -------------------------------------------------------------------------------------------------


@both_streams
def test_a_latency_of_50_ms_measures_50_ms(api: Api, connect: Connect, stream: str) -> None:
    """Give or take 2, and in its direction alone."""
    api.toxic("latency", stream, latency=50)
    pair = connect()
    assert measures(50, 52, 15, lambda: trip_ms(*pair.along(stream)))
    assert measures(0, 2, 15, lambda: trip_ms(*pair.along(opposite(stream))))


@both_streams
def test_a_latency_comes_changes_and_goes_on_a_living_connection(api: Api, connect: Connect, stream: str) -> None:
    """Each time for the next byte on."""
    ends = connect().along(stream)
    assert measures(0, 2, 9, lambda: trip_ms(*ends))
    toxic = api.toxic("latency", stream, latency=40)
    assert measures(40, 42, 9, lambda: trip_ms(*ends))
    assert api.ask("PATCH", toxic, {"attributes": {"latency": 20}})[0] == 200
    assert measures(20, 22, 9, lambda: trip_ms(*ends))
    assert api.ask("DELETE", toxic)[0] == 204
    assert measures(0, 2, 9, lambda: trip_ms(*ends))


def test_two_latencies_add_up(api: Api, connect: Connect) -> None:
    """A toxic acts on what the one before it lets go."""
    for name in ("one", "two"):
        api.toxic("latency", "downstream", name=name, latency=25)
    ends = connect().along("downstream")
    assert measures(50, 53, 9, lambda: trip_ms(*ends))


@both_streams
def test_jitter_stays_in_its_range_and_uses_all_of_it(api: Api, connect: Connect, stream: str) -> None:
    """The chance that 60 trips miss a whole third of the range is one in ten billion."""
    api.toxic("latency", stream, latency=30, jitter=24)
    ends = connect().along(stream)
    trips = []

    def trip() -> float:
        trips.append(trip_ms(*ends))
        return trips[-1]

    assert measures(20, 40, 60, trip)
    trips.sort()
    assert 6 <= trips[0] < 22
    assert trips[-1] > 38
    assert trips[len(trips) * 85 // 100] <= 54 + 2  # the latest may have met a machine that did other things


@both_streams
def test_latency_leaves_a_stream_its_order_and_bandwidth(api: Api, connect: Connect, stream: str) -> None:
    """Each chunk's delay counts from its own arrival: 3 MB take about one delay, not one for each chunk."""
    api.toxic("latency", stream, latency=200, jitter=50)
    sender, receiver = connect().along(stream)
    since = time.monotonic()
    thread = sent_by(sender, MUCH)
    assert received(receiver, len(MUCH)) == MUCH
    assert 0.15 <= time.monotonic() - since < 2
    thread.join(10)


# --- bandwidth -----------------------------------------------------------------------------------------------


@both_streams
def test_a_bandwidth_of_100_kb_per_s_measures_100_kb_per_s(api: Api, connect: Connect, stream: str) -> None:
    """Give or take 5 %; a kilobyte is 1,000 bytes."""
    api.toxic("bandwidth", stream, rate=100)

    def rate() -> float:
        sender, receiver = connect().along(stream)
        since = time.monotonic()
        sender.sendall(MUCH[:60_000])
        assert received(receiver, 60_000) == MUCH[:60_000]
        return 60 / (time.monotonic() - since)

    assert measures(95, 105, 3, rate)


def test_a_bandwidth_is_each_connections_own(api: Api, connect: Connect) -> None:
    """Two connections carry twice as much."""
    api.toxic("bandwidth", "upstream", rate=100)

    def rate_of_both() -> float:
        pairs = [connect(), connect()]
        since = time.monotonic()
        for pair in pairs:
            pair.client.sendall(MUCH[:40_000])
        for pair in pairs:
            assert received(pair.server, 40_000) == MUCH[:40_000]
        return 80 / (time.monotonic() - since)

    assert measures(190, 210, 3, rate_of_both)


def test_a_bandwidth_of_nothing_lets_nothing_through(api: Api, connect: Connect) -> None:
    """And closes nothing either."""
    api.toxic("bandwidth", "downstream", rate=0)
    pair = connect()
    pair.server.sendall(b"never seen")
    assert is_silent(pair.client)


# --- slow_close ----------------------------------------------------------------------------------------------


@both_streams
def test_slow_close_delays_the_close_and_not_the_data(api: Api, connect: Connect, stream: str) -> None:
    """By its delay, give or take 10 ms."""
    api.toxic("slow_close", stream, delay=200)

    def delay() -> float:
        sender, receiver = connect().along(stream)
        since = time.monotonic()
        sender.sendall(b"last words")
        sender.close()
        assert received(receiver, 10) == b"last words"
        assert time.monotonic() - since < 0.2
        return ms_until_end(receiver, since)

    assert measures(200, 210, 5, delay)


# --- timeout -------------------------------------------------------------------------------------------------


@both_streams
def test_timeout_drops_what_comes_and_closes_in_the_end(api: Api, connect: Connect, stream: str) -> None:
    """After its time, give or take 10 ms, both ends see the close."""
    api.toxic("timeout", stream, timeout=150)

    def delay() -> float:
        sender, receiver = connect().along(stream)
        since = time.monotonic()
        sender.sendall(b"never seen")
        passed = ms_until_end(receiver, since)
        assert sender.recv(1) == b""
        return passed

    assert measures(150, 160, 5, delay)


@both_streams
def test_timeout_zero_never_answers_and_never_closes(api: Api, connect: Connect, stream: str) -> None:
    """The other direction goes on."""
    api.toxic("timeout", stream, timeout=0)
    sender, receiver = connect().along(stream)
    sender.sendall(b"never seen")
    assert is_silent(receiver)
    receiver.sendall(b"still there")
    assert received(sender, 11) == b"still there"


def test_removing_a_timeout_closes_what_it_dropped_data_of(api: Api, connect: Connect) -> None:
    """A stream with a hole in it would be worse than none."""
    toxic = api.toxic("timeout", "downstream", timeout=0)
    pair = connect()
    pair.server.sendall(b"never seen")
    assert is_silent(pair.client)
    assert api.ask("DELETE", toxic) == (204, None)
    assert pair.client.recv(1) == b""


# --- reset_peer ----------------------------------------------------------------------------------------------


@both_streams
def test_reset_peer_gives_both_ends_a_reset(api: Api, connect: Connect, stream: str) -> None:
    """RST, not an orderly end."""
    api.toxic("reset_peer", stream, timeout=0)
    pair = connect()
    sender, _ = pair.along(stream)
    sender.sendall(b"never seen")
    for end in (pair.client, pair.server):
        with pytest.raises(ConnectionResetError):
            end.recv(1)


@both_streams
def test_reset_peer_waits_for_data_and_then_for_its_timeout(api: Api, connect: Connect, stream: str) -> None:
    """An idle connection stays; the timeout holds give or take 10 ms."""
    api.toxic("reset_peer", stream, timeout=150)
    idle = connect()
    assert is_silent(idle.client)

    def delay() -> float:
        sender, receiver = connect().along(stream)
        since = time.monotonic()
        sender.sendall(b"never seen")
        with pytest.raises(ConnectionResetError):
            receiver.recv(1)
        return (time.monotonic() - since) * 1000

    assert measures(150, 160, 5, delay)


# --- slicer --------------------------------------------------------------------------------------------------


@both_streams
def test_slicer_sends_small_pieces_in_their_time_and_keeps_the_content(api: Api, connect: Connect, stream: str) -> None:
    """Of 100 bytes give or take 20, 10 ms apart."""
    api.toxic("slicer", stream, average_size=100, size_variation=20, delay=10_000)

    def gap() -> float:
        sender, receiver = connect().along(stream)
        sender.sendall(MUCH[:2000])
        pieces: list[bytes] = []
        times = []
        while len(b"".join(pieces)) < 2000:
            pieces.append(receiver.recv(4096))
            times.append(time.monotonic())
        assert b"".join(pieces) == MUCH[:2000]
        assert statistics.median(map(len, pieces)) <= 120
        return statistics.median((after - before) * 1000 for before, after in itertools.pairwise(times))

    assert measures(9.5, 12, 3, gap)


@both_streams
@pytest.mark.parametrize("variation", [0, 10], ids=["none", "some"])
def test_slicer_keeps_much_content_without_a_delay(api: Api, connect: Connect, stream: str, variation: int) -> None:
    """Whatever the variation."""
    api.toxic("slicer", stream, average_size=500, size_variation=variation, delay=0)
    sender, receiver = connect().along(stream)
    thread = sent_by(sender, MUCH[:300_000])
    assert received(receiver, 300_000) == MUCH[:300_000]
    thread.join(10)


# --- limit_data ----------------------------------------------------------------------------------------------


@both_streams
def test_limit_data_closes_after_exactly_its_bytes(api: Api, connect: Connect, stream: str) -> None:
    """Both ends see the close."""
    api.toxic("limit_data", stream, bytes=100)
    sender, receiver = connect().along(stream)
    sender.sendall(b"a" * 60)
    assert received(receiver, 60) == b"a" * 60
    sender.sendall(b"b" * 60)
    assert all_of(receiver) == b"b" * 40
    assert sender.recv(1) == b""


def test_limit_data_counts_what_passed_before_an_update(api: Api, connect: Connect) -> None:
    """60 bytes of 100, then of 80."""
    toxic = api.toxic("limit_data", "downstream", bytes=100)
    pair = connect()
    pair.server.sendall(b"a" * 60)
    assert received(pair.client, 60) == b"a" * 60
    assert api.ask("PATCH", toxic, {"attributes": {"bytes": 80}})[0] == 200
    pair.server.sendall(b"b" * 60)
    assert all_of(pair.client) == b"b" * 20


def test_what_passes_the_limit_still_takes_its_latency(api: Api, connect: Connect) -> None:
    """A close by a toxic goes through the toxics behind it, after the data."""
    api.toxic("limit_data", "downstream", bytes=5)
    api.toxic("latency", "downstream", latency=100)
    pair = connect()
    since = time.monotonic()
    pair.server.sendall(b"cut off")
    assert all_of(pair.client) == b"cut o"
    assert time.monotonic() - since >= 0.1


# --- toxicity ------------------------------------------------------------------------------------------------


@both_streams
@pytest.mark.parametrize("toxicity", [0, 0.5, 1])
def test_toxicity_is_the_share_of_connections_that_a_toxic_acts_on(
    api: Api, connect: Connect, stream: str, toxicity: float
) -> None:
    """Of 300, by chance; five standard deviations make a wrong alarm one in a million and a half."""
    api.toxic("limit_data", stream, toxicity, bytes=1)
    hit = 0
    for _ in range(300):
        pair = connect()
        sender, receiver = pair.along(stream)
        sender.sendall(b"xy")
        hit += received(receiver, 2) == b"x"
        pair.client.close()
        pair.server.close()
    assert abs(hit - 300 * toxicity) <= 5 * math.sqrt(300 * toxicity * (1 - toxicity))
