"""Does whatever an engine's client raises end as one clear line of our own?"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import docker.errors
import pytest
import requests
import urllib3.exceptions

from harness.errors import ClusterError, HarnessError, RuntimeUnavailable
from harness.runtimes import docker as runtime
from harness.runtimes.engine import _frames, asked, engine


@contextmanager
def server(folder: Path, answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """An engine's socket at which every connection is answered so; yields what DOCKER_HOST would name."""
    path = folder / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"unix://{path}"
        listening.shutdown(socket.SHUT_RDWR)


def closes(connection: socket.socket) -> None:
    connection.recv(1000)


def is_no_engine(connection: socket.socket) -> None:
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n")


@pytest.mark.parametrize("answer", [closes, is_no_engine])
def test_an_engine_that_does_not_answer_as_one_is_unavailable_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[[socket.socket], None]
) -> None:
    with server(tmp_path, answer) as host:
        monkeypatch.setenv("DOCKER_HOST", host)
        with pytest.raises(RuntimeUnavailable, match="no Docker engine answers") as refused:
            engine()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (docker.errors.APIError("x", explanation="no such container\nmore"), "it could not be paused: no such container"),
        (
            requests.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError(104, "Reset"))),
            "it could not be paused: the Docker engine does not answer any more (Reset)",
        ),
        (requests.ReadTimeout("read timed out"), "the Docker engine does not answer any more (read timed out)"),
        (urllib3.exceptions.ProtocolError("Connection broken", ConnectionResetError(104, "Reset")), "any more (Reset)"),
        (ConnectionRefusedError(111, "Connection refused"), "any more (Connection refused)"),
        (docker.errors.DockerException(), "any more (DockerException)"),
    ],
    ids=["refused", "reset", "silent", "broken", "gone", "wordless"],
)
@pytest.mark.parametrize("error", [ClusterError, RuntimeUnavailable])
def test_what_a_client_raises_becomes_a_line_that_says_what_could_not_be_done(
    problem: Exception, said: str, error: type[HarnessError]
) -> None:
    with pytest.raises(error) as seen, asked("it could not be paused", error):
        raise problem
    assert said in str(seen.value)
    assert "\n" not in str(seen.value)


def test_what_is_no_word_of_an_engine_is_left_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), asked("it could not be done"):
        raise ZeroDivisionError
    with pytest.raises(FileNotFoundError), asked("it could not be done"):
        raise FileNotFoundError


class Removing:
    """A `remove` that finds what it is told to, or raises."""

    def __init__(self, *found: int | HarnessError) -> None:
        self.left = list(found)

    def __call__(self, run_id: str) -> int:
        found = self.left.pop(0) if self.left else 0
        if isinstance(found, HarnessError):
            raise found
        return found


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda s: None)


def test_a_run_counts_as_removed_once_nothing_of_it_has_come_up_for_a_while(
    monkeypatch: pytest.MonkeyPatch, no_waiting: None
) -> None:
    removing = Removing(14, 0, 0, 1, 0, 0, 0, 0)
    monkeypatch.setattr(runtime, "remove", removing)
    runtime.abandon("run", lambda line: None)
    assert removing.left == []


def test_an_engine_that_is_back_is_asked_to_remove_the_run_after_all(monkeypatch: pytest.MonkeyPatch, no_waiting: None) -> None:
    said: list[str] = []
    gone = ClusterError("the engine is gone")
    removing = Removing(gone, gone, RuntimeUnavailable("no engine answers"), 14)
    monkeypatch.setattr(runtime, "remove", removing)
    runtime.abandon("run", said.append)
    assert removing.left == []
    assert said == ["the engine is gone; trying again for 600 s", "no engine answers; trying again for 600 s"]


def test_an_engine_that_stays_away_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "remove", Removing(*[ClusterError("the engine is gone")] * 1000))
    with pytest.raises(ClusterError, match="the engine is gone"):
        runtime.abandon("run", lambda line: None, patience_s=0)


def test_what_a_command_printed_is_put_together_from_its_frames() -> None:
    out, err = b"\x01\x00\x00\x00\x00\x00\x00\x06hello\n", b"\x02\x00\x00\x00\x00\x00\x00\x01!"
    assert b"".join(_frames(out + err + out)) == b"hello\n!hello\n"
    assert b"".join(_frames(b"")) == b""
