"""What does our server do with data that Toxiproxy does otherwise, or promises nothing of?

What both do is in tests/conformance/toxiproxy.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from random import Random

import pytest

from tests.conformance.toxiproxy.wire import Api, Pair, all_of, is_silent, received

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


# --- without toxics ------------------------------------------------------------------------------------------


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


def test_a_server_that_dies_ends_its_client(connect: Connect) -> None:
    """And a client that dies ends its server."""
    linger = b"\1\0\0\0\0\0\0\0"
    for dying, other in (("server", "client"), ("client", "server")):
        pair = connect()
        getattr(pair, dying).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        getattr(pair, dying).close()
        assert getattr(pair, other).recv(1) == b""


# --- the other toxics ----------------------------------------------------------------------------------------


def test_reset_peer_resets_a_connection_that_was_there_before(api: Api, connect: Connect) -> None:
    """With RST, at both ends; Toxiproxy gives these an orderly end."""
    pair = connect()
    api.toxic("reset_peer", timeout=0)
    pair.server.sendall(b"never seen")
    for end in (pair.client, pair.server):
        with pytest.raises(ConnectionResetError):
            end.recv(1)


def test_slicer_copes_with_a_variation_beyond_the_average(api: Api, connect: Connect) -> None:
    """No piece is empty, and nothing is lost."""
    pair = connect()
    api.toxic("slicer", average_size=500, size_variation=1000)
    thread = sent_by(pair.server, MUCH[:300_000])
    assert all_of(pair.client) == MUCH[:300_000]
    thread.join(10)


def test_removing_a_timeout_closes_just_what_it_dropped_data_of(api: Api, connect: Connect) -> None:
    """Toxiproxy closes idle connections, too."""
    harmed, idle = connect(), connect()
    toxic = api.toxic("timeout", timeout=0)
    harmed.server.sendall(b"never seen")
    assert is_silent(harmed.client)
    assert api.ask("DELETE", toxic) == (204, None)
    assert harmed.client.recv(1) == b""
    idle.server.sendall(b"unharmed")
    assert received(idle.client, 8) == b"unharmed"


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
    toxic = api.toxic(type_, "downstream", 1, "", **attributes)
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


def test_one_seed_is_one_choice_of_connections(two_apis: tuple[Api, Api], upstream: socket.socket) -> None:
    """So that a run can be had again."""
    choices = []
    for api in two_apis:
        port = api.proxy(upstream.getsockname()[1])
        api.toxic("limit_data", toxicity=0.5, bytes=1)
        hit = []
        for _ in range(30):
            with Pair.through(port, upstream) as pair:
                pair.server.sendall(b"xy")
                hit.append(received(pair.client, 2) == b"x")
        choices.append(hit)
    assert choices[0] == choices[1]
    assert {True, False} == set(choices[0])
