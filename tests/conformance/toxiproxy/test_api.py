"""Does the API answer as Toxiproxy 2.12 does, field by field?

What it answers was taken from its sources and its documentation, and from answers that others recorded of 2.12.0.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest

from harness.clock import wait_until
from tests.conformance.toxiproxy.wire import Api, Pair, free_port, is_refused

ENABLED = {"name": "db", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:5432", "enabled": True}
DISABLED = {**ENABLED, "enabled": False}
SHOWN: dict[str, Any] = {"Logger": {}, "toxics": []}  # what a description has beside the fields that were asked for
LATENCY = {
    "attributes": {"latency": 100, "jitter": 20},
    "name": "latency_downstream",
    "type": "latency",
    "stream": "downstream",
    "toxicity": 1,
}
TOXIC = "/proxies/db/toxics/latency_downstream"
BOTH_UPDATES = pytest.mark.parametrize("method", ["POST", "PATCH"])


def refusal(status: int, error: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": error, "status": status}


# --- the server ----------------------------------------------------------------------------------------------


def test_the_version_is_one_of_2_x(api: Api) -> None:
    """As JSON, with a blank after the colon and a line's end."""
    status, headers, body = api.call("GET", "/version")
    assert (status, headers["Content-Type"]) == (200, "application/json;charset=utf-8")
    assert re.fullmatch(rb'\{"version": "2\.\d+\.\d+[^"]*"\}\n', body)


def test_answers_are_json_and_have_a_number_of_their_own(api: Api) -> None:
    """Of 20 characters."""
    numbers = set()
    for _ in range(2):
        status, headers, _ = api.call("GET", "/proxies")
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert re.fullmatch(r"[0-9a-v]{20}", headers["X-Toxiproxy-Request-Id"])
        numbers.add(headers["X-Toxiproxy-Request-Id"])
    assert len(numbers) == 2


def test_an_error_is_json_in_plain_text(api: Api) -> None:
    """As Go sends errors; clients read the body, whatever its type."""
    status, headers, body = api.call("GET", "/proxies/none")
    assert (status, headers["Content-Type"], headers["X-Content-Type-Options"]) == (404, "text/plain; charset=utf-8", "nosniff")
    assert body == b'{"error":"proxy not found","status":404}\n'


def test_browsers_are_turned_away(api: Api) -> None:
    """A page must not drive the proxies of its reader's machine."""
    assert api.call("GET", "/proxies", **{"User-Agent": "Mozilla/5.0"})[0::2] == (403, b"User agent not allowed\n")


def test_unknown_paths_and_methods_are_refused(api: Api) -> None:
    """In plain words, or in none."""
    assert api.call("GET", "/nothing")[0::2] == (404, b"404 page not found\n")
    assert api.call("GET", "/proxies/")[0::2] == (404, b"404 page not found\n")
    for method, path in (("DELETE", "/version"), ("PUT", "/proxies"), ("HEAD", "/proxies"), ("GET", "/reset")):
        assert api.call(method, path)[0::2] == (405, b"")


def test_metrics_count_the_bytes_of_each_direction(api: Api, connect: Callable[[], Pair]) -> None:
    """Where the server was started to count them."""
    if api.call("GET", "/metrics")[0] == 404:
        pytest.skip("the server was started without -proxy-metrics")
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        listen = api.proxy(upstream.getsockname()[1], "counted")
        with Pair.through(listen, upstream) as pair:
            pair.client.sendall(b"question")
            assert pair.server.recv(100) == b"question"
            pair.server.sendall(b"an answer")
            assert pair.client.recv(100) == b"an answer"
        labels = f'listener="127.0.0.1:{listen}",proxy="counted",upstream="127.0.0.1:{upstream.getsockname()[1]}"'
    wanted = [
        f'toxiproxy_proxy_{way}_bytes_total{{direction="{stream}",{labels}}} {count}'
        for way in ("received", "sent")
        for stream, count in (("upstream", 8), ("downstream", 9))
    ]
    wait_until(lambda: set(wanted) <= set(api.call("GET", "/metrics")[2].decode().splitlines()), 10, f"{wanted} in /metrics")


