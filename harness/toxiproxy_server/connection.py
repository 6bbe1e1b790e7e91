"""How does data get from a client to its upstream and back, and through which toxics?

A connection is two sides (sockets) and two links (directions). A link without toxics hands each chunk from one
socket's read straight to the other's write; a link with toxics leads it through a chain of stages.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from harness.clock import now_ns
from harness.toxiproxy_server.metrics import Traffic
from harness.toxiproxy_server.stage import KIBIBYTE, Outlet, Stage, Tools

UPSTREAM, DOWNSTREAM = "upstream", "downstream"  # from the client to the server, and back
WRITES_AHEAD = 256 * KIBIBYTE  # what may wait to be written to a socket before its source is no longer read
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, 0 s

log = logging.getLogger(__name__)


@dataclass
class Toxic:
    """A toxic as it was added to a proxy; `toxicity` is the share of links that it acts on."""

    name: str
    type: str
    stream: str
    toxicity: float
    options: Any


def _drop(data: bytes) -> None:
    """Where data goes when its destination is gone."""


class Side(asyncio.Protocol):
    """One socket of a connection. Where its data goes is its `data_received`, which `lead` replaces."""

    transport: asyncio.Transport
    outgoing: Link  # carries what this socket receives
    incoming: Link  # carries what this socket sends

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.data_received: Callable[[bytes], None] = _drop  # type: ignore[assignment]
        self.there = False  # connected, and not lost yet
        self.ended = False  # will receive nothing more

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=WRITES_AHEAD)
        self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.there = True
        self._connection.made(self)

    def lead(self, to: Callable[[bytes], None]) -> None:
        """What is received from now on goes there: without toxics straight to the other's write, no function in between."""
        self.data_received = to
        if self.there and not self.transport.is_closing():
            self.transport.set_protocol(self)  # uvloop asks a protocol for its functions once, here

    def eof_received(self) -> bool:
        self.ended = True
        self.outgoing.source_ended()
        return True  # the other direction goes on

    def connection_lost(self, exc: Exception | None) -> None:
        self.there = False
        self.ended = True
        self._connection.lost(self)

    def pause_writing(self) -> None:
        self.incoming.block(True)

    def resume_writing(self) -> None:
        self.incoming.block(False)

    def end(self) -> None:
        """Sends the end, after what is still to be written; the other direction stays open."""
        try:
            self.transport.write_eof()
        except OSError:  # the peer has reset the connection, which the loop has not seen yet
            self.transport.abort()

    def close(self) -> None:
        """Closes both ways, after what is still to be written."""
        if self.there:
            self.transport.close()

    def reset(self) -> None:
        """Closes with RST; what is still to be written is lost."""
        if self.there:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.transport.abort()

    def abort(self) -> None:
        """Closes now; what the kernel does not have yet is lost."""
        if self.there:
            self.transport.abort()


