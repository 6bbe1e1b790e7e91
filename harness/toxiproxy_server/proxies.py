"""Which proxies are there, where do they listen, where do they lead, and which toxics act on them?"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from typing import Any

from harness.errors import HarnessError, UsageError
from harness.toxiproxy_server.connection import DOWNSTREAM, UPSTREAM, Connection, Side, Toxic
from harness.toxiproxy_server.gojson import Unreadable
from harness.toxiproxy_server.metrics import Metrics, Traffic
from harness.toxiproxy_server.stage import Tools
from harness.toxiproxy_server.toxics import of_type, to_attributes, with_attributes

BACKLOG = 4096
WILDCARDS = ("", "0.0.0.0", "::")

log = logging.getLogger(__name__)


class Refused(HarnessError):
    """A call of the API that cannot be carried out; `status` is the HTTP status that says why."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def bad_body(reason: object) -> Refused:
    return Refused(f"bad request body: {reason}", 400)


# --- addresses -----------------------------------------------------------------------------------------------


def split_address(address: str) -> tuple[str, int]:
    """`127.0.0.1:80`, `[::1]:80`, `:http` → host and port. Raises Refused (500) for what is neither."""
    if not address:
        return "", 0
    host, colon, port = address.rpartition(":")
    if not colon or port.endswith("]"):
        raise Refused(f"address {address}: missing port in address", 500)
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise Refused(f"address {address}: too many colons in address", 500)
    return host.removeprefix("[").removesuffix("]"), _port(port)


def _port(port: str) -> int:
    """A port by its number or its service's name; none is any. Raises Refused (500)."""
    if not port:
        return 0
    if port.lstrip("+-").isdecimal():
        if not 0 <= int(port) < 1 << 16:
            raise Refused(f"address {port}: invalid port", 500)
        return int(port)
    try:
        return socket.getservbyname(port, "tcp")
    except OSError:
        raise Refused(f"lookup tcp/{port}: unknown port", 500) from None


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def resolved(address: str) -> tuple[str, int]:
    """The numeric host and port to listen on, IPv4 first; a wildcard stays one.

    Raises Refused when the name is not known.
    """
    host, port = split_address(address)
    if host in WILDCARDS:
        return ("::" if socket.has_dualstack_ipv6() else "0.0.0.0"), port
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise Refused(f"lookup {host}: no such host", 500) from None
    place = min(found, key=lambda entry: entry[0] != socket.AF_INET)[4]
    return str(place[0]), port


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens; on every address, as Toxiproxy, it does so for IPv6 and IPv4 together."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::")


# --- proxies -------------------------------------------------------------------------------------------------


class Proxy:
    """Listens at an address and leads its clients to an upstream, through toxics."""

    def __init__(self, name: str, listen: str, upstream: str, tools: Tools, metrics: Metrics | None) -> None:
        self.name = name
        self.listen = listen
        self.upstream = upstream
        self.enabled = False
        self._tools = tools
        self._metrics = metrics
        self._chains: dict[str, list[Toxic]] = {UPSTREAM: [], DOWNSTREAM: []}
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "Logger": {},  # an accident of the original's, which its clients are used to
            "toxics": [toxic_to_json(toxic) for toxic in self.toxics()],
        }

    async def start(self) -> None:
        """Listens, if it does not yet. Raises Refused (500) when it cannot."""
        if self.enabled:
            return
        try:
            host, port = await resolved(self.listen)
        except Refused as error:
            raise Refused(f"listen tcp: {error}", error.status) from None
        try:
            listener = listening_socket(host, port)
        except OSError as error:
            reason = os.strerror(error.errno).lower() if error.errno else str(error)  # strerror itself is embellished
            raise Refused(f"listen tcp {join_address(host, port)}: bind: {reason}", 500) from None
        self.listen = join_address(*listener.getsockname()[:2])
        self._server = await asyncio.get_running_loop().create_server(self._accept, sock=listener, backlog=BACKLOG)
        self.enabled = True
        log.info("proxy %s: listens on %s, leads to %s", self.name, self.listen, self.upstream)

    def stop(self) -> None:
        """Refuses new connections and ends all that there are."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self.enabled = False
        for connection in list(self._connections):
            connection.abort()
        log.info("proxy %s: stopped", self.name)

    async def update(self, listen: str, upstream: str, enabled: bool) -> None:
        """Takes on other values; another address ends all connections. Raises Refused when it cannot listen."""
        if await self.differs(listen, upstream):
            self.stop()
            self.listen, self.upstream = listen, upstream
        if enabled:
            await self.start()
        else:
            self.stop()

    async def differs(self, listen: str, upstream: str) -> bool:
        """Whether these addresses are others than the proxy's, though perhaps written differently."""
        return upstream != self.upstream or (listen != self.listen and await resolved(listen) != await resolved(self.listen))

    def _accept(self) -> asyncio.BaseProtocol:
        traffic: dict[str, Traffic | None] = {}
        if self._metrics is not None:
            traffic = {stream: self._metrics.traffic(stream, self.name, self.listen, self.upstream) for stream in self._chains}
        connection = Connection(self._dial, self._chains, self._tools, self._connections.discard, traffic)
        self._connections.add(connection)
        return connection.client

    async def _dial(self, server: Side) -> None:
        """Connects `server` to the upstream. Raises OSError."""
        try:
            host, port = split_address(self.upstream)
        except Refused as error:
            raise OSError(str(error)) from None
        await asyncio.get_running_loop().create_connection(lambda: server, host, port)

    # --- toxics -------------------------------------------------------------------------------------------

    def toxics(self) -> Sequence[Toxic]:
        return [*self._chains[UPSTREAM], *self._chains[DOWNSTREAM]]

    def toxic(self, name: str) -> Toxic:
        """Raises Refused (404) when there is none of that name."""
        for toxic in self.toxics():
            if toxic.name == name:
                return toxic
        raise Refused("toxic not found", 404)

    def add_toxic(self, type_: str, name: str, stream: str, toxicity: float, attributes: object) -> Toxic:
        """Adds a toxic at the end of its stream's chain, living connections included. Raises Refused."""
        if stream.lower() not in self._chains:
            raise Refused("stream was invalid, can be either upstream or downstream", 400)
        try:
            options = of_type(type_)
        except UsageError:
            raise Refused("invalid toxic type", 400) from None
        name = name or f"{type_}_{stream}"
        if any(toxic.name == name for toxic in self.toxics()):
            raise Refused("toxic already exists", 409)
        toxic = Toxic(name, type_, stream, toxicity, _changed(options, attributes))
        self._chains[stream.lower()].append(toxic)
        for connection in list(self._connections):
            connection.links[stream.lower()].add(toxic)
        log.info("proxy %s: toxic %s added: %s", self.name, name, _described(toxic))
        return toxic

    def update_toxic(self, name: str, toxicity: float | None, attributes: object) -> Toxic:
        """Changes what is given, on living connections too. Raises Refused."""
        toxic = self.toxic(name)
        toxic.options = _changed(toxic.options, attributes)
        if toxicity is not None:
            toxic.toxicity = toxicity
        stream = toxic.stream.lower()
        index = self._chains[stream].index(toxic)
        for connection in list(self._connections):
            connection.links[stream].update(index, toxic)
        log.info("proxy %s: toxic %s updated: %s", self.name, name, _described(toxic))
        return toxic

    def remove_toxic(self, name: str) -> None:
        """Removes a toxic; what it held flows on. Raises Refused."""
        toxic = self.toxic(name)
        stream = toxic.stream.lower()
        index = self._chains[stream].index(toxic)
        del self._chains[stream][index]
        for connection in list(self._connections):
            connection.links[stream].remove(index)
        log.info("proxy %s: toxic %s removed", self.name, name)