# --- proxies -------------------------------------------------------------------------------------------------


def test_a_proxy_is_created_shown_listed_and_deleted(api: Api) -> None:
    """An address with port 0 comes back with the port that was found; enabled is the default."""
    status, made = api.ask("POST", "/proxies", {"name": "db", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:5432"})
    assert (status, made) == (201, {**ENABLED, "listen": made["listen"], **SHOWN})
    assert not made["listen"].endswith(":0")
    assert not is_refused(made["listen"])
    assert api.ask("GET", "/proxies/db") == (200, made)
    assert api.ask("GET", "/proxies") == (200, {"db": made})
    assert api.call("DELETE", "/proxies/db")[0::2] == (204, b"")
    assert is_refused(made["listen"])
    assert api.ask("GET", "/proxies") == (200, {})
    assert api.ask("DELETE", "/proxies/db") == refusal(404, "proxy not found")


def test_the_fields_come_in_their_order(api: Api) -> None:
    """For people who read them."""
    made = api.call("POST", "/proxies", DISABLED)[2]
    assert made == (b'{"name":"db","listen":"127.0.0.1:0","upstream":"127.0.0.1:5432","enabled":false,"Logger":{},"toxics":[]}')
    made = api.call("POST", "/proxies/db/toxics", {"type": "latency"})[2]
    assert made == (
        b'{"attributes":{"latency":0,"jitter":0},"name":"latency_downstream","type":"latency","stream":"downstream","toxicity":1}'
    )


@BOTH_UPDATES
def test_a_disabled_proxy_listens_only_once_enabled(api: Api, method: str) -> None:
    """Until then its address is kept as it was given."""
    assert api.ask("POST", "/proxies", DISABLED) == (201, {**DISABLED, **SHOWN})
    status, made = api.ask(method, "/proxies/db", {"enabled": True})
    assert (status, made["enabled"]) == (200, True)
    assert not is_refused(made["listen"])
    assert api.ask(method, "/proxies/db", {"enabled": False}) == (200, {**made, "enabled": False})
    assert is_refused(made["listen"])


def test_an_enabled_proxy_comes_back_at_its_own_address_at_once(api: Api) -> None:
    """Nothing of the stopped listener may be left, however fast it goes."""
    _, made = api.ask("POST", "/proxies", ENABLED)
    for _ in range(20):
        assert api.ask("POST", "/proxies/db", {"enabled": False})[0] == 200
        assert api.ask("POST", "/proxies/db", {"enabled": True}) == (200, made)


@BOTH_UPDATES
def test_an_update_changes_upstream_and_listen_and_never_the_name(api: Api, method: str) -> None:
    """Another upstream keeps the address; an update with nothing in it changes nothing."""
    _, made = api.ask("POST", "/proxies", ENABLED)
    assert api.ask(method, "/proxies/db", {}) == (200, made)
    elsewhere = {**made, "upstream": "127.0.0.1:5433"}
    assert api.ask(method, "/proxies/db", {"upstream": "127.0.0.1:5433", "name": "other"}) == (200, elsewhere)
    assert not is_refused(made["listen"])
    listen = f"127.0.0.1:{free_port()}"
    assert api.ask(method, "/proxies/db", {"listen": listen}) == (200, {**elsewhere, "listen": listen})
    assert not is_refused(listen)
    assert is_refused(made["listen"])
    assert api.ask(method, "/proxies/other", {}) == refusal(404, "proxy not found")


def test_toxics_outlive_disabling_and_another_upstream(api: Api) -> None:
    """They are the proxy's, not its listener's."""
    api.ask("POST", "/proxies", ENABLED)
    api.ask("POST", "/proxies/db/toxics", LATENCY)
    for change in ({"enabled": False}, {"enabled": True}, {"upstream": "127.0.0.1:5433"}):
        assert api.ask("POST", "/proxies/db", change)[1]["toxics"] == [LATENCY]


@pytest.mark.parametrize(
    "change", [{"enabled": False}, {"upstream": "127.0.0.1:5433"}, None], ids=["off", "elsewhere", "deleted"]
)
def test_what_stops_a_proxy_ends_its_connections(api: Api, connect: Callable[[], Pair], change: Any) -> None:
    """At both ends."""
    pair = connect()
    api.ask("DELETE" if change is None else "POST", "/proxies/db", change)
    assert (pair.client.recv(1), pair.server.recv(1)) == (b"", b"")


@pytest.mark.parametrize("listen", [":0", "0.0.0.0:0", "[::]:0"])
def test_every_address_of_the_machine_is_written_as_go_writes_it(api: Api, listen: str) -> None:
    """One listener for IPv6 and IPv4, where the machine has both."""
    _, made = api.ask("POST", "/proxies", {**ENABLED, "listen": listen})
    host, _, port = made["listen"].rpartition(":")
    assert host == ("[::]" if socket.has_dualstack_ipv6() else "0.0.0.0")
    assert not is_refused(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("listen", "error"),
    [
        ("127.0.0.1", "listen tcp: address 127.0.0.1: missing port in address"),
        ("127.0.0.1:84740", "listen tcp: address 84740: invalid port"),
        ("::1:80", "listen tcp: address ::1:80: too many colons in address"),
    ],
)
def test_an_address_that_is_none_is_an_error(api: Api, listen: str, error: str) -> None:
    """And leaves no proxy behind."""
    assert api.ask("POST", "/proxies", {**ENABLED, "listen": listen}) == refusal(500, error)
    assert api.ask("GET", "/proxies") == (200, {})


def test_a_name_or_an_address_that_is_taken_is_refused(api: Api) -> None:
    """A name is a conflict, an address an error of the server's."""
    _, made = api.ask("POST", "/proxies", ENABLED)
    assert api.ask("POST", "/proxies", DISABLED) == refusal(409, "proxy already exists")
    taken = {**ENABLED, "name": "other", "listen": made["listen"]}
    assert api.ask("POST", "/proxies", taken) == refusal(500, f"listen tcp {made['listen']}: bind: address already in use")
    assert list(api.ask("GET", "/proxies")[1]) == ["db"]


# --- bodies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"upstream": "127.0.0.1:1"}', "missing required field: name"),
        (b'{"name": "db"}', "missing required field: upstream"),
        (b"null", "missing required field: name"),
        (b"", "bad request body: EOF"),
        (b"{", "bad request body: unexpected EOF"),
        (b"{broken", "bad request body: invalid character 'b' looking for beginning of object key string"),
        (b"broken", "bad request body: invalid character 'b' looking for beginning of value"),
        (b'{"name" 1}', "bad request body: invalid character '1' after object key"),
        (b'{"name": 3}', "bad request body: json: cannot unmarshal number into Go struct field Proxy.name of type string"),
        (
            b'{"enabled": "yes"}',
            "bad request body: json: cannot unmarshal string into Go struct field Proxy.enabled of type bool",
        ),
        (b"[]", "bad request body: json: cannot unmarshal array into Go value of type toxiproxy.Proxy"),
    ],
)
def test_a_body_that_says_no_proxy_is_refused(api: Api, body: bytes, error: str) -> None:
    """In the words of Toxiproxy, or of Go's decoder."""
    assert api.ask("POST", "/proxies", body) == refusal(400, error)


