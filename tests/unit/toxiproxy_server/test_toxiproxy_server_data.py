"""Does the data pass, and what does each toxic do to it?"""

from __future__ import annotations

import contextlib
import select
import socket
import statistics
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from random import Random

import pytest

from tests.unit.toxiproxy_server.conftest import Api, Pair, received

Connect = Callable[[], Pair]
MUCH = Random(1).randbytes(3_000_000)


def sent_by(sender: socket.socket, data: bytes) -> threading.Thread:
    """Sends and ends, in a thread of its own."""

    def send() -> None:
        sender.sendall(data)
        sender.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def all_of(receiver: socket.socket) -> bytes:
    """What comes until the end."""
    data = bytearray()
    while chunk := receiver.recv(1 << 16):
        data += chunk
    return bytes(data)


def is_silent(receiver: socket.socket, within_s: float = 0.3) -> bool:
    """Whether nothing comes, neither data nor an end."""
    return not select.select([receiver], [], [], within_s)[0]


# --- without toxics ------------------------------------------------------------------------------------------


def test_data_passes_unchanged_both_ways_at_once(connect: Connect) -> None:
    """More than all buffers hold, so that flow control has to work in both directions."""
    pair = connect()
    there, back = MUCH, MUCH[::-1]
    threads = [sent_by(pair.client, there), sent_by(pair.server, back)]
    results: dict[str, bytes] = {}
    reader = threading.Thread(target=lambda: results.update(back=all_of(pair.client)))
    reader.start()
    results["there"] = all_of(pair.server)
    for thread in (reader, *threads):
        thread.join(10)
    assert sha256(results["there"]).digest() == sha256(there).digest()
    assert sha256(results["back"]).digest() == sha256(back).digest()


def test_a_receiver_that_does_not_read_stops_the_sender(connect: Connect) -> None:
    """The proxy does not take in without bound what it cannot pass on."""
    pair = connect()
    pair.client.settimeout(0.5)
    with pytest.raises(TimeoutError):
        for _ in range(1000):
            pair.client.sendall(MUCH[:1_000_000])


def test_half_close_is_passed_on(connect: Connect) -> None:
    """A client that has finished sending still gets its answer."""
    pair = connect()
    pair.client.sendall(b"question")
    pair.client.shutdown(socket.SHUT_WR)
    assert all_of(pair.server) == b"question"
    pair.server.sendall(b"answer")
    pair.server.close()
    assert all_of(pair.client) == b"answer"


def test_data_sent_before_the_upstream_is_connected_arrives(api: Api, upstream: socket.socket) -> None:
    """The client's end too."""
    port = api.proxy(upstream.getsockname()[1])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"early")
        client.shutdown(socket.SHUT_WR)
        with upstream.accept()[0] as server:
            server.settimeout(10)
            assert all_of(server) == b"early"


