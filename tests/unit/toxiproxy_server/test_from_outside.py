"""Does the conformance suite take a server that is given from outside, by URL and by path?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conformance.toxiproxy.wire import Api, is_refused

ROOT = Path(__file__).parents[3]
TEST = "tests/conformance/toxiproxy/test_toxics.py::test_reset_peer_gives_both_ends_a_reset"


def conformance(server: str) -> str:
    """What pytest said in the end."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TEST, "--toxiproxy", server]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False).stdout


def test_a_running_server_is_given_by_its_url(two_apis: tuple[Api, Api]) -> None:
    """It is used, emptied, and left running."""
    api = two_apis[0]
    api.proxy(5432, "left over")
    assert "2 passed" in conformance(f"http://{api.host}:{api.port}")
    assert api.ask("GET", "/proxies") == (200, {})


def test_a_binary_is_given_by_its_path_started_and_ended(tmp_path: Path) -> None:
    """With flags that Toxiproxy has, too, and on a port that was free."""
    binary, said = tmp_path / "toxiproxy-server", tmp_path / "said"
    binary.write_text(f'#!/bin/sh\necho "$@" >{said}\nexec {sys.executable} -m harness.toxiproxy_server "$@"\n')
    binary.chmod(0o755)
    assert "2 passed" in conformance(str(binary))
    host, flag, port = said.read_text().split()[1:4]
    assert (host, flag) == ("127.0.0.1", "-port")
    assert is_refused(f"127.0.0.1:{port}")


def test_a_binary_that_ends_at_once_is_an_error_that_shows_why(tmp_path: Path) -> None:
    """And not a wait."""
    binary = tmp_path / "toxiproxy-server"
    binary.write_text("#!/bin/sh\necho no such flag; exit 2\n")
    binary.chmod(0o755)
    assert "no such flag" in conformance(str(binary))
