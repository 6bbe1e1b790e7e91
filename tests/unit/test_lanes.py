"""How often does a lane try to come back, and does it ever ask more than its server can bear?"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.clock import MILLISECOND_NS, now_ns
from harness.history import names_of, read_recording
from harness.probes.contract import Address, Answered, Connection
from harness.probes.lanes import Lane, Target, Values
from harness.recording import Outcome, Recorder


@dataclass(frozen=True)
class NobodyThere:
    """A protocol whose server never lets anybody in, and takes its time to say so."""

    after_s: float = 0

    async def connect(self, address: Address) -> Connection:
        await asyncio.sleep(self.after_s)
        raise ConnectionError("connection reset")


class Answers:
    """A connection on which everything is acknowledged."""

    usable = True

    def __init__(self) -> None:
        self.socket, self._other = socket.socketpair()

    async def write(self, value: int) -> Answered:
        return Answered(Outcome.OK)

    async def close(self) -> None: ...


@dataclass
class FirstHangs:
    """Logins of which the first is never answered, as when a packet of it was lost, and all others are."""

    logins: int = 0

    async def connect(self, address: Address) -> Any:
        self.logins += 1
        if self.logins == 1:
            await asyncio.sleep(30)
        return Answers()


def asked(
    folder: Path, *, reconnect_ms: float, for_s: float, cadence_ms: float = 20, breaks_off_after_s: float = -1, client: Any = None
) -> Any:
    """What a lane records at an address where nobody listens, or where logins break off after some time; or as `client` does."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and never listened at: the kernel refuses
        if client or breaks_off_after_s >= 0:
            taken.listen()
        target = Target(
            "writer", "probe_write", Address(*taken.getsockname()), "kept", cadence_ms=cadence_ms, deadline_ms=200, delay_ns=0,
            unanswered_max=4, reconnect_ms=reconnect_ms,
        )  # fmt: skip
        recorder = Recorder(folder, "probe-az-a", "az-a")
        lane = Lane(target, client or NobodyThere(max(0, breaks_off_after_s)), recorder, Values(0))

        async def go() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(for_s):
                    await lane.run(now_ns())

        asyncio.run(go())
        recorder.close()
    return read_recording(folder / "probe-az-a.ops")


def test_a_lane_tries_at_its_own_pace_between_ticks(tmp_path: Path) -> None:
    rows = asked(tmp_path, reconnect_ms=5, for_s=0.5)
    tried = rows[rows["outcome"] == Outcome.FAILED]
    assert len(tried) > 25 + 10, "more than one attempt for each of the 25 ticks"
    assert np.median(np.diff(np.sort(tried["started"]))) < 15 * MILLISECOND_NS


def test_a_login_that_breaks_off_is_tried_again_before_the_next_tick(tmp_path: Path) -> None:
    rows = asked(tmp_path, reconnect_ms=2, for_s=0.4, cadence_ms=100, breaks_off_after_s=0.01)
    tried = rows[rows["outcome"] == Outcome.FAILED]
    assert len(tried) > 3 * 4, "more than two attempts for each of the four ticks"


def test_a_login_that_hangs_is_waited_for_until_its_deadline_and_no_longer(tmp_path: Path) -> None:
    rows = asked(tmp_path, reconnect_ms=20, for_s=1, client=FirstHangs())
    served = np.sort(rows[rows["outcome"] == Outcome.OK]["started"])
    (hung,) = rows[rows["outcome"] == Outcome.UNKNOWN]
    assert hung["ended"] <= served[0] < hung["ended"] + 300 * MILLISECOND_NS
    assert len(served) > 10


def test_a_pace_slower_than_the_cadence_leaves_ticks_without_an_attempt(tmp_path: Path) -> None:
    rows = asked(tmp_path, reconnect_ms=100, for_s=0.5)
    assert (rows["outcome"] == Outcome.NOT_SENT).sum() > (rows["outcome"] == Outcome.FAILED).sum()
    assert "between attempts to connect" in names_of(tmp_path / "probe-az-a.names")["error"].values()
