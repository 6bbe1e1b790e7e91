"""What does the HTTP API of Toxiproxy 2.x answer?"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from harness.toxiproxy_server import VERSION, gojson
from harness.toxiproxy_server.metrics import CONTENT_TYPE, Metrics
from harness.toxiproxy_server.proxies import Proxies, Proxy, Refused, bad_body, toxic_to_json

Handler = Any  # aiohttp's own type for it is private

log = logging.getLogger(__name__)

# What bodies hold, by the names of fields and Go's types, and what Go calls the whole.
PROXY = {"name": "string", "listen": "string", "upstream": "string", "enabled": "bool"}
TOXIC = {"name": "string", "type": "string", "stream": "string", "toxicity": "float32", "attributes": "toxics.NoopToxic"}
TOXIC_CHANGE = {"toxicity": "float32", "attributes": "any"}
CHANGE = 'struct { Attributes interface {} "json:\\"attributes\\""; Toxicity float32 "json:\\"toxicity\\"" }'
LIST = '[]struct { toxiproxy.Proxy; Enabled *bool "json:\\"enabled\\"" }'


def application(proxies: Proxies, metrics: Metrics | None = None) -> web.Application:
    """The API as an aiohttp application; without metrics, there is no page of them."""
    api = Api(proxies)
    app = web.Application(middlewares=[_numbered, _no_browsers, _errors, api.one_at_a_time])
    proxy, toxic = "/proxies/{proxy}", "/proxies/{proxy}/toxics/{toxic}"
    app.add_routes(
        [
            web.get("/version", api.version, allow_head=False),
            web.post("/reset", api.reset),
            web.post("/populate", api.populate),
            web.get("/proxies", api.list_proxies, allow_head=False),
            web.post("/proxies", api.create_proxy),
            web.get(proxy, api.show_proxy, allow_head=False),
            web.post(proxy, api.update_proxy),
            web.patch(proxy, api.update_proxy),
            web.delete(proxy, api.delete_proxy),
            web.get(f"{proxy}/toxics", api.list_toxics, allow_head=False),
            web.post(f"{proxy}/toxics", api.create_toxic),
            web.get(toxic, api.show_toxic, allow_head=False),
            web.post(toxic, api.update_toxic),
            web.patch(toxic, api.update_toxic),
            web.delete(toxic, api.delete_toxic),
        ]
    )
    if metrics is not None:
        app.router.add_route("*", "/metrics", lambda request: _metrics(metrics))
    return app


async def _metrics(metrics: Metrics) -> web.Response:
    return web.Response(body=metrics.text().encode(), headers={"Content-Type": CONTENT_TYPE})


# --- bodies --------------------------------------------------------------------------------------------------


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def answer(value: object, status: int = 200) -> web.Response:
    return web.Response(body=_text(value).encode(), status=status, content_type="application/json")


def _plain(text: str, status: int) -> web.Response:
    """As Go's http.Error answers, whatever the text is."""
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return web.Response(body=f"{text}\n".encode(), status=status, headers=headers)


def _read(body: bytes, types: Mapping[str, str], into: str, name: str = "") -> dict[str, Any]:
    """The known fields of a body; those that are null are left out. Raises Refused (400) for what Go would not read."""
    try:
        return gojson.fields(gojson.first_value(body), types, f"value of type {into}", name)
    except gojson.Unreadable as error:
        raise bad_body(error) from None


def _complete(found: dict[str, Any], where: str = "") -> dict[str, Any]:
    """What `create` and `replace` take. Raises Refused (400) when name or upstream is missing."""
    found = {"name": "", "listen": "", "upstream": "", "enabled": True} | found
    for name in ("name", "upstream"):
        if not found[name]:
            raise Refused(f"missing required field: {name}{where}", 400)
    return found


# --- middlewares ---------------------------------------------------------------------------------------------


@web.middleware
async def _numbered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Each answer has a number of its own, as logs may want."""
    response: web.StreamResponse = await handler(request)
    response.headers["X-Toxiproxy-Request-Id"] = secrets.token_hex(10)
    return response


@web.middleware
async def _no_browsers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A web page must not be able to drive the proxies on its reader's machine."""
    if request.headers.get("User-Agent", "").startswith("Mozilla/"):
        return _plain("User agent not allowed", 403)
    response: web.StreamResponse = await handler(request)
    return response


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
        return response
    except Refused as error:
        return _plain(_text(_refusal(error)), error.status)
    except web.HTTPNotFound:
        return _plain("404 page not found", 404)
    except web.HTTPMethodNotAllowed:
        return web.Response(status=405)