def _changed(options: Any, attributes: object) -> Any:
    try:
        return with_attributes(options, attributes)
    except Unreadable as error:
        raise bad_body(error) from None


def _described(toxic: Toxic) -> str:
    attributes = ", ".join(f"{name} {value}" for name, value in to_attributes(toxic.options).items())
    return f"{toxic.type} on {toxic.stream}, {attributes}, toxicity {toxic.toxicity:g}"


def toxic_to_json(toxic: Toxic) -> dict[str, Any]:
    whole = float(toxic.toxicity).is_integer()
    return {
        "attributes": to_attributes(toxic.options),
        "name": toxic.name,
        "type": toxic.type,
        "stream": toxic.stream,
        "toxicity": int(toxic.toxicity) if whole else toxic.toxicity,  # 1, not 1.0, as Go writes it
    }


class Proxies:
    """All proxies of the server, by name."""

    def __init__(self, tools: Tools, metrics: Metrics | None = None) -> None:
        self._tools = tools
        self._metrics = metrics
        self._by_name: dict[str, Proxy] = {}

    def to_json(self) -> dict[str, Any]:
        return {name: self._by_name[name].to_json() for name in sorted(self._by_name)}

    def get(self, name: str) -> Proxy:
        """Raises Refused (404) when there is none of that name."""
        try:
            return self._by_name[name]
        except KeyError:
            raise Refused("proxy not found", 404) from None

    async def create(self, name: str, listen: str, upstream: str, enabled: bool) -> Proxy:
        """Raises Refused: 409 when the name is taken, 500 when the proxy cannot listen."""
        if name in self._by_name:
            raise Refused("proxy already exists", 409)
        return await self._put(name, listen, upstream, enabled)

    async def replace(self, name: str, listen: str, upstream: str, enabled: bool) -> Proxy:
        """Leaves a proxy alone that has these addresses already. Raises Refused (500) when it cannot listen."""
        present = self._by_name.get(name)
        if present is not None:
            if not await present.differs(listen, upstream):
                return present
            present.stop()
        return await self._put(name, listen, upstream, enabled)

    async def _put(self, name: str, listen: str, upstream: str, enabled: bool) -> Proxy:
        proxy = Proxy(name, listen, upstream, self._tools, self._metrics)
        if enabled:
            await proxy.start()
        self._by_name[name] = proxy
        if not enabled:
            log.info("proxy %s: created, disabled", name)
        return proxy

    def remove(self, name: str) -> None:
        """Raises Refused (404) when there is none of that name."""
        self.get(name).stop()
        del self._by_name[name]
        log.info("proxy %s: deleted", name)

    async def reset(self) -> None:
        """Enables every proxy and removes every toxic. Raises Refused (500) when one cannot listen."""
        for proxy in list(self._by_name.values()):
            await proxy.start()
            for toxic in proxy.toxics():
                proxy.remove_toxic(toxic.name)

    def close(self) -> None:
        for proxy in self._by_name.values():
            proxy.stop()
