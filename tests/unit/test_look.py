"""Does look.py, which runs alone in client nodes, print what was answered?"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

LOOK = Path(__file__).parents[2] / "harness" / "look.py"


class Manager(BaseHTTPRequestHandler):
    """Answers a GET with its path, a POST with what was posted, and refuses what is posted to /no."""

    def do_GET(self) -> None:
        self._answer(200, self.path)

    def do_POST(self) -> None:
        posted = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(412 if self.path == "/no" else 200, f"{self.headers['Content-Type']}: {posted}")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Manager) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def look(*words: object) -> str:
    """What look.py prints, run as it is in a client node: a plain file, without site or environment."""
    command = [sys.executable, "-S", "-E", str(LOOK), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def test_what_is_asked_prints_the_body(port: int) -> None:
    assert look("http", "127.0.0.1", port, "/patroni", 5) == "/patroni"


def test_what_is_posted_prints_the_status_first(port: int) -> None:
    posted = json.dumps({"leader": "pg-a"})
    assert look("post", "127.0.0.1", port, "/switchover", 5, posted) == f"200 application/json: {posted}"
    assert look("post", "127.0.0.1", port, "/no", 5, posted).startswith("412 ")


def test_all_that_is_said_until_the_end_is_printed_of_several_at_once(port: int) -> None:
    role, other = (f"GET /{what} HTTP/1.0\r\n\r\n".encode().hex() for what in ("role", "other"))
    said = json.loads(look("talk", 5, "127.0.0.1", port, role, "127.0.0.1", 1, role, "127.0.0.1", port, other))
    assert [one.rpartition("/")[2] for one in said] == ["role", "", "other"]
    assert json.loads(look("talk", 5)) == []


def test_where_nobody_answers_the_reason_is_told_only_to_who_posts() -> None:
    assert look("http", "127.0.0.1", 1, "/patroni", 5) == ""
    assert look("post", "127.0.0.1", 1, "/switchover", 5, "{}").startswith("0 ")