def _refusal(error: Refused) -> dict[str, Any]:
    return {"error": str(error), "status": error.status}


class Api:
    """The routes. Changes are made one at a time; what only reads never waits."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._changing = asyncio.Lock()

    @property
    def one_at_a_time(self) -> Handler:
        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            response: web.StreamResponse
            if request.method == "GET":
                response = await handler(request)
                return response
            await request.read()  # before the lock, so that a slow client holds up nobody else
            async with self._changing:
                response = await handler(request)
            return response

        return middleware

    def _proxy(self, request: web.Request) -> Proxy:
        return self._proxies.get(request.match_info["proxy"])

    async def version(self, request: web.Request) -> web.Response:
        headers = {"Content-Type": "application/json;charset=utf-8"}
        return web.Response(body=f'{{"version": "{VERSION}"}}\n'.encode(), headers=headers)

    async def reset(self, request: web.Request) -> web.Response:
        await self._proxies.reset()
        return web.Response(status=204)

    async def populate(self, request: web.Request) -> web.Response:
        made: list[Proxy] = []
        error: Refused | None = None
        try:
            await populate(self._proxies, await request.read(), made)
        except Refused as refused:
            error = refused
        body: dict[str, Any] = {} if error is None else _refusal(error)
        body["proxies"] = [proxy.to_json() for proxy in made] or None
        return answer(body, status=201 if error is None else error.status)

    async def list_proxies(self, request: web.Request) -> web.Response:
        return answer(self._proxies.to_json())

    async def create_proxy(self, request: web.Request) -> web.Response:
        proxy = await self._proxies.create(**_complete(_read(await request.read(), PROXY, "toxiproxy.Proxy", "Proxy")))
        return answer(proxy.to_json(), status=201)

    async def show_proxy(self, request: web.Request) -> web.Response:
        return answer(self._proxy(request).to_json())

    async def update_proxy(self, request: web.Request) -> web.Response:
        proxy = self._proxy(request)
        found: dict[str, Any] = {"listen": proxy.listen, "upstream": proxy.upstream, "enabled": proxy.enabled}
        found |= _read(await request.read(), PROXY, "toxiproxy.Proxy", "Proxy")
        found.pop("name", None)
        await proxy.update(**found)
        return answer(proxy.to_json())

    async def delete_proxy(self, request: web.Request) -> web.Response:
        self._proxies.remove(request.match_info["proxy"])
        return web.Response(status=204)

    async def list_toxics(self, request: web.Request) -> web.Response:
        return answer([toxic_to_json(toxic) for toxic in self._proxy(request).toxics()])

    async def create_toxic(self, request: web.Request) -> web.Response:
        proxy = self._proxy(request)
        found: dict[str, Any] = {"name": "", "type": "", "stream": "downstream", "toxicity": 1.0, "attributes": None}
        found |= _read(await request.read(), TOXIC, "toxics.ToxicWrapper", "ToxicWrapper")
        return answer(toxic_to_json(proxy.add_toxic(found.pop("type"), **found)))

    async def show_toxic(self, request: web.Request) -> web.Response:
        return answer(toxic_to_json(self._proxy(request).toxic(request.match_info["toxic"])))

    async def update_toxic(self, request: web.Request) -> web.Response:
        proxy = self._proxy(request)
        proxy.toxic(request.match_info["toxic"])  # an unknown toxic is 404, whatever the body says
        found = _read(await request.read(), TOXIC_CHANGE, CHANGE)
        toxic = proxy.update_toxic(request.match_info["toxic"], found.get("toxicity"), found.get("attributes"))
        return answer(toxic_to_json(toxic))

    async def delete_toxic(self, request: web.Request) -> web.Response:
        self._proxy(request).remove_toxic(request.match_info["toxic"])
        return web.Response(status=204)


async def populate(proxies: Proxies, body: bytes, made: list[Proxy]) -> None:
    """Creates or replaces the proxies of a JSON list, all of them checked first; appends each to `made`.

    Raises Refused: 400 for a bad list, 500 when a proxy cannot listen.
    """
    try:
        wanted = gojson.entries(gojson.first_value(body), LIST)
        found = [gojson.fields(entry, PROXY, f"value of type {LIST[2:]}") for entry in wanted]
    except gojson.Unreadable as error:
        raise bad_body(error) from None
    for fields in [_complete(entry, f" at proxy {number}") for number, entry in enumerate(found, start=1)]:
        made.append(await proxies.replace(**fields))
