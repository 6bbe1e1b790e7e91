"""What is process 1 of a node, and what does it do for who asks?

It starts the node's server and whatever else is to run there, reaps all that ends, and lets programs of this machine in at
the node's published ports. The server is one of its children, so the node outlives it, address and rules included.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import niceness
from harness.namespaces import kernel
from harness.namespaces.wire import LONGEST, answered

# What a node sees there is its own: nothing of the machine's is below.
ROOM = "/run/harness"
LOG = f"{ROOM}/log"
OWN_FOLDERS = ("data", "config", "log", "history", "tmp", "bin")

SETTINGS = {
    # A host that was lost knows none of its connections when it is back: those of killed processes are forgotten in a second.
    "tcp_orphan_retries": "1",
    # Witnesses ask for echoes, as nobody in particular.
    "ping_group_range": "{group} {group}",
}


@dataclass(frozen=True)
class Layout:
    """What a node is, as the keeper makes it.

    `binds` are folders of this machine and where the node has them; `programs` are small scripts, by name, that come first
    in its PATH; `published` are its ports that programs of this machine reach, and the ports of this machine that lead there.
    """

    name: str
    address: str
    prefix: int
    port: str  # what the outer end of its link is called
    environment: Mapping[str, str]
    binds: Mapping[str, str]
    programs: Mapping[str, str]
    niceness: int
    published: Mapping[str, int]  # by the port's number, which is a word in JSON


def furnish(layout: Layout) -> None:
    """Makes this new namespace's file system the node's: its own processes, its own memory, its own room."""
    kernel.mount("none", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
    quiet = kernel.NO_SETUID | kernel.NO_DEVICES
    kernel.mount("proc", "/proc", "proc", quiet | kernel.NO_PROGRAMS)
    kernel.mount("tmpfs", "/run", "tmpfs", quiet, "mode=755")
    kernel.mount("tmpfs", "/dev/shm", "tmpfs", quiet, "mode=1777")  # noqa: S108 (the node's own)
    for name in OWN_FOLDERS:
        Path(ROOM, name).mkdir(mode=0o700, parents=True)
    for source, target in layout.binds.items():
        kernel.mount(source, target, flags=kernel.BIND)
    for name, text in layout.programs.items():
        program = Path(ROOM, "bin", name)
        program.write_text(text)
        program.chmod(0o755)
    kernel.call_host(layout.name)
    os.nice(layout.niceness)
    for name, value in SETTINGS.items():
        Path("/proc/sys/net/ipv4", name).write_text(value.format(group=os.getgid()))


@dataclass
class NodeServer:
    """Answers what is asked of one node."""

    layout: Layout
    _main: int = 0  # the server's process, while it is there
    _giving_way: asyncio.Task[None] | None = None
    _ending: dict[int, asyncio.Future[int]] = field(default_factory=dict)

    async def serve(self, asked: socket.socket, entrances: Mapping[int, socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for port, listening in entrances.items():
            await asyncio.start_server(functools.partial(_forward, self.layout.address, port), sock=listening)
        async with await asyncio.start_unix_server(self._asked, sock=asked, limit=LONGEST) as server:
            await server.serve_forever()

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._answer(await reader.readline())
        except (OSError, ValueError, KeyError, TypeError) as problem:
            answer = {"refused": f"{self.layout.name}: {getattr(problem, 'strerror', None) or problem}"}
        with suppress(ConnectionError):
            writer.write(answered(answer))
            await writer.drain()
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        about = json.loads(line)
        what = about.pop("ask")
        answers: Mapping[str, Callable[..., Any]] = {
            "start": self._start, "end": self._end, "kill": self._kill, "pause": self._pause, "resume": self._resume,
            "running": self._running, "run": self._run, "spawn": self._spawn, "put": self._put, "published": self._published,
        }  # fmt: skip
        answer = answers[what](**about)
        return await answer if asyncio.iscoroutine(answer) else (answer or {})

    # --- the server ---

    def _start(self, argv: Sequence[str], files: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, Any]:
        for path, text in files.items():
            self._put(path, text)
        self._main = self._launch(argv, environment, log="server")
        if self.layout.niceness:
            self._giving_way = asyncio.get_running_loop().create_task(self._give_way(self._main))
        return {}

    async def _give_way(self, pid: int) -> None:
        """The server is as nice as its node; its session has to be told so."""
        for _ in range(niceness.TRIES):
            if niceness.make_session_nice(pid, self.layout.niceness):
                return
            await asyncio.sleep(niceness.AGAIN_S)

    def _end(self) -> None:
        if self._main:
            os.kill(self._main, signal.SIGTERM)

    def _running(self) -> dict[str, Any]:
        return {"running": bool(self._main)}

    # --- all processes of the node; -1 is every one but this: no time in which some are left ---

    async def _kill(self) -> dict[str, Any]:
        """Returns when nobody is left: what listened does so no more."""
        _everybody(signal.SIGKILL)
        while _anybody():  # noqa: ASYNC110 (the kernel tells of children only)
            await asyncio.sleep(0.001)
        return {}

    def _pause(self) -> None:
        _everybody(signal.SIGSTOP)

    def _resume(self) -> None:
        _everybody(signal.SIGCONT)

    # --- anything else ---

    async def _run(self, argv: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
        """Runs a program to its end, whatever it leaves running."""
        with os.fdopen(os.memfd_create("printed"), "rb") as printed:
            try:
                pid = self._spawned(argv, environment, printed.fileno())
            except OSError as problem:
                return {"status": 127, "out": f"{argv[0]}: {problem.strerror}\n"}
            ended = self._ending[pid] = asyncio.get_running_loop().create_future()
            status = await ended
            printed.seek(0)
            return {"status": status, "out": printed.read().decode("utf-8", "replace")}

    def _spawn(self, argv: Sequence[str], log: str) -> None:
        self._launch(argv, {}, log)

    def _put(self, path: str, text: str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)

    def _published(self) -> dict[str, Any]:
        return {"published": self.layout.published}

    def _launch(self, argv: Sequence[str], environment: Mapping[str, str], log: str) -> int:
        with open(f"{LOG}/{log}.log", "ab") as out:
            return self._spawned(argv, environment, out.fileno())

    def _spawned(self, argv: Sequence[str], environment: Mapping[str, str], out: int) -> int:
        process = subprocess.Popen(
            list(argv), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd=ROOM,
            env={**self.layout.environment, **environment},
        )  # fmt: skip
        process.returncode = 0  # `_reap` waits for it, not this object
        return process.pid

    def _reap(self) -> None:
        """Everything that has no parent any more becomes a child of process 1."""
        for pid, status in kernel.reaped():
            if pid == self._main:
                self._main = 0
            if ending := self._ending.pop(pid, None):
                ending.set_result(status)


def _anybody() -> bool:
    try:
        os.kill(-1, 0)
    except ProcessLookupError:
        return False
    return True


def _everybody(number: int) -> None:
    with suppress(ProcessLookupError):  # nobody there
        os.kill(-1, number)


async def _forward(address: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Joins a connection from this machine with one inside the node."""
    try:
        inner_reader, inner_writer = await asyncio.open_connection(address, port)
    except OSError:
        writer.transport.abort()
        return
    await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
    for one in (inner_writer, writer):
        one.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(1 << 16):
            target.write(chunk)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
    except OSError:
        target.transport.abort()
