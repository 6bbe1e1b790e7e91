"""What does a scenario that was given in memory come to mean, and what is said of a wrong one?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import scenario
from harness.conditions import Condition
from harness.errors import UsageError
from harness.faults.latency import Latency

LEAST = {"title": "Nothing is broken", "topology": "rds-multi-az"}
CRASH = {"inject": "crash", "target": "writer", "at": "0s", "for": "5s"}


def inject(**arguments: Any) -> scenario.Scenario:
    return scenario.of({**LEAST, "path": "toxiproxy", "faults": [arguments]}, name="given", below=("faults", 0))


def test_values_mean_what_they_mean_in_a_file() -> None:
    given = inject(inject="latency", target="clients", delay="100ms", at="0s", until="cluster is healthy", at_most="1min")
    [plan] = given.faults
    assert (plan.kind, plan.fault, str(plan.target)) == ("latency", Latency(delay_ms=100), "clients")
    assert (plan.until, plan.at_most_s) == (Condition("cluster is healthy"), 60)


def test_it_needs_no_workload_while_a_file_does(tmp_path: Path) -> None:
    assert scenario.of(LEAST, name="given").workloads == ()
    file = tmp_path / "scenario.yaml"
    file.write_text("title: Nothing is broken\ntopology: rds-multi-az\n")
    with pytest.raises(UsageError, match="'workload' is missing here"):
        scenario.load(file)


def test_its_text_is_a_file_that_means_the_same(tmp_path: Path) -> None:
    workload = {"use": "ledger", "zones": ["az-b"], "users": 6, "rate": "30/s"}
    given = scenario.of({**LEAST, "workload": workload, "faults": [CRASH]}, name="given")
    file = tmp_path / "given.yaml"
    file.write_text(given.text, encoding="utf-8")
    assert scenario.as_run(scenario.load(file)) == scenario.as_run(given)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"target": "writr"}, "target: no target called 'writr'; did you mean 'writer'?"),
        ({"inject": "crsh"}, "inject: no fault called 'crsh'; did you mean 'crash'?"),
        ({"for": 5}, "for: 5 is no duration; write a number with its unit, such as 250ms, 5s or 2min"),
        ({"dely": "1s"}, "dely: unknown key 'dely'; known: after, at"),
        ({"target": "clients"}, "target: crash acts on nodes, but 'clients' means links; write, for example, 'writer'"),
        ({"until": "new writer is stable"}, "until: a fault ends either after a time (for) or on a condition"),
        ({"id": object()}, "id: expected a text, not "),
        ({"id": "\x1b[31m"}, "id: character #x001b may not be in a text"),
        ({"\x1b[31m": "1s"}, "character #x001b may not be in a text"),
    ],
)
def test_what_is_wrong_is_said_of_the_argument(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        inject(**{**CRASH, **wrong})
    assert str(refused.value).startswith(said)


def test_what_is_wrong_with_the_call_as_a_whole_has_no_place() -> None:
    with pytest.raises(UsageError, match="^the fault 'crash' never ends; write for"):
        inject(inject="crash", target="writer", at="0s")


def test_problems_are_told_in_the_order_in_which_they_were_given() -> None:
    with pytest.raises(UsageError) as refused:
        scenario.of({"title": "", "topology": {"use": "rds-multi-az", "ttl": 5}, "max_runtime": "0s"}, name="given")
    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == ["title", "topology.ttl", "max_runtime"]
