"""Who holds a cluster's namespaces, so that all of it ends at once, whatever happens?

    python -m harness.namespaces.keeper RUN_ID FOLDER

Two processes. The first, a child of the run's supervisor, is this machine's; the second is process 1 of the cluster's own
namespace of processes, in which every node lies. Each is killed with the one before it, and the kernel kills everything in a
namespace whose process 1 is gone: nobody has to be there to clean up. Both have one thread, because a parent's death
is told when the thread that forked ends.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from harness.errors import HarnessError
from harness.namespaces import kernel
from harness.namespaces.bridge import Chain, Rules, Way, join, make_bridge, plug
from harness.namespaces.node import Layout, NodeServer, furnish
from harness.namespaces.wire import answered, question

SOCKET, REFUSED = "keeper.sock", "refused"
BACKLOG = 64


def main(run_id: str, folder: str) -> int:
    """Keeps the run's nodes until its parent ends or it is killed. `folder` receives its socket, and each node's."""
    kernel.die_with_parent()
    # What the supervisor blocks and ignores must reach the servers again; process 1 of a namespace ignores it anyway.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(folder)
    try:
        kernel.enter_user_namespace(also=kernel.NODE)
        alive, held = os.pipe()
        core = os.fork()
        if core == 0:
            os.close(held)
            _keep(run_id, alive)
        os.close(alive)
        return os.waitstatus_to_exitcode(os.waitpid(core, 0)[1])
    except HarnessError as problem:
        _refuse(str(problem))
        return 1


def _refuse(why: str) -> None:
    """Leaves word for who waits for the socket."""
    Path(f"{REFUSED}.new").write_text(why)
    Path(f"{REFUSED}.new").rename(REFUSED)


def _keep(run_id: str, parent: int) -> NoReturn:
    """Life of process 1; `parent` is a pipe that the first process holds open."""
    status = 1
    try:
        kernel.die_with_parent()
        os.set_blocking(parent, False)
        with suppress(BlockingIOError):
            os.read(parent, 1)
            os._exit(1)  # it died before this process was tied to it
        kernel.call_process(f"harness-{run_id}"[:15])
        kernel.mount("none", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
        kernel.mount("proc", "/proc", "proc", kernel.NO_SETUID | kernel.NO_DEVICES | kernel.NO_PROGRAMS)
        kernel.mount("tmpfs", "/run", "tmpfs", kernel.NO_SETUID | kernel.NO_DEVICES, "mode=755")  # room beside the bridge
        make_bridge()
        Keeper().serve()
        status = 0
    except OSError as problem:
        _refuse(f"nodes cannot be made on this machine: {kernel.forbidden(problem)}")
    except BaseException:  # noqa: BLE001 (nothing may get past the end of a forked process)
        traceback.print_exc()
    finally:
        os._exit(status)


@dataclass
class Keeper:
    """Makes nodes, and the rules between them; it answers one question after the other."""

    rules: Rules = field(default_factory=Rules)
    nodes: dict[str, int] = field(default_factory=dict)  # name → its process 1
    made: int = 0  # how many there ever were
    chains: list[str] = field(default_factory=list)  # in force
    watching: list[socket.socket] = field(default_factory=list)

    def serve(self) -> None:
        woken, wakes = socket.socketpair()
        for end in (woken, wakes):
            end.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno())
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        with _listening(SOCKET) as asked, selectors.DefaultSelector() as ready:
            ready.register(asked, selectors.EVENT_READ)
            ready.register(woken, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    if key.fileobj is woken:
                        woken.recv(4096)
                        self._reap()
                    else:
                        self._asked(asked.accept()[0])

    def _asked(self, one: socket.socket) -> None:
        one.settimeout(30)
        try:
            about, files = question(one)
            try:
                if about["ask"] == "watch":
                    self.watching.append(one)
                    one.sendall(answered({}))
                    return
                answer = self._answer(about.pop("ask"), about, files)
            finally:
                for file in files:
                    os.close(file)
        except OSError as problem:
            answer = {"refused": kernel.forbidden(problem)}
        except (HarnessError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as problem:
            answer = {"refused": str(problem)}
        with suppress(OSError):
            one.sendall(answered(answer))
            one.shutdown(socket.SHUT_RDWR)
        one.close()

    def _answer(self, what: str, about: dict[str, Any], files: list[int]) -> dict[str, Any]:
        if what == "add":
            return self._add(Layout(**about["layout"]), files)
        answers: Mapping[str, Callable[..., dict[str, Any]]] = {
            "ready": self._ready, "remove": self._remove, "rule": self._rule, "unrule": self._unrule,
            "counted": self._counted, "run": self._run,
        }  # fmt: skip
        return answers[what](**about)

    # --- nodes ---

    def _ready(self) -> dict[str, Any]:
        return {"nodes": list(self.nodes), "made": self.made}

    def _add(self, layout: Layout, files: list[int]) -> dict[str, Any]:
        """Makes a node: its namespaces are left to its process 1 by a process in between, which makes them."""
        network = os.open("/proc/self/ns/net", os.O_RDONLY)
        said, says = os.pipe()
        try:
            with _listening(f"{layout.name}.sock") as asked:
                between = os.fork()
                if between == 0:
                    os.close(said)
                    _become(layout, asked, dict(zip(map(int, layout.published), files, strict=True)), network, says)
            os.close(says)
            says = -1
            first, _, why = _read_all(said).partition(b" ")
            os.waitpid(between, 0)
            if first != b"made":
                raise HarnessError(f"{layout.name}: {(first + b' ' + why).decode() or 'it ended while it was made'}")
            self.nodes[layout.name] = int(why)
            self.made += 1
            plug(layout.port)
        finally:
            for file in (network, said, *((says,) if says >= 0 else ())):
                os.close(file)
        return {}

    def _remove(self, name: str) -> dict[str, Any]:
        """Ends a node with everything in it; nobody is told, since it was asked for."""
        process = self.nodes.pop(name)
        os.kill(process, signal.SIGKILL)
        Path(f"{name}.sock").unlink()
        return {}

    def _reap(self) -> None:
        for pid, status in kernel.reaped():
            for name in [name for name, process in self.nodes.items() if process == pid]:
                del self.nodes[name]
                self._tell({"node": name, "status": status})

    def _tell(self, what: dict[str, Any]) -> None:
        for one in list(self.watching):
            try:
                one.sendall(answered(what))
            except OSError:
                self.watching.remove(one)
                one.close()

    # --- rules ---

    def _rule(self, chains: list[dict[str, Any]], ways: list[dict[str, Any]]) -> dict[str, Any]:
        made = [Chain(**chain) for chain in chains]
        if any(chain.name in self.chains for chain in made):
            raise HarnessError("the same two groups are cut already")
        self.rules.make(made, [Way(**way) for way in ways])
        self.chains += [chain.name for chain in made]
        return {}

    def _unrule(self, chains: list[str] | None) -> dict[str, Any]:
        """Deletes chains; all of them for None."""
        ended = list(self.chains) if chains is None else chains
        self.rules.delete(ended)
        self.chains = [one for one in self.chains if one not in ended]
        return {}

    def _counted(self, chains: list[str]) -> dict[str, Any]:
        return {"counted": [rule for chain in chains if chain in self.chains for rule in self.rules.counted(chain)]}

    def _run(self, argv: list[str]) -> dict[str, Any]:
        """Runs a program beside the bridge, with the rights to handle its packets."""
        ended = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=30, stdin=subprocess.DEVNULL,
            preexec_fn=kernel.keep_rights,
        )  # fmt: skip
        return {"status": ended.returncode, "out": ended.stdout + ended.stderr}


def _listening(name: str) -> socket.socket:
    """A socket of that name in the folder, which only its owner can ask."""
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        one.bind(name)
    finally:
        os.umask(before)
    one.listen(BACKLOG)
    return one


def _read_all(file: int) -> bytes:
    return b"".join(iter(lambda: os.read(file, 4096), b""))


def _become(layout: Layout, asked: socket.socket, files: Mapping[int, int], network: int, says: int) -> NoReturn:
    """Makes a node's namespaces and forks its process 1; says `made` and its id, or why not."""
    try:
        _close_all_but(asked.fileno(), network, says, *files.values())
        kernel.unshare(kernel.NODE)
        join(layout.port, layout.address, layout.prefix, network)
        told, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            _live(layout, asked, files, tell, spare=(network, says, told))
        os.close(tell)
        why = _read_all(told)
        # The id as the keeper sees it: this process is in its namespace, only its children are not.
        os.write(says, why or b"made %d" % pid)
    except OSError as problem:
        os.write(says, kernel.forbidden(problem).encode())
    except BaseException as problem:  # noqa: BLE001 (nothing may get past the end of a forked process)
        os.write(says, f"{type(problem).__name__}: {problem}".encode())
    finally:
        os._exit(0)


def _close_all_but(*kept: int) -> None:
    """Nothing of the keeper's own stays open in a node, such as who asks it."""
    for file in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if file > 2 and file not in kept:
            with suppress(OSError):
                os.close(file)


def _live(layout: Layout, asked: socket.socket, files: Mapping[int, int], tell: int, spare: tuple[int, ...]) -> NoReturn:
    """Life of a node's process 1; `tell` is closed once the node is furnished, after the reason if it cannot be."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for file in spare:
            os.close(file)
        entrances = {port: socket.socket(fileno=os.dup(file)) for port, file in files.items()}
        try:
            furnish(layout)
        except OSError as problem:
            os.write(tell, f"{kernel.forbidden(problem)}".encode())
            os._exit(1)
        kernel.call_process(layout.name[:15])
        # Whoever asks is told by the kernel who listened last: from the first question on that is this process, not the keeper.
        asked.listen(BACKLOG)
        os.close(tell)
        asyncio.run(NodeServer(layout).serve(asked, entrances))
    except BaseException:  # noqa: BLE001 (nothing may get past the end of a forked process)
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
