"""Does the doctor try what it says, on a real engine, and leave nothing behind?"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness.errors import ClusterError
from harness.runtimes import docker
from harness.runtimes.images import Images
from harness.runtimes.trials import trial_node


def image(family: str) -> str:
    return Images(docker.engine(), {}, lambda line: None).of(family)


def refusal(trial: Callable[[], str]) -> str:
    try:
        trial()
    except ClusterError as problem:
        return str(problem)
    return ""


def test_a_machine_that_can_run_scenarios_is_told_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness", "doctor", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = {line["what"]: line for line in json.loads(ran.stdout)}
    assert [what for what, line in found.items() if not line["well"] and line["needed_by"] == "every run"] == []
    assert {
        "one clock for all processes",
        "published loopback ports",
        "pausing a container",
        "packet delay, loss and rate",
    } <= set(found)
    assert list(tmp_path.iterdir()) == []


def test_a_trial_leaves_nothing_behind(tmp_path: Path) -> None:
    client = docker.engine()
    with trial_node(image("client"), tmp_path) as node:
        mine = {"label": f"{docker.RUN_LABEL}={node.container.labels[docker.RUN_LABEL]}"}
        assert client.containers.list(filters=dict(mine))
        assert client.networks.list(filters=mine)
    assert client.containers.list(all=True, ignore_removed=True, filters=dict(mine)) == []
    assert client.networks.list(filters=mine) == []


def test_every_trial_notices_what_is_not_there(tmp_path: Path) -> None:
    """On a container that has no Python, whose folder is another one, and whose limits somebody else sets again."""
    (tmp_path / "other").mkdir()
    with trial_node(image("etcd"), tmp_path) as node:
        trials = {"clock": node.clock, "port": node.answers_on_loopback, "pause": node.pauses}
        refusals = {name: refusal(trial) for name, trial in trials.items()}
        assert all(refusals.values()), refusals
        assert refusal(partial(node.shares, tmp_path / "other"))
        assert refusal(node.has_shares) == "", "what needs no Python is there"
        assert "not in force" in refusal(node.has_shares), "a share that does not change anything is noticed"