def test_a_body_that_is_no_json_is_refused_everywhere(api: Api) -> None:
    """By every call that takes one."""
    api.ask("POST", "/proxies", DISABLED)
    api.ask("POST", "/proxies/db/toxics", LATENCY)
    error = "bad request body: unexpected EOF"
    for path in ("/proxies", "/proxies/db", "/proxies/db/toxics", TOXIC):
        assert api.ask("POST", path, b"{") == refusal(400, error)
    assert api.ask("POST", "/populate", b"[{") == (400, {"error": error, "status": 400, "proxies": None})


def test_names_of_fields_match_in_any_case_and_unknown_ones_are_passed_over(api: Api) -> None:
    """What follows the first value is passed over, too."""
    status, made = api.ask(
        "POST", "/proxies", b'{"Name": "db", "UPSTREAM": "127.0.0.1:1", "enabled": false, "colour": 1} and more'
    )
    assert (status, made) == (201, {**DISABLED, "listen": "", "upstream": "127.0.0.1:1", **SHOWN})


# --- toxics --------------------------------------------------------------------------------------------------


@BOTH_UPDATES
def test_a_toxic_is_created_shown_updated_and_deleted(api: Api, method: str) -> None:
    """An update changes attributes and toxicity that it names, and nothing else."""
    api.ask("POST", "/proxies", DISABLED)
    asked = {"type": "latency", "attributes": {"latency": 100, "jitter": 20}}
    assert api.ask("POST", "/proxies/db/toxics", asked) == (200, LATENCY)
    assert api.ask("GET", TOXIC) == (200, LATENCY)
    changed = {**LATENCY, "attributes": {"latency": 100, "jitter": 5}}
    assert api.ask(method, TOXIC, {"attributes": {"jitter": 5}}) == (200, changed)
    changed["toxicity"] = 0.25
    assert api.ask(method, TOXIC, {"toxicity": 0.25}) == (200, changed)
    assert api.ask(method, TOXIC, {"name": "other", "type": "timeout", "stream": "upstream"}) == (200, changed)
    assert api.ask("GET", "/proxies/db/toxics") == (200, [changed])
    assert api.ask("GET", "/proxies/db")[1]["toxics"] == [changed]
    assert api.call("DELETE", TOXIC)[0::2] == (204, b"")
    for call in ("GET", "DELETE", method):
        assert api.ask(call, TOXIC, {} if call == method else None) == refusal(404, "toxic not found")
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
def test_every_toxic_has_its_attributes_and_name_by_default(api: Api, type_: str, attributes: dict[str, int]) -> None:
    """In both streams; upstream toxics are listed first."""
    api.ask("POST", "/proxies", DISABLED)
    rest = {"attributes": attributes, "type": type_, "toxicity": 1}
    down = {**rest, "name": f"{type_}_downstream", "stream": "downstream"}
    up = {**rest, "name": f"{type_}_upstream", "stream": "upstream"}
    assert api.ask("POST", "/proxies/db/toxics", {"type": type_}) == (200, down)
    assert api.ask("POST", "/proxies/db/toxics", {"type": type_, "stream": "upstream"}) == (200, up)
    assert api.ask("GET", "/proxies/db/toxics") == (200, [up, down])


