"""Does the API answer as Toxiproxy 2.x does, field by field?"""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from toxiproxy import Toxiproxy  # type: ignore[import-untyped]
from toxiproxy.api import APIConsumer  # type: ignore[import-untyped]
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists  # type: ignore[import-untyped]

from tests.unit.toxiproxy_server.conftest import Api

DISABLED = {"name": "db", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:5432", "enabled": False}
LATENCY = {
    "attributes": {"latency": 100, "jitter": 20},
    "name": "latency_downstream",
    "type": "latency",
    "stream": "downstream",
    "toxicity": 1,
}


def refusal(status: int, error: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": error, "status": status}


def is_refused(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_the_version_says_whose_server_it_is_and_still_parses(api: Api) -> None:
    """Semantic versioning allows what follows the plus."""
    status, headers, body = api.call("GET", "/version")
    assert (status, headers["Content-Type"]) == (200, "application/json;charset=utf-8")
    assert body == b'{"version": "2.12.0+harness"}\n'


def test_a_proxy_is_created_shown_listed_and_deleted(api: Api) -> None:
    """An address with port 0 comes back with the port that was found."""
    status, made = api.ask("POST", "/proxies", {"name": "db", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:5432"})
    assert status == 201
    assert made == {
        "name": "db", "listen": made["listen"], "upstream": "127.0.0.1:5432", "enabled": True, "toxics": [],
    }  # fmt: skip
    assert not made["listen"].endswith(":0")
    assert not is_refused(made["listen"])
    assert api.ask("GET", "/proxies/db") == (200, made)
    assert api.ask("GET", "/proxies") == (200, {"db": made})
    assert api.ask("DELETE", "/proxies/db") == (204, None)
    assert is_refused(made["listen"])
    assert api.ask("GET", "/proxies") == (200, {})


def test_a_disabled_proxy_listens_only_once_enabled(api: Api) -> None:
    """Until then its address is kept as it was given."""
    assert api.ask("POST", "/proxies", DISABLED) == (201, {**DISABLED, "toxics": []})
    for method in ("POST", "PATCH"):
        status, made = api.ask(method, "/proxies/db", {"enabled": True})
        assert (status, made["enabled"]) == (200, True)
        assert not is_refused(made["listen"])
        assert api.ask(method, "/proxies/db", {"enabled": False})[1] == {**made, "enabled": False}
        assert is_refused(made["listen"])


def test_an_enabled_proxy_comes_back_at_its_own_address_at_once(api: Api) -> None:
    """Nothing of the stopped listener may be left, however fast it goes."""
    _, made = api.ask("POST", "/proxies", {**DISABLED, "enabled": True})
    for _ in range(20):
        assert api.ask("POST", "/proxies/db", {"enabled": False})[0] == 200
        assert api.ask("POST", "/proxies/db", {"enabled": True}) == (200, made)


def test_another_upstream_keeps_the_address(api: Api) -> None:
    """The proxy restarts where it was."""
    _, made = api.ask("POST", "/proxies", {**DISABLED, "enabled": True})
    assert api.ask("POST", "/proxies/db", {"upstream": "127.0.0.1:5433"}) == (200, {**made, "upstream": "127.0.0.1:5433"})
    assert not is_refused(made["listen"])


@pytest.mark.parametrize("listen", [":0", "0.0.0.0:0", "[::]:0"])
def test_every_address_of_the_machine_is_written_as_go_writes_it(api: Api, listen: str) -> None:
    """One listener for IPv6 and IPv4."""
    _, made = api.ask("POST", "/proxies", {**DISABLED, "listen": listen, "enabled": True})
    host, _, port = made["listen"].rpartition(":")
    assert host == ("[::]" if socket.has_dualstack_ipv6() else "0.0.0.0")
    assert not is_refused(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"upstream": "127.0.0.1:1"}, "missing required field: name"),
        ({"name": "db"}, "missing required field: upstream"),
        ({"name": 3, "upstream": "127.0.0.1:1"}, "bad request body: 'name' cannot be 3"),
        ([], "bad request body: must be an object, not []"),
    ],
)
def test_a_proxy_that_lacks_something_is_refused(api: Api, body: Any, error: str) -> None:
    """The words of the missing fields are Toxiproxy's."""
    assert api.ask("POST", "/proxies", body) == refusal(400, error)


def test_an_error_is_json_in_plain_text_as_go_sends_it(api: Api) -> None:
    """Clients read the body, whatever its type."""
    status, headers, body = api.call("GET", "/proxies/none")
    assert (status, headers["Content-Type"]) == (404, "text/plain; charset=utf-8")
    assert body == b'{"error":"proxy not found","status":404}\n'


def test_a_body_that_is_no_json_is_refused(api: Api) -> None:
    """For every call that takes one."""
    api.ask("POST", "/proxies", DISABLED)
    api.ask("POST", "/proxies/db/toxics", LATENCY)
    for path in ("/proxies", "/populate", "/proxies/db", "/proxies/db/toxics", "/proxies/db/toxics/latency_downstream"):
        status, answer = api.ask("POST", path, b"{")
        assert status == 400
        assert answer["error"].startswith("bad request body: ")


def test_a_name_or_an_address_that_is_taken_is_refused(api: Api) -> None:
    """A name is a conflict, an address an error of the server's."""
    _, made = api.ask("POST", "/proxies", {**DISABLED, "enabled": True})
    assert api.ask("POST", "/proxies", DISABLED) == refusal(409, "proxy already exists")
    taken = {**DISABLED, "name": "other", "listen": made["listen"], "enabled": True}
    assert api.ask("POST", "/proxies", taken) == refusal(500, f"listen tcp {made['listen']}: bind: address already in use")
    assert list(api.ask("GET", "/proxies")[1]) == ["db"]


def test_a_toxic_is_created_shown_updated_and_deleted(api: Api) -> None:
    """An update changes what it names, and nothing else."""
    api.ask("POST", "/proxies", DISABLED)
    asked = {"type": "latency", "attributes": {"latency": 100, "jitter": 20}}
    assert api.ask("POST", "/proxies/db/toxics", asked) == (200, LATENCY)
    one = "/proxies/db/toxics/latency_downstream"
    assert api.ask("GET", one) == (200, LATENCY)
    changed = {**LATENCY, "attributes": {"latency": 100, "jitter": 5}}
    assert api.ask("POST", one, {"attributes": {"jitter": 5}}) == (200, changed)
    assert api.ask("PATCH", one, {"toxicity": 0.25}) == (200, {**changed, "toxicity": 0.25})
    assert api.ask("GET", "/proxies/db/toxics") == (200, [{**changed, "toxicity": 0.25}])
    assert api.ask("GET", "/proxies/db")[1]["toxics"] == [{**changed, "toxicity": 0.25}]
    assert api.ask("DELETE", one) == (204, None)
    assert api.ask("DELETE", one) == refusal(404, "toxic not found")
    assert api.ask("GET", "/proxies/db/toxics") == (200, [])


@pytest.mark.parametrize(
    ("type_", "attributes"),
    [
        ("latency", {"latency": 0, "jitter": 0}),
        ("bandwidth", {"rate": 0}),
        ("slow_close", {"delay": 0}),
        ("timeout", {"timeout": 0}),
        ("reset_peer", {"timeout": 0}),
        ("slicer", {"average_size": 0, "size_variation": 0, "delay": 0}),
        ("limit_data", {"bytes": 0}),
    ],
)
def test_every_toxic_has_toxiproxys_attributes(api: Api, type_: str, attributes: dict[str, int]) -> None:
    """In both streams, under the name that it gets by default; upstream toxics are listed first."""
    api.ask("POST", "/proxies", DISABLED)
    rest = {"attributes": attributes, "type": type_, "toxicity": 1}
    down = {**rest, "name": f"{type_}_downstream", "stream": "downstream"}
    up = {**rest, "name": f"{type_}_upstream", "stream": "upstream"}
    assert api.ask("POST", "/proxies/db/toxics", {"type": type_}) == (200, down)
    assert api.ask("POST", "/proxies/db/toxics", {"type": type_, "stream": "upstream"}) == (200, up)
    assert api.ask("GET", "/proxies/db/toxics") == (200, [up, down])


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"type": "latency"}, 409, "toxic already exists"),
        ({"type": "slow"}, 400, "invalid toxic type"),
        ({}, 400, "invalid toxic type"),
        ({"type": "latency", "stream": "up"}, 400, "stream was invalid, can be either upstream or downstream"),
        (
            {"type": "slicer", "attributes": {"delay": 1.5}},
            400,
            "bad request body: attribute 'delay' must be a whole number, not 1.5",
        ),
    ],
)  # fmt: skip
def test_a_toxic_that_is_wrong_is_refused(api: Api, body: Any, status: int, error: str) -> None:
    """And leaves the proxy as it was."""
    api.ask("POST", "/proxies", DISABLED)
    api.ask("POST", "/proxies/db/toxics", LATENCY)
    assert api.ask("POST", "/proxies/db/toxics", body) == refusal(status, error)
    assert api.ask("GET", "/proxies/db/toxics") == (200, [LATENCY])


