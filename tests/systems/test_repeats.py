"""Repeating a scenario measures one living cluster again and again: every run is whole, and they are told together."""

from __future__ import annotations

import json
from pathlib import Path

from harness import repeats, scenario
from harness.history import read

CRASHES = {
    "title": "The writer's server is killed, and killed again",
    "topology": "rds-multi-az",
    "workload": {"use": "ledger", "users": 6, "rate": "30/s"},
    "faults": [{"inject": "crash", "target": "writer", "at": "2s", "until": "new writer is stable", "at_most": "60s"}],
    "repeat": {"min": 2, "max": 2},
    "expect": {"lost_writes": {"max": 0}},
}


def test_a_cluster_that_was_broken_is_broken_again_once_it_is_healthy(tmp_path: Path) -> None:
    asked = scenario.of(CRASHES, name="again/crash")
    ran = repeats.run(asked, runtime="docker", reports=tmp_path, seed=3)
    told = json.loads((ran.folder / repeats.FILE).read_text("utf-8"))
    assert [one["folder"] for one in told["runs"]] == ["01", "02"], told
    histories = [read(ran.folder / one["folder"] / "history") for one in told["runs"]]
    crashed = [history.faults[0].hit for history in histories]
    assert crashed[0] != crashed[1], "the second crash hits the primary that the first one made"
    late = [(one.faults[0].injecting or 0) - (one.phase("faults") or 0) for one in histories]
    assert late[0] != late[1], "each fault comes at another moment of the manager's loop"
    assert min(late) >= 2e9
    assert not any(one["verdict"] == "fail" for one in told["runs"]), told
    assert (tmp_path / "again" / "crash" / "latest" / "report.html").exists()
    assert not list((ran.folder / "history").glob("*")), "every history lies with its own run"
