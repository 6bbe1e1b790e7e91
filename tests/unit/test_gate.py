"""Does the injector of a calibration make outages, and know between which instants each of its acts was?"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.clock import now_ns, wait_until
from harness.gate import WAYS, _Injector

WITHIN_S = 10
# Takes a core from all that have no real-time priority, half a second at most.
BURN = """
import os, sys, time
core, burning, enough = sys.argv[1:]
os.sched_setaffinity(0, {int(core)})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
until = time.monotonic() + 0.5
open(burning, "w").close()
while time.monotonic() < until and not os.path.exists(enough):
    pass
"""


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            self.wfile.write(line)


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield "127.0.0.1", server.server_address[1]
        server.shutdown()


@pytest.fixture
def gate(server: tuple[str, int], tmp_path: Path) -> Iterator[tuple[_Injector, tuple[str, int]]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = free.getsockname()
    config = tmp_path / "gate.json"
    config.write_text(json.dumps({"listen": listen, "forward": server}))
    injector = _Injector(str(config))
    yield injector, listen
    injector.close()


def echoed(address: tuple[str, int], patience_s: float) -> bool:
    try:
        with socket.create_connection(address, patience_s) as client:
            client.sendall(b"there?\n")
            return client.recv(100) == b"there?\n"
    except OSError:
        return False


@pytest.mark.parametrize("how", WAYS)
def test_an_outage_begins_and_ends_between_its_stamps(gate: tuple[_Injector, tuple[str, int]], how: str) -> None:
    injector, address = gate
    assert echoed(address, WITHIN_S)
    stamps = [now_ns(), *injector.begin(how)]
    assert not echoed(address, 0.2)
    stamps += [*injector.end(how), now_ns()]
    assert stamps == sorted(stamps)
    wait_until(lambda: echoed(address, WITHIN_S), WITHIN_S, "the gate to lead through again", every_s=0.01)


def one_core_can_be_taken() -> bool:
    """Whether this user may have real-time priority, on one of several cores."""
    asked = [sys.executable, "-c", "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"]
    return len(os.sched_getaffinity(0)) > 1 and subprocess.run(asked, check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not one_core_can_be_taken(), reason="takes a core of several with real-time priority")
def test_a_pause_is_not_over_before_the_gate_has_a_core(gate: tuple[_Injector, tuple[str, int]], tmp_path: Path) -> None:
    injector, _ = gate
    stopped = injector.begin("pause")
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(injector._gate.pid, {core})
    burning, enough = tmp_path / "burning", tmp_path / "enough"
    told: list[tuple[int, int]] = []
    ending = threading.Thread(target=lambda: told.append(injector.end("pause")))
    with subprocess.Popen([sys.executable, "-c", BURN, str(core), burning, enough]):
        try:
            wait_until(burning.exists, WITHIN_S, "a core to be taken", every_s=0.01)
            ending.start()
            ending.join(0.05)
            before = now_ns()
        finally:
            enough.touch()
    ending.join(WITHIN_S)
    assert stopped[1] <= told[0][0] < before <= told[0][1]
