"""Does the probe process end in order, whatever is under way when it is told to?"""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from harness.history import read
from harness.probes import __main__ as process
from harness.probes.lanes import Lane
from harness.recording import Notes


def test_what_is_due_in_the_moment_of_the_end_is_recorded_like_all_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[Exception] = []

    async def without_pause(lane: Lane, first_at: int) -> None:
        """A lane whose next probe is due in every turn of the loop, the last one too."""
        for number in itertools.count():
            try:
                lane._not_sent(first_at + number, "probe late")
            except Exception as problem:  # raised again: a loop that ends tells nobody
                failed.append(problem)
                raise
            await asyncio.sleep(0)

    monkeypatch.setattr(Lane, "run", without_pause)
    (tmp_path / "start").write_text("0")
    (tmp_path / "stop").touch()
    target = {
        "endpoint": "writer", "kind": "probe_write", "host": "127.0.0.1", "port": 1, "lane": "fresh",
        "cadence_ms": 10, "deadline_ms": 100, "delay_ms": 0, "unanswered_max": 1,
    }  # fmt: skip
    client = {"protocol": "memcached", "probe": {}}
    process.run({"folder": str(tmp_path), "zone": "az-a", "number": 0, "client": client, "targets": [target]})
    assert not failed
    Notes(tmp_path / "events.jsonl").write("run", 0, topology={"zones": ["az-a"], "nodes": []})
    told = read(tmp_path)
    assert len(told.operations) > 0
    assert [event.name for event in told.events][-1] == "stopped"