def test_a_stream_matches_in_any_case_and_comes_back_as_it_was_given(api: Api) -> None:
    """In the name, too."""
    api.ask("POST", "/proxies", DISABLED)
    status, made = api.ask("POST", "/proxies/db/toxics", {"type": "latency", "stream": "UpStream"})
    assert (status, made["stream"], made["name"]) == (200, "UpStream", "latency_UpStream")


@pytest.mark.parametrize(("given", "kept"), [(2.5, 2.5), (-1, -1), (0, 0), (0.3, 0.3), (0.123456789, 0.12345679)])
def test_a_toxicity_is_kept_as_32_bits_hold_it(api: Api, given: float, kept: float) -> None:
    """Beyond 0 and 1 as well."""
    api.ask("POST", "/proxies", DISABLED)
    assert api.ask("POST", "/proxies/db/toxics", {"type": "latency", "toxicity": given})[1]["toxicity"] == kept


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
            "bad request body: json: cannot unmarshal number 1.5 into Go struct field SlicerToxic.attributes.delay of type int",
        ),
        (
            {"type": "bandwidth", "attributes": {"rate": "fast"}},
            400,
            "bad request body: json: cannot unmarshal string into Go struct field BandwidthToxic.attributes.rate of type int64",
        ),
        (
            {"type": "latency", "toxicity": "half"},
            400,
            "bad request body: json: cannot unmarshal string into Go struct field ToxicWrapper.toxicity of type float32",
        ),
    ],
)
def test_a_toxic_that_is_wrong_is_refused(api: Api, body: Any, status: int, error: str) -> None:
    """And leaves the proxy as it was."""
    api.ask("POST", "/proxies", DISABLED)
    api.ask("POST", "/proxies/db/toxics", LATENCY)
    assert api.ask("POST", "/proxies/db/toxics", body) == refusal(status, error)
    assert api.ask("GET", "/proxies/db/toxics") == (200, [LATENCY])


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/toxics"), ("POST", "/toxics"), ("GET", "/toxics/x"), ("DELETE", "/toxics/x")]
)
def test_toxics_of_no_proxy_are_not_found(api: Api, method: str, path: str) -> None:
    """It is the proxy that is missing."""
    assert api.ask(method, f"/proxies/none{path}", {} if method == "POST" else None) == refusal(404, "proxy not found")


