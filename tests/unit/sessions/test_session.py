"""A user connects at a pace, whatever the protocol, and is told why it could not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness import registry, sessions
from harness.sessions import Driver, Session, driver_of

# Of what is made of others, each part speaks a protocol of its own to probes.
PROTOCOLS = sorted({*registry.names("sessions")} - {"cached"})


class Scripted(Session):
    """A session whose connection is whatever the script returns."""

    def __init__(self, script: Callable[[], Any]) -> None:
        super().__init__({}, reconnect_s=60)
        self.script = script
        self.closed: list[Any] = []

    def open(self) -> Any:
        return self.script()

    def close(self, connection: Any) -> None:
        self.closed.append(connection)


def refuse() -> Any:
    raise ConnectionError("connection refused")


def test_it_connects_once() -> None:
    session = Scripted(lambda: "a connection")
    assert (session.connected, session.connect(), session.connected, session.connect()) == (False, None, True, None)


def test_it_says_why_not_and_keeps_to_its_pace() -> None:
    session = Scripted(refuse)
    assert session.connect() == "connection refused"
    assert session.connect() == "between attempts to connect"
    assert not session.connected


def test_what_is_dropped_is_closed_and_gone() -> None:
    session = Scripted(lambda: "a connection")
    session.connect()
    session.drop()
    session.drop()
    assert (session.connected, session.closed) == (False, ["a connection"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_has_a_driver_and_a_probe(protocol: str) -> None:
    driver: Driver = driver_of({"protocol": protocol})
    assert all(issubclass(error, Exception) for error in driver.errors)
    assert protocol in registry.names("probes")


def test_a_protocol_that_nobody_speaks_is_named() -> None:
    with pytest.raises(Exception, match="no session called 'gopher'"):
        sessions.driver_of({"protocol": "gopher"})