def test_a_client_is_closed_when_the_upstream_refuses(api: Api) -> None:
    """It was accepted, since the proxy cannot know before."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with socket.create_connection(("127.0.0.1", api.proxy(port)), timeout=10) as client:
        assert client.recv(1) == b""


def test_a_server_that_dies_ends_its_client(connect: Connect) -> None:
    """And a client that dies ends its server."""
    linger = b"\1\0\0\0\0\0\0\0"
    for dying, other in (("server", "client"), ("client", "server")):
        pair = connect()
        getattr(pair, dying).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        getattr(pair, dying).close()
        assert getattr(pair, other).recv(1) == b""


def test_disabling_ends_living_connections(api: Api, connect: Connect) -> None:
    """On both sides, and so does deleting."""
    pair = connect()
    api.ask("POST", "/proxies/db", {"enabled": False})
    assert (pair.client.recv(1), pair.server.recv(1)) == (b"", b"")
    api.ask("POST", "/proxies/db", {"enabled": True})
    pair = connect()
    api.ask("DELETE", "/proxies/db")
    assert (pair.client.recv(1), pair.server.recv(1)) == (b"", b"")


# --- latency -------------------------------------------------------------------------------------------------


def delays_ms(sender: socket.socket, receiver: socket.socket, count: int) -> list[float]:
    """Sorted times from send to receipt, of one byte after the other."""
    delays = []
    for _ in range(count):
        since = time.monotonic()
        sender.sendall(b"x")
        assert receiver.recv(1) == b"x"
        delays.append((time.monotonic() - since) * 1000)
    return sorted(delays)


def test_latency_delays_one_direction_by_what_was_asked(api: Api, connect: Connect) -> None:
    """Never less, a little more; the other direction not at all."""
    pair = connect()
    api.toxic("latency", latency=50)
    delays = delays_ms(pair.server, pair.client, 20)
    assert delays[0] >= 50
    assert statistics.median(delays) < 55
    assert statistics.median(delays_ms(pair.client, pair.server, 20)) < 25


def test_jitter_spreads_the_delay_evenly_around_it(api: Api, connect: Connect) -> None:
    """Both halves of the range are used, and nothing below it."""
    pair = connect()
    api.toxic("latency", latency=30, jitter=20)
    delays = delays_ms(pair.server, pair.client, 40)
    assert delays[0] >= 10
    assert delays[0] < 25
    assert delays[-1] > 35
    assert statistics.median(delays) < 45


def test_two_latencies_add_up(api: Api, connect: Connect) -> None:
    """A toxic acts on what the one before it lets go."""
    pair = connect()
    api.ask("POST", "/proxies/db/toxics", {"name": "one", "type": "latency", "attributes": {"latency": 40}})
    api.ask("POST", "/proxies/db/toxics", {"name": "two", "type": "latency", "attributes": {"latency": 40}})
    assert 80 <= statistics.median(delays_ms(pair.server, pair.client, 5)) < 100


def test_latency_leaves_a_stream_its_bandwidth_and_order(api: Api, connect: Connect) -> None:
    """Each chunk's delay counts from its own arrival: 3 MB take about one delay, not one for each chunk."""
    pair = connect()
    api.toxic("latency", latency=200, jitter=50)
    since = time.monotonic()
    thread = sent_by(pair.server, MUCH)
    assert all_of(pair.client) == MUCH
    thread.join(10)
    assert 0.15 <= time.monotonic() - since < 2


# --- the other toxics ----------------------------------------------------------------------------------------


def test_bandwidth_limits_the_rate(api: Api, connect: Connect) -> None:
    """200 kB at 400 kB/s take half a second."""
    pair = connect()
    api.toxic("bandwidth", "upstream", rate=400)
    since = time.monotonic()
    thread = sent_by(pair.client, MUCH[:200_000])
    assert all_of(pair.server) == MUCH[:200_000]
    thread.join(10)
    assert 0.5 <= time.monotonic() - since < 1.0


def test_slow_close_delays_the_end_and_not_the_data(api: Api, connect: Connect) -> None:
    """The data is there long before the end."""
    pair = connect()
    api.toxic("slow_close", delay=400)
    since = time.monotonic()
    pair.server.sendall(b"last words")
    pair.server.close()
    assert received(pair.client, 10) == b"last words"
    assert time.monotonic() - since < 0.3
    assert pair.client.recv(1) == b""
    assert 0.4 <= time.monotonic() - since < 0.8


def test_timeout_drops_the_data_and_closes_in_the_end(api: Api, connect: Connect) -> None:
    """Both ends see the close."""
    pair = connect()
    api.toxic("timeout", timeout=300)
    since = time.monotonic()
    pair.server.sendall(b"never seen")
    assert pair.client.recv(1) == b""
    assert 0.25 <= time.monotonic() - since < 0.8
    assert pair.server.recv(1) == b""


def test_timeout_zero_never_answers_and_never_closes(api: Api, connect: Connect) -> None:
    """The other direction goes on."""
    pair = connect()
    api.toxic("timeout", timeout=0)
    pair.server.sendall(b"never seen")
    assert is_silent(pair.client)
    pair.client.sendall(b"still there")
    assert received(pair.server, 11) == b"still there"


def test_removing_a_timeout_closes_just_what_it_dropped_data_of(api: Api, connect: Connect) -> None:
    """A stream with a hole in it would be worse than none."""
    harmed, idle = connect(), connect()
    toxic = api.toxic("timeout", timeout=0)
    harmed.server.sendall(b"never seen")
    assert is_silent(harmed.client)
    assert api.ask("DELETE", toxic) == (204, None)
    assert harmed.client.recv(1) == b""
    idle.server.sendall(b"unharmed")
    assert received(idle.client, 8) == b"unharmed"