def test_populate_creates_replaces_and_leaves_alone(api: Api) -> None:
    """A proxy whose addresses stay keeps its toxics."""
    status, answer = api.ask("POST", "/populate", [DISABLED, {**DISABLED, "name": "other"}])
    assert (status, [proxy["name"] for proxy in answer["proxies"]]) == (201, ["db", "other"])
    for name in ("db", "other"):
        api.ask("POST", f"/proxies/{name}/toxics", {"type": "latency"})
    status, answer = api.ask("POST", "/populate", [DISABLED, {**DISABLED, "name": "other", "upstream": "127.0.0.1:1"}])
    assert (status, [len(proxy["toxics"]) for proxy in answer["proxies"]]) == (201, [1, 0])


def test_populate_checks_the_whole_list_before_it_creates_anything(api: Api) -> None:
    """The place counts from 1."""
    status, answer = api.ask("POST", "/populate", [DISABLED, {"name": "other"}])
    error = "missing required field: upstream at proxy 2"
    assert (status, answer) == (400, {"error": error, "status": 400, "proxies": None})
    assert api.ask("GET", "/proxies") == (200, {})


def test_reset_enables_all_proxies_and_removes_all_toxics(api: Api) -> None:
    """In one call."""
    api.ask("POST", "/populate", [DISABLED, {**DISABLED, "name": "other", "enabled": True}])
    for stream in ("upstream", "downstream"):
        api.ask("POST", "/proxies/other/toxics", {"type": "timeout", "stream": stream})
    assert api.ask("POST", "/reset") == (204, None)
    proxies = api.ask("GET", "/proxies")[1]
    assert [(name, proxy["enabled"], proxy["toxics"]) for name, proxy in proxies.items()] == [
        ("db", True, []),
        ("other", True, []),
    ]
    assert not is_refused(proxies["db"]["listen"])


