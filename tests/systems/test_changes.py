"""Does a planned change move a real cluster's primary, and does one that the manager refuses leave it serving?"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from harness import runner, scenario
from harness.changes.switchover import Switchover
from harness.protocols import Database

SCENARIO = """
title: The manager refuses to move the primary to nowhere, and moves it thereafter
topology: rds-multi-az
workload: {use: ledger, users: 6, rate: 30/s}
steady_state: {for: 2s}
recovery: {stable_for: 2s}
changes:
  - {id: refused, change: switchover, at: 1s}
  - {id: made, change: switchover, at: 8s}
"""


def test_a_switchover_that_is_refused_leaves_the_cluster_serving_and_the_next_one_is_made(tmp_path: Path) -> None:
    file = tmp_path / "switchover.yaml"
    file.write_text(SCENARIO)
    asked = scenario.load(file)
    refused, made = asked.changes
    refused = dataclasses.replace(refused, change=Switchover(to=Database("pg-nowhere")))
    ended = runner.run(
        dataclasses.replace(asked, changes=(refused, made)), runtime="docker", reports=tmp_path / "reports", seed=1
    )
    result = json.loads((ended.folder / "result.json").read_text())
    first, second = result["faults"]
    before = [seen["vantage"] for seen in first["witnesses"] if seen["seen"] == "primary"]
    after = [seen["vantage"] for seen in second["witnesses"] if (seen["stage"], seen["seen"]) == ("after", "primary")]

    assert first["error"].startswith(f"Patroni on {before[0]} did not switch over: ")
    assert first["error"].endswith(f"; the cluster serves, with {before[0]} as primary")
    assert (first["witnessed"], first["healed_at_s"]) == (False, None)
    assert set(before) == {before[0]}, "the one that was refused moved nothing"

    assert second["witnessed"], second["error"]
    assert second["hit"] == [before[0]]
    assert len(after) == 1
    assert after != second["hit"]
    assert second["said"].startswith(f"{after[0]} took over from {before[0]}, and all were healthy ")
    assert ended.verdict.value == "unknown", "a change that was refused is none that was measured"
    durability = next(finding for finding in ended.findings if finding["checker"] == "durability")
    assert durability["measured"]["lost_writes"]["value"] == 0