class Link:
    """One direction of a connection; the path that its stages belong to, and the outlet of the last of them."""

    def __init__(self, connection: Connection, source: Side, destination: Side, tools: Tools, traffic: Traffic | None) -> None:
        self._connection = connection
        self._traffic = traffic
        self._source = source
        self._destination = destination
        self._tools = tools
        self._stages: list[Stage] = []
        self._early: list[bytes] = []  # what came before the destination was there
        self._open = False
        self._blocked = False
        self._paused = False
        self._cut = False
        self.ended = False
        source.outgoing = self
        source.lead(self._keep)
        destination.incoming = self

    def open(self, toxics: Sequence[Toxic]) -> None:
        """Both sides are there: data may flow."""
        self._open = True
        self._stages = [self._stage(toxic) for toxic in toxics]
        self._wire()
        for chunk in self._early:
            self._source.data_received(chunk)
        self._early.clear()
        self.flow()
        if self._source.ended:
            self.source_ended()

    # --- toxics -------------------------------------------------------------------------------------------

    def add(self, toxic: Toxic) -> None:
        """Adds a toxic at the end of the chain."""
        if self._open:
            self._stages.append(self._stage(toxic))
            self._wire()

    def update(self, index: int, toxic: Toxic) -> None:
        """The toxic at `index` of the chain has other options, or another toxicity."""
        if not self._open:
            return
        old, new = self._stages[index], self._stage(toxic)
        if type(old) is type(new):
            new.discard()
            old.update(toxic.options)
        else:
            old.withdraw()
            self._stages[index] = new
            self._wire()
        self.flow()

    def remove(self, index: int) -> None:
        """Takes the toxic at `index` out of the chain; what it held flows on."""
        if self._open:
            self._stages.pop(index).withdraw()
            self._wire()
            self.flow()

    def _stage(self, toxic: Toxic) -> Stage:
        kind: type[Stage] = toxic.options.stage if self._tools.chance.random() < toxic.toxicity else Stage
        return kind(toxic.options, self, self._tools)

    def _wire(self) -> None:
        outlets: list[Outlet] = [*self._stages[1:], self]
        for stage, outlet in zip(self._stages, outlets, strict=False):
            stage.outlet = outlet
        if self._cut or self.ended:
            self._source.lead(_drop)
        else:
            direct = not self._stages and self._traffic is None
            self._source.lead(self._destination.transport.write if direct else self._feed)

    # --- data ---------------------------------------------------------------------------------------------

    def _keep(self, data: bytes) -> None:
        self._early.append(data)
        self._pause(True)

    def _feed(self, data: bytes) -> None:
        if self._traffic is not None:
            self._traffic.received += len(data)
        (self._stages[0] if self._stages else self).data(data, now_ns())
        self.flow()

    def data(self, chunk: bytes, at: int) -> None:
        """Leaves the last stage for the destination."""
        if not self.ended:
            if self._traffic is not None:
                self._traffic.sent += len(chunk)
            self._destination.transport.write(chunk)

    def source_ended(self) -> None:
        """The source sent its end, or is gone: the end goes through the chain."""
        if self._open:
            (self._stages[0] if self._stages else self).end()

    def end(self) -> None:
        """The end has passed the last stage."""
        if self.ended:
            return
        self.ended = True
        self._wire()
        if self._cut:
            self._destination.close()
        else:
            self._destination.end()
            self._connection.half_closed()

    def source_lost(self) -> None:
        """The source can neither send nor receive any more; once the data has passed, nor shall the destination."""
        if self.ended:
            self._destination.close()
        else:
            self.cut()
            self.source_ended()

    def abandon(self) -> None:
        """The destination is gone: what was on its way is dropped, and so is what still comes."""
        for stage in self._stages:
            stage.discard()
        self.ended = True
        self._source.lead(_drop)
        self.block(False)

    def cut(self) -> None:
        self._cut = True
        self._source.lead(_drop)

    def reset(self) -> None:
        self._connection.reset()

    # --- flow control -------------------------------------------------------------------------------------

    def block(self, blocked: bool) -> None:
        """Whether the destination can take no more for now."""
        self._blocked = blocked
        self.flow()

    def flow(self) -> None:
        """Reads the source just when there is room for what comes."""
        if self._open:
            self._pause(self._blocked or any(stage.held > stage.holds_at_most for stage in self._stages))

    def _pause(self, pause: bool) -> None:
        source = self._source
        if pause is self._paused or source.ended or source.transport.is_closing():
            return
        self._paused = pause
        if pause:
            source.transport.pause_reading()
        else:
            source.transport.resume_reading()


class Connection:
    """A client's connection to a proxy, and the proxy's own to the upstream.

    `done` is called once, when both are gone.
    """

    def __init__(
        self,
        dial: Callable[[Side], Awaitable[None]],
        chains: Mapping[str, Sequence[Toxic]],
        tools: Tools,
        done: Callable[[Connection], None],
        traffic: Mapping[str, Traffic | None],
    ) -> None:
        self._dial = dial
        self._chains = chains
        self._done = done
        self.client = Side(self)
        self.server = Side(self)
        self.links = {
            UPSTREAM: Link(self, self.client, self.server, tools, traffic.get(UPSTREAM)),
            DOWNSTREAM: Link(self, self.server, self.client, tools, traffic.get(DOWNSTREAM)),
        }
        self._dialling: asyncio.Task[None] | None = None

    def made(self, side: Side) -> None:
        """A side is connected: the client first, which makes us dial."""
        if side is self.client:
            self._dialling = asyncio.get_running_loop().create_task(self._connect())
        elif self.client.there:
            for stream, link in self.links.items():
                link.open(self._chains[stream])
        else:
            side.abort()

    async def _connect(self) -> None:
        try:
            await self._dial(self.server)
        except OSError as error:
            log.debug("no connection to the upstream: %s", error)
            self.client.close()

    def lost(self, side: Side) -> None:
        """A side is gone."""
        if not self.server.there and self._dialling is not None:
            self._dialling.cancel()
        side.incoming.abandon()
        side.outgoing.source_lost()
        if not self.client.there and not self.server.there:
            self._done(self)

    def half_closed(self) -> None:
        """A direction has ended; when both have, nothing is left to carry."""
        if all(link.ended for link in self.links.values()):
            self.client.close()
            self.server.close()

    def reset(self) -> None:
        for link in self.links.values():
            link.abandon()
        self.client.reset()
        self.server.reset()

    def abort(self) -> None:
        """Ends the connection at once."""
        for link in self.links.values():
            link.abandon()
        if self._dialling is not None:
            self._dialling.cancel()
        self.client.abort()
        self.server.abort()
