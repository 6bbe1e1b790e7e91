"""Does a ToxiproxyNode do what it is asked, or else say what went wrong where?"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from harness.errors import ClusterError
from harness.links import toxiproxy
from harness.links.toxiproxy import ToxiproxyNode
from tests.conformance.toxiproxy.wire import Api

PROXY = {"name": "db", "listen": "127.0.0.1:9", "upstream": "127.0.0.1:5432", "enabled": True, "toxics": []}


@contextmanager
def answering(answers: dict[str, tuple[int, Any]]) -> Iterator[ToxiproxyNode]:
    """A server that answers by method, `GET` with a 500 unless said otherwise."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = answers.get(self.command, (500, {"error": "out of sockets", "status": 500}))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name in http.server)
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield ToxiproxyNode("127.0.0.1", server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_it_creates_adds_shows_removes_and_resets(api: Api) -> None:
    """Against a real server; whole numbers may come as floats, as options do."""
    node = ToxiproxyNode(api.host, api.port)
    assert node.version() == "2.12.0+harness"
    listen = node.create("db", "127.0.0.1:0", "127.0.0.1:5432")
    assert api.ask("GET", "/proxies/db")[1]["listen"] == listen
    node.add_toxic("db", "slow", "latency", {"latency": 100.0}, toxicity=0.3)
    node.add_toxic("db", "cut", "timeout", {"timeout": 0}, stream="upstream")
    assert node.toxics("db") == {
        "slow": {"type": "latency", "stream": "downstream", "toxicity": 0.3, "attributes": {"latency": 100, "jitter": 0}},
        "cut": {"type": "timeout", "stream": "upstream", "toxicity": 1, "attributes": {"timeout": 0}},
    }
    node.remove_toxic("db", "slow")
    assert list(node.toxics("db")) == ["cut"]
    node.reset()
    assert node.toxics("db") == {}


def test_every_address_of_the_machine_may_come_back_in_another_form(api: Api) -> None:
    """As long as the port is the one that was asked for."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert ToxiproxyNode(api.host, api.port).create("db", f"0.0.0.0:{port}", "127.0.0.1:5432").endswith(f":{port}")


def test_a_refusal_names_node_proxy_and_toxic(api: Api) -> None:
    """With the server's own reason, in one line."""
    node = ToxiproxyNode(api.host, api.port)
    at = f"Toxiproxy at {api.host}:{api.port}: "
    node.create("db", "127.0.0.1:0", "127.0.0.1:5432")
    node.add_toxic("db", "slow", "latency", {})
    refusals: list[tuple[Callable[[], object], str]] = [
        (lambda: node.create("db", "127.0.0.1:0", "127.0.0.1:1"), "proxy 'db': proxy already exists"),
        (lambda: node.add_toxic("db", "slow", "latency", {}), "proxy 'db', toxic 'slow': toxic already exists"),
        (lambda: node.add_toxic("db", "odd", "slowness", {}), "proxy 'db', toxic 'odd': invalid toxic type"),
        (lambda: node.add_toxic("db", "odd", "latency", {"latency": 0.5}),
         "proxy 'db', toxic 'odd': latency must be a whole number, not 0.5"),
        (lambda: node.remove_toxic("db", "odd"), "proxy 'db', toxic 'odd': toxic not found"),
        (lambda: node.toxics("other"), "proxy 'other': proxy not found"),
    ]  # fmt: skip
    for act, message in refusals:
        with pytest.raises(ClusterError) as error:
            act()
        assert str(error.value) == at + message


def test_two_nodes_driven_from_two_threads_are_not_confused(two_apis: tuple[Api, Api]) -> None:
    """Though the library keeps its node on one class."""
    nodes = [ToxiproxyNode(api.host, api.port) for api in two_apis]
    start = threading.Barrier(2)

    def drive(number: int) -> None:
        start.wait(10)
        nodes[number].create("db", "127.0.0.1:0", f"127.0.0.1:{number + 1}")
        for turn in range(25):
            nodes[number].add_toxic("db", f"toxic-{number}", "latency", {"latency": turn})
            assert list(nodes[number].toxics("db")) == [f"toxic-{number}"]
            nodes[number].remove_toxic("db", f"toxic-{number}")

    with ThreadPoolExecutor(2) as pool:
        for driven in [pool.submit(drive, number) for number in range(2)]:
            driven.result(30)
    assert [api.ask("GET", "/proxies/db")[1]["upstream"] for api in two_apis] == ["127.0.0.1:1", "127.0.0.1:2"]


@pytest.mark.parametrize("call", ["create", "add_toxic", "remove_toxic", "toxics", "version", "reset"])
def test_a_server_that_answers_500_is_an_error(call: str) -> None:
    """The library alone would let it pass."""
    arguments: dict[str, list[Any]] = {
        "create": ["db", "127.0.0.1:9", "127.0.0.1:5432"],
        "add_toxic": ["db", "slow", "latency", {"latency": 1}],
        "remove_toxic": ["db", "slow"],
        "toxics": ["db"],
    }
    with answering({}) as node, pytest.raises(ClusterError, match=r"was answered 500: out of sockets$"):
        getattr(node, call)(*arguments.get(call, []))


def test_what_did_not_take_effect_is_an_error() -> None:
    """The server says yes, and reading back says no."""
    toxic = {"name": "slow", "type": "latency", "stream": "downstream", "toxicity": 1, "attributes": {"latency": 1}}
    yes: dict[str, tuple[int, Any]] = {"POST": (200, {}), "DELETE": (204, b"")}
    with answering({**yes, "GET": (200, {**PROXY, "toxics": [toxic]})}) as node:
        with pytest.raises(ClusterError, match="proxy 'db', toxic 'slow': was removed, but is still there"):
            node.remove_toxic("db", "slow")
        with pytest.raises(ClusterError, match="proxy 'db', toxic 'slow': asked for .*'latency': 2.*but it is .*'latency': 1"):
            node.add_toxic("db", "slow", "latency", {"latency": 2})
        with pytest.raises(ClusterError, match="proxy 'db', toxic 'other': asked for .*but it is None"):
            node.add_toxic("db", "other", "latency", {"latency": 1})
        with pytest.raises(ClusterError, match="proxy 'db': asked for 127.0.0.1:8 to 127.0.0.1:5432, but it is"):
            node.create("db", "127.0.0.1:8", "127.0.0.1:5432")
    disabled = {**yes, "GET": (200, {**PROXY, "enabled": False})}
    with answering(disabled) as node, pytest.raises(ClusterError, match="proxy 'db': asked for"):
        node.create("db", "127.0.0.1:9", "127.0.0.1:5432")


def test_an_answer_that_is_no_json_is_an_error() -> None:
    """Some other server has the port."""
    reason = "its version: the answer is no JSON object: '<html>'"
    with answering({"GET": (200, b"<html>")}) as node, pytest.raises(ClusterError, match=reason):
        node.version()


def test_a_node_that_cannot_be_reached_is_an_error() -> None:
    """And not an exception of requests'."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(ClusterError, match=f"^Toxiproxy at 127.0.0.1:{port}: proxy 'db': cannot be reached$"):
        ToxiproxyNode("127.0.0.1", port).toxics("db")


def test_an_api_that_hangs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Toxiproxy's can while a toxic is removed (Shopify/toxiproxy#558)."""
    monkeypatch.setattr(toxiproxy, "DEADLINE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        node = ToxiproxyNode("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(ClusterError, match="toxic 'slow': DELETE /proxies/db/toxics/slow was not answered within 0.2 s"):
            node.remove_toxic("db", "slow")