@pytest.mark.parametrize("living", [True, False], ids=["added to a living connection", "there before the connection"])
def test_reset_peer_resets_both_ends(api: Api, connect: Connect, living: bool) -> None:
    """With RST, not with an orderly end."""
    if living:
        pair = connect()
        api.toxic("reset_peer", timeout=0)
    else:
        api.toxic("reset_peer", timeout=0)
        pair = connect()
    pair.server.sendall(b"never seen")
    for end in (pair.client, pair.server):
        with pytest.raises(ConnectionResetError):
            end.recv(1)


def test_reset_peer_waits_for_data_and_then_for_its_timeout(api: Api, connect: Connect) -> None:
    """An idle connection stays."""
    pair = connect()
    api.toxic("reset_peer", timeout=300)
    assert is_silent(pair.client, within_s=0.5)
    since = time.monotonic()
    pair.server.sendall(b"never seen")
    with pytest.raises(ConnectionResetError):
        pair.client.recv(1)
    assert 0.3 <= time.monotonic() - since < 0.8


def test_slicer_sends_small_pieces_and_keeps_the_content(api: Api, connect: Connect) -> None:
    """Each piece comes by itself, and not before its time."""
    pair = connect()
    api.toxic("slicer", average_size=100, size_variation=20, delay=5000)
    since = time.monotonic()
    pair.server.sendall(MUCH[:2000])
    pair.server.shutdown(socket.SHUT_WR)
    pieces = []
    while piece := pair.client.recv(4096):
        pieces.append(piece)
    assert b"".join(pieces) == MUCH[:2000]
    assert len(pieces) >= 10
    assert time.monotonic() - since >= 0.005 * (2000 / 120 - 1)


@pytest.mark.parametrize("variation", [0, 10, 1000], ids=["none", "some", "more than the average"])
def test_slicer_keeps_much_content_without_a_delay(api: Api, connect: Connect, variation: int) -> None:
    """Whatever the variation."""
    pair = connect()
    api.toxic("slicer", average_size=500, size_variation=variation)
    thread = sent_by(pair.server, MUCH[:300_000])
    assert all_of(pair.client) == MUCH[:300_000]
    thread.join(10)


def test_limit_data_closes_after_exactly_its_bytes(api: Api, connect: Connect) -> None:
    """What had passed before an update counts."""
    pair = connect()
    toxic = api.toxic("limit_data", bytes=100)
    pair.server.sendall(b"a" * 60)
    assert received(pair.client, 60) == b"a" * 60
    api.ask("POST", toxic, {"attributes": {"bytes": 80}})
    pair.server.sendall(b"b" * 60)
    assert all_of(pair.client) == b"b" * 20
    assert pair.server.recv(1) == b""


def test_what_passes_the_limit_still_takes_its_latency(api: Api, connect: Connect) -> None:
    """A close by a toxic goes through the toxics behind it, after the data."""
    pair = connect()
    api.toxic("limit_data", bytes=5)
    api.toxic("latency", latency=100)
    since = time.monotonic()
    pair.server.sendall(b"cut off")
    assert all_of(pair.client) == b"cut o"
    assert time.monotonic() - since >= 0.1


# --- toxics on living connections ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "attributes"),
    [
        ("latency", {"latency": 3_600_000}),
        ("bandwidth", {"rate": 0}),
        ("bandwidth", {"rate": 1}),
        ("slicer", {"average_size": 10, "delay": 60_000_000}),
        ("reset_peer", {"timeout": 3_600_000}),
        ("slow_close", {"delay": 3_600_000}),
    ],
)
@pytest.mark.parametrize("how", ["removed", "reset", "updated"])
def test_what_a_toxic_held_flows_on_at_once(api: Api, connect: Connect, type_: str, attributes: dict[str, int], how: str) -> None:
    """With connections stalled in it, data and end: in order, and the API does not wait (Shopify/toxiproxy#558)."""
    pairs = [connect() for _ in range(3)]
    toxic = api.toxic(type_, "downstream", **attributes)
    threads = [sent_by(pair.server, MUCH[:200_000]) for pair in pairs]
    if type_ in ("latency", "reset_peer") or attributes == {"rate": 0}:
        assert is_silent(pairs[0].client)
    since = time.monotonic()  # what it holds, it would hold for an hour; how fast it is, benchmarks tell
    if how == "removed":
        assert api.ask("DELETE", toxic) == (204, None)
    elif how == "reset":
        assert api.ask("POST", "/reset") == (204, None)
    else:
        harmless = {"latency": {"latency": 0}, "bandwidth": {"rate": 1_000_000}, "slow_close": {"delay": 0}}
        assert api.ask("POST", toxic, {"attributes": harmless.get(type_, {}), "toxicity": float(type_ in harmless)})[0] == 200
    assert time.monotonic() - since < 60
    for pair in pairs:
        assert all_of(pair.client) == MUCH[:200_000]
    for thread in threads:
        thread.join(10)


