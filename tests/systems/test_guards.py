"""Does a guard end a real run at once, healed, and is the reason what the report says?"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import runner, scenario
from harness.history import read
from harness.verdict import Verdict

SCENARIO = """
title: A run that is not let go on
topology: rds-multi-az
workload: {{use: ledger, users: 6, rate: 30/s}}
steady_state: {{for: 2s}}
faults:
  - {{inject: crash, target: writer, at: 1s, for: 300s}}
expect: {{write_outage: {{max: 300s}}}}
{guard}
"""


@pytest.mark.parametrize(
    ("guard", "reason"),
    [
        ("abort_if: {write_outage: 3s}", "abort_if: the write outage of clients in"),
        pytest.param("max_runtime: 30s", "max_runtime of 30 s is over", marks=pytest.mark.slow),
    ],
    ids=["abort_if", "max_runtime"],
)
def test_a_guard_heals_and_ends_the_run_at_once_as_unknown(tmp_path: Path, guard: str, reason: str) -> None:
    file = tmp_path / "guarded.yaml"
    file.write_text(SCENARIO.format(guard=guard))
    ended = runner.run(scenario.load(file), runtime="docker", reports=tmp_path / "reports", seed=1)
    assert ended.verdict is Verdict.UNKNOWN
    assert f"the run was aborted: {reason}" in ended.reason
    told = read(ended.folder / "history")
    fault = told.faults[0]
    assert fault.injected is not None
    assert fault.healed is not None, "what was broken is healed before the run ends"
    assert told.phase("final_reads") is None, "a run that is ended measures nothing more"
