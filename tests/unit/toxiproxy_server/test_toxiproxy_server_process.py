"""Does the server start, say who it is, and end, as a process of its own?"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.toxiproxy_server.__main__ import loop_factory
from tests.conformance.toxiproxy.wire import Api

START = [sys.executable, "-m", "harness.toxiproxy_server"]


def started(*flags: str) -> tuple[subprocess.Popen[str], list[str]]:
    """The process, and the lines that it wrote until its API answered."""
    process = subprocess.Popen([*START, *flags], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if "API on http://" in line:
            break
    return process, lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_begins_with_its_name_and_ends_cleanly(number: signal.Signals) -> None:
    """Every change is one line on stderr."""
    process, lines = started("-host", "127.0.0.1", "-port", "0", "-seed", "5")
    loop = loop_factory().__module__.partition(".")[0]
    assert f" harness-toxiproxy 2.12.0+harness (seed 5, {loop}): API on http://127.0.0.1:" in lines[-1]
    api = Api("127.0.0.1", int(lines[-1].strip().rpartition(":")[2]))
    api.proxy(5432)
    api.toxic("latency", latency=100)
    process.send_signal(number)
    _, rest = process.communicate(timeout=10)
    assert process.returncode == 0
    changes = [line.split(" ", 3)[3] for line in rest.splitlines()]
    assert re.fullmatch(r"proxy db: listens on 127\.0\.0\.1:\d+, leads to 127\.0\.0\.1:5432", changes[0])
    assert changes[1:] == [
        "proxy db: toxic latency_downstream added: latency on downstream, latency 100, jitter 0, toxicity 1",
        "harness-toxiproxy: ends",
        "proxy db: stopped",
    ]


def test_it_begins_with_the_proxies_of_its_config(tmp_path: Path) -> None:
    """In Toxiproxy's own format."""
    config = tmp_path / "toxiproxy.json"
    config.write_text(json.dumps([{"name": "db", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:5432"}]))
    process, lines = started("-host", "127.0.0.1", "-port", "0", "-config", str(config))
    try:
        api = Api("127.0.0.1", int(lines[-1].strip().rpartition(":")[2]))
        assert api.ask("GET", "/proxies/db")[1]["enabled"] is True
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_an_address_that_is_taken_is_one_line_and_an_exit_code() -> None:
    """No traceback."""
    process, lines = started("-host", "127.0.0.1", "-port", "0")
    try:
        port = lines[-1].strip().rpartition(":")[2]
        again = [*START, "-host", "127.0.0.1", "-port", port]
        second = subprocess.run(again, capture_output=True, text=True, timeout=20, check=False)
        assert second.returncode == 1
        assert second.stderr.startswith(f"harness-toxiproxy: 127.0.0.1:{port}: ")
        assert len(second.stderr.splitlines()) == 1
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_uvloop_is_used_just_where_it_is_present(monkeypatch: pytest.MonkeyPatch) -> None:
    """It doubles what the proxies carry."""
    uvloop = pytest.importorskip("uvloop")
    assert loop_factory() is uvloop.new_event_loop
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is asyncio.new_event_loop


def test_metrics_of_the_process_are_there_where_asked_for() -> None:
    """Under the names that Prometheus gives them."""
    process, lines = started("-host", "127.0.0.1", "-port", "0", "-runtime-metrics")
    try:
        status, headers, body = Api("127.0.0.1", int(lines[-1].strip().rpartition(":")[2])).call("GET", "/metrics")
        assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        shown = dict(line.split() for line in body.decode().splitlines() if not line.startswith("#"))
        assert int(shown["process_resident_memory_bytes"]) > 1_000_000
        assert abs(float(shown["process_start_time_seconds"]) - time.time()) < 60
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_it_needs_only_what_a_client_node_has() -> None:
    """The client image has neither what judging needs nor an engine's client."""
    absent = ("numpy", "pydantic", "duckdb", "yaml", "rich", "click", "jinja2", "docker", "testcontainers", "toxiproxy")
    code = f"import sys; sys.modules.update(dict.fromkeys({absent})); import harness.toxiproxy_server.__main__"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