def test_browsers_and_unknown_paths_are_turned_away(api: Api) -> None:
    """A page must not drive the proxies of its reader's machine."""
    assert api.call("GET", "/proxies", **{"User-Agent": "Mozilla/5.0"})[0::2] == (403, b"User agent not allowed\n")
    assert api.call("GET", "/nothing")[0::2] == (404, b"404 page not found\n")
    assert api.call("DELETE", "/version")[0] == 405


def test_toxiproxy_python_drives_it_unchanged(api: Api, upstream: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call that the library has."""
    monkeypatch.setattr(APIConsumer, "host", api.host)
    monkeypatch.setattr(APIConsumer, "port", api.port)
    client = Toxiproxy()
    assert client.running()
    assert json.loads(client.version()) == {"version": "2.12.0+harness"}
    target = f"127.0.0.1:{upstream.getsockname()[1]}"
    proxy = client.create(upstream=target, name="db", listen="127.0.0.1:0")
    with pytest.raises(ProxyExists):
        client.create(upstream=target, name="db")
    proxy.add_toxic(type="latency", attributes={"latency": 100}, toxicity=0.5)
    with pytest.raises(InvalidToxic):
        proxy.add_toxic(type="slow")
    toxic = proxy.get_toxic("latency_downstream")
    assert (toxic.type, toxic.stream, toxic.toxicity, toxic.attributes) == (
        "latency", "downstream", 0.5, {"latency": 100, "jitter": 0},
    )  # fmt: skip
    with proxy.down():
        assert is_refused(proxy.listen)
    assert not is_refused(proxy.listen)
    assert proxy.destroy_toxic("latency_downstream")
    with pytest.raises(NotFound):
        proxy.destroy_toxic("latency_downstream")
    assert client.reset()
    assert [made.name for made in client.populate([{"name": "two", "upstream": target, "listen": "127.0.0.1:0"}])] == ["two"]
    client.destroy_all()
    assert client.proxies() == {}
