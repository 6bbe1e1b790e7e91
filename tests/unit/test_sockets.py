"""A socket that waits without a timer of its own keeps its timeout all the same, and everything else that a socket does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import gevent
import pytest

from harness.clock import now_ns
from harness.deadline import Deadline, Expired
from harness.sockets import PatientSocket

MS = 1_000_000


@pytest.fixture
def pair() -> Iterator[tuple[PatientSocket, socket.socket]]:
    """A patient socket, and who answers it."""
    with socket.create_server(("127.0.0.1", 0)) as server, PatientSocket() as asks:
        asks.connect(server.getsockname())
        answers, _ = server.accept()
        with answers:
            yield asks, answers


def test_an_answer_is_read_be_it_there_or_on_its_way(pair: tuple[PatientSocket, socket.socket]) -> None:
    asks, answers = pair
    asks.settimeout(30)
    answers.sendall(b"there")
    assert asks.recv(10) == b"there"
    gevent.spawn_later(0.01, answers.sendall, b"late")
    assert asks.recv(10) == b"late"
    answers.close()
    assert asks.recv(10) == b""


def test_without_an_answer_it_gives_up_in_time_and_can_be_asked_again(pair: tuple[PatientSocket, socket.socket]) -> None:
    asks, answers = pair
    asks.settimeout(0.02)
    for _ in range(2):
        began = now_ns()
        with pytest.raises(TimeoutError, match="timed out"):
            asks.recv(10)
        assert now_ns() - began >= 20 * MS
    answers.sendall(b"at last")
    assert asks.recv(10) == b"at last"


def test_an_operation_s_own_deadline_comes_before_the_socket_s(pair: tuple[PatientSocket, socket.socket]) -> None:
    asks, _ = pair
    asks.settimeout(30)
    with pytest.raises(Expired), Deadline().at(now_ns() + 10 * MS):
        asks.recv(10)


def test_all_is_sent_be_there_room_for_it_or_not(pair: tuple[PatientSocket, socket.socket]) -> None:
    asks, answers = pair
    asks.settimeout(30)
    much = bytes(range(256)) * 40_000  # 10 MB, more than a kernel takes at once
    sending = gevent.spawn(asks.sendall, much)
    answers.setblocking(False)
    heard = b""
    while len(heard) < len(much):
        gevent.sleep(0)
        with suppress(BlockingIOError):
            heard += answers.recv(1 << 20)
    sending.get()
    assert heard == much


def test_a_closed_one_is_refused_and_one_without_a_timeout_waits(pair: tuple[PatientSocket, socket.socket]) -> None:
    asks, answers = pair
    gevent.spawn_later(0.01, answers.sendall, b"late")
    assert asks.recv(10) == b"late"
    asks.settimeout(0)
    with pytest.raises(BlockingIOError):
        asks.recv(10)
    asks.close()
    with pytest.raises(OSError, match="Bad file descriptor|closed"):
        asks.recv(10)
