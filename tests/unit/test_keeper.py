"""Does who asks a new node reach that node, from its first moment on?"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.namespaces import kernel, wire
from harness.namespaces.node import Layout, NodeServer


async def _never_accepts(*_: Any) -> None:
    await asyncio.Event().wait()


def test_a_node_that_answers_nothing_yet_is_not_taken_for_its_keeper(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """What asks learns the node's process 1 from the socket, to limit that node: the keeper must not be limited instead."""
    from harness.namespaces import keeper  # not on top: it needs the embedded extra, also to be collected

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keeper, "furnish", lambda _: None)
    monkeypatch.setattr(kernel, "call_process", lambda _: None)
    monkeypatch.setattr(NodeServer, "serve", _never_accepts)
    layout = Layout("pg-az-a", "198.18.1.1", 16, "port1", {}, {}, {}, niceness=0, published={})
    told, tell = os.pipe()
    with keeper._listening("pg-az-a.sock") as asked:
        node = os.fork()
        if node == 0:
            keeper._live(layout, asked, {}, tell, spare=(told,))
    request.addfinalizer(lambda: os.waitpid(node, 0))
    request.addfinalizer(lambda: os.kill(node, signal.SIGKILL))
    os.close(tell)
    with os.fdopen(told, "rb") as until:
        assert until.read() == b""  # closed once the node is furnished, without a reason why it could not be
    with wire.connected(tmp_path / "pg-az-a.sock", 10) as one:
        assert wire.process_of(one) == node