# --- all at once ---------------------------------------------------------------------------------------------


def test_populate_creates_replaces_and_leaves_alone(api: Api) -> None:
    """A proxy whose addresses stay keeps its toxics and its switch; one that the list does not name stays, too."""
    api.ask("POST", "/proxies", {**DISABLED, "name": "unnamed"})
    status, answer = api.ask("POST", "/populate", [DISABLED, {**DISABLED, "name": "other"}])
    assert (status, answer) == (201, {"proxies": [{**DISABLED, **SHOWN}, {**DISABLED, "name": "other", **SHOWN}]})
    for name in ("db", "other"):
        api.ask("POST", f"/proxies/{name}/toxics", {"type": "latency"})
    status, answer = api.ask("POST", "/populate", [DISABLED, {**DISABLED, "name": "other", "upstream": "127.0.0.1:1"}])
    assert (status, [len(proxy["toxics"]) for proxy in answer["proxies"]]) == (201, [1, 0])
    assert list(api.ask("GET", "/proxies")[1]) == ["db", "other", "unnamed"]


def test_populate_enables_what_does_not_say_otherwise(api: Api) -> None:
    """An empty list makes nothing."""
    status, answer = api.ask("POST", "/populate", [{key: ENABLED[key] for key in ("name", "listen", "upstream")}])
    assert (status, answer["proxies"][0]["enabled"]) == (201, True)
    assert not is_refused(answer["proxies"][0]["listen"])
    assert api.ask("POST", "/populate", []) == (201, {"proxies": None})


def test_populate_checks_the_whole_list_before_it_creates_anything(api: Api) -> None:
    """The place counts from 1."""
    for entry, field in (({"name": "other"}, "upstream"), ({"upstream": "127.0.0.1:1"}, "name")):
        error = f"missing required field: {field} at proxy 2"
        assert api.ask("POST", "/populate", [DISABLED, entry]) == (400, {"error": error, "status": 400, "proxies": None})
    assert api.ask("GET", "/proxies") == (200, {})


def test_reset_enables_all_proxies_and_removes_all_toxics(api: Api) -> None:
    """In one call."""
    api.ask("POST", "/populate", [DISABLED, {**ENABLED, "name": "other"}])
    for stream in ("upstream", "downstream"):
        api.ask("POST", "/proxies/other/toxics", {"type": "timeout", "stream": stream})
    assert api.call("POST", "/reset")[0::2] == (204, b"")
    proxies = api.ask("GET", "/proxies")[1]
    assert [(name, proxy["enabled"], proxy["toxics"]) for name, proxy in proxies.items()] == [
        ("db", True, []),
        ("other", True, []),
    ]
    assert not is_refused(proxies["db"]["listen"])


def test_proxies_are_listed_by_name(api: Api) -> None:
    """Whatever the order in which they came."""
    for name in ("c", "a", "b"):
        api.ask("POST", "/proxies", {**DISABLED, "name": name})
    assert list(json.loads(api.call("GET", "/proxies")[2])) == ["a", "b", "c"]
