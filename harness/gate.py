"""How does a server become unreachable for a time that is known exactly?

The injector of a calibration, which shares no code with the probes that it checks. `inject CONFIG` starts a gate, a process
through which every byte between clients and a server goes, makes outages with it, and stamps each of its own acts before and
after. CONFIG is a JSON file: `listen` and `forward` (host, port), `folder` (where `truth.jsonl` goes, a line an outage),
`start` (a file that holds the instant, in ns of CLOCK_MONOTONIC, at which the plan begins) and `plan` ([{how, for_s, after_s}]).

Ways (`how`) of an outage, all without privileges:
    pause: the gate is stopped by SIGSTOP: its kernel acknowledges, nobody answers.
    black hole: the kernel drops every packet that comes, to connections and to the listener, since none has come with a time
        to live of 255 (IP_MINTTL, made for RFC 5082).
    reject: no listener, and a reset for every open connection: the kernel refuses at once.
    reset: whoever connects, or is connected, gets a reset.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

WAYS = ("pause", "black hole", "reject", "reset")
SECOND_NS = 1_000_000_000
_IP_MINTTL = 21  # linux/in.h
_LINGER = struct.pack("ii", 1, 0)  # closing sends a reset


class _Side(asyncio.Protocol):
    """One end of a connection through the gate; what it hears goes to its `other` end."""

    def __init__(self, gate: Gate, other: _Side | None = None) -> None:
        self.gate, self.other = gate, other
        self.transport: asyncio.Transport | None = None
        self.kept: list[bytes] = []  # what came while nothing may pass, or before the other end was there

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.other is None:
            self.gate.take(self)
        else:
            self.other.other = self
            self.other.flush()

    def data_received(self, data: bytes) -> None:
        self.kept.append(data)
        self.flush()

    def flush(self) -> None:
        if self.gate.holed or self.other is None or self.other.transport is None:
            return
        while self.kept:
            self.other.transport.write(self.kept.pop(0))

    def connection_lost(self, problem: Exception | None) -> None:  # noqa: ARG002 (the signature of a protocol)
        self.gate.clients.discard(self)
        if self.other is not None and self.other.transport is not None:
            self.other.transport.abort()

    @property
    def socket(self) -> Any:
        assert self.transport is not None
        return self.transport.get_extra_info("socket")

    def reset(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            self.transport.abort()


class Gate:
    """Listens, forwards, and does what it is told over its standard input, a word a line; answers with two stamps in ns."""

    def __init__(self, listen: tuple[str, int], forward: tuple[str, int]) -> None:
        self.listen, self.forward = listen, forward
        self.clients: set[_Side] = set()
        self.holed = self.resetting = False
        self._listener: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        await self._open()
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        acts = {
            "black hole": self._hole, "heal black hole": self._unhole, "reject": self._close, "heal reject": self._open,
            "reset": self._reset, "heal reset": self._unreset, "go on": self._go_on,
        }  # fmt: skip
        _say("ready")
        while line := (await reader.readline()).decode().strip():
            before = time.monotonic_ns()
            await acts[line]()
            _say(f"{before} {time.monotonic_ns()}")

    async def _open(self) -> None:
        self._listener = socket.create_server(self.listen, backlog=128)
        self._listener.setblocking(False)
        self._server = await asyncio.get_running_loop().create_server(lambda: _Side(self), sock=self._listener)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._all_reset()

    async def _go_on(self) -> None:
        """Nothing: that it answers says that it runs."""

    async def _reset(self) -> None:
        self.resetting = True
        await self._all_reset()

    async def _unreset(self) -> None:
        self.resetting = False

    async def _all_reset(self) -> None:
        for client in list(self.clients):
            client.reset()
        await asyncio.sleep(0)  # sockets that are aborted are closed by the loop, before it comes back here

    async def _hole(self) -> None:
        self.holed = True
        for one in self._sockets():
            one.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, 255)

    async def _unhole(self) -> None:
        for one in self._sockets():
            one.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, 0)
        self.holed = False
        for client in list(self.clients):
            client.flush()
            if client.other is not None:
                client.other.flush()

    def _sockets(self) -> list[Any]:
        return [self._listener, *(client.socket for client in self.clients)]

    def take(self, client: _Side) -> None:
        if self.resetting:
            client.reset()
            return
        self.clients.add(client)
        task = asyncio.get_running_loop().create_task(self._connect(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, client: _Side) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Side(self, client), *self.forward)
        except OSError:
            client.reset()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


# --- the injector ------------------------------------------------------------------------------------------------------


class _Injector:
    """Owns the gate, and knows when each of its acts was: between which two instants, in ns."""

    def __init__(self, path: str) -> None:
        self._gate = subprocess.Popen([sys.executable, "-m", "harness.gate", "serve", path], stdin=-1, stdout=-1, text=True)
        self._answer()

    def _answer(self) -> list[str]:
        assert self._gate.stdout is not None
        said = self._gate.stdout.readline().split()
        if not said:
            raise OSError(f"the gate ended with status {self._gate.wait()}")
        return said

    def _tell(self, word: str) -> None:
        assert self._gate.stdin is not None
        self._gate.stdin.write(f"{word}\n")
        self._gate.stdin.flush()

    def _told(self, word: str) -> tuple[int, int]:
        self._tell(word)
        before, after = self._answer()
        return int(before), int(after)

    def _stop(self) -> tuple[int, int]:
        before = time.monotonic_ns()
        self._gate.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._gate.pid, os.WSTOPPED)
        return before, time.monotonic_ns()

    def _continue(self) -> tuple[int, int]:
        """Over when the gate runs, by its own word: a signal only lets it, and a machine that is busy lets it wait."""
        self._tell("go on")
        before = time.monotonic_ns()
        self._gate.send_signal(signal.SIGCONT)
        return before, int(self._answer()[1])

    def begin(self, how: str) -> tuple[int, int]:
        return self._stop() if how == "pause" else self._told(how)

    def end(self, how: str) -> tuple[int, int]:
        return self._continue() if how == "pause" else self._told(f"heal {how}")

    def close(self) -> None:
        self._gate.kill()
        self._gate.wait()


def inject(path: str) -> int:
    """Carries a plan out, a line of truth for each outage; then serves until the folder holds a file called `stop`."""
    config = json.loads(Path(path).read_text())
    folder = Path(config["folder"])
    injector = _Injector(path)
    try:
        (folder / "gate.ready").touch()
        while not Path(config["start"]).exists():
            time.sleep(0.02)
        at = int(Path(config["start"]).read_text())
        for outage in config["plan"]:
            at += int(outage["after_s"] * SECOND_NS)
            _sleep_until(at)
            began = injector.begin(outage["how"])
            _sleep_until(began[1] + int(outage["for_s"] * SECOND_NS))
            ended = injector.end(outage["how"])
            at = ended[1]
            with (folder / "truth.jsonl").open("a") as truths:
                truths.write(json.dumps({**outage, "began": began, "ended": ended}) + "\n")
        while not (folder / "stop").exists():
            time.sleep(0.1)
    finally:
        injector.close()
    return 0


def _sleep_until(at: int) -> None:
    while (left := at - time.monotonic_ns()) > 0:
        time.sleep(left / SECOND_NS)


def serve(path: str) -> int:
    """The gate itself."""
    config = json.loads(Path(path).read_text())
    with suppress(KeyboardInterrupt):
        asyncio.run(Gate(tuple(config["listen"]), tuple(config["forward"])).serve())
    return 0


if __name__ == "__main__":
    sys.exit({"inject": inject, "serve": serve}[sys.argv[1]](sys.argv[2]))