def test_removal_does_not_wait_for_a_client_that_does_not_read(api: Api, connect: Connect) -> None:
    """What it held waits in the proxy; the client that reads gets all of it."""
    pair = connect()
    toxic = api.toxic("latency", latency=200)
    thread = sent_by(pair.server, MUCH * 3)
    assert select.select([pair.client], [], [], 10)[0]
    assert api.ask("DELETE", toxic) == (204, None)
    assert api.ask("GET", "/proxies/db/toxics") == (200, [])
    assert all_of(pair.client) == MUCH * 3
    thread.join(10)


def test_a_stalled_toxic_stops_the_sender(api: Api, connect: Connect) -> None:
    """The proxy holds a bounded part of what it may not pass on."""
    pair = connect()
    api.toxic("bandwidth", rate=0)
    pair.server.settimeout(0.5)
    with pytest.raises(TimeoutError):
        for _ in range(100):
            pair.server.sendall(MUCH[:1_000_000])


def test_toxics_come_and_go_under_a_stream_without_harm(api: Api, connect: Connect) -> None:
    """In order and complete, whatever is added, changed and removed meanwhile."""
    pair = connect()
    data = MUCH * 10
    thread = sent_by(pair.server, data)
    done = threading.Event()

    def meddle() -> None:
        for turn in range(1000):
            latency = api.toxic("latency", latency=turn % 3)
            slicer = api.toxic("slicer", average_size=30_000, size_variation=1000)
            api.ask("POST", latency, {"attributes": {"latency": 1}, "toxicity": 0.5})
            api.ask("DELETE", latency)
            api.ask("DELETE", slicer)
            if done.is_set():
                return

    meddler = threading.Thread(target=meddle)
    meddler.start()
    result = all_of(pair.client)
    done.set()
    meddler.join(10)
    thread.join(10)
    assert sha256(result).digest() == sha256(data).digest()


def test_toxicity_is_the_share_of_connections_that_a_toxic_acts_on(api: Api, connect: Connect) -> None:
    """0.5 harms some and spares some; 0 harms none."""
    asked = {"type": "timeout", "toxicity": 0.5, "attributes": {"timeout": 0}}
    toxic = f"/proxies/db/toxics/{api.ask('POST', '/proxies/db/toxics', asked)[1]['name']}"
    pairs = [connect() for _ in range(40)]
    for pair in pairs:
        pair.server.sendall(b"x")
    deadline = time.monotonic() + 1
    spared: set[socket.socket] = set()
    while (left := deadline - time.monotonic()) > 0:
        waiting = [pair.client for pair in pairs if pair.client not in spared]
        spared.update(select.select(waiting, [], [], left)[0])
    assert 5 <= len(spared) <= 35
    api.ask("POST", toxic, {"toxicity": 0})
    pair = connect()
    pair.server.sendall(b"x")
    assert received(pair.client, 1) == b"x"


def test_connections_end_when_both_ends_are_gone_in_a_stalled_toxic(api: Api, connect: Connect) -> None:
    """Removing the toxic then finds nobody, and the proxy goes on."""
    pair = connect()
    toxic = api.toxic("bandwidth", rate=0)
    pair.server.sendall(b"held")
    assert is_silent(pair.client)
    with contextlib.suppress(OSError):
        pair.client.close()
        pair.server.close()
    assert api.ask("DELETE", toxic) == (204, None)
    other = connect()
    other.server.sendall(b"x")
    assert received(other.client, 1) == b"x"
