"""What does a scenario file come to mean?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import jsonschema  # type: ignore[import-untyped]
import pytest

from harness import registry, scenario, units
from harness.changes.switchover import Switchover
from harness.conditions import Condition
from harness.errors import UsageError
from harness.faults.latency import Latency
from harness.faults.partition import Partition
from harness.protocols import Database
from harness.scenario import ChangePlan, Expectation, Recovery, Scenario, SteadyState, models

EXAMPLE = """\
title: The writer's zone is cut off while clients inside it go on writing
topology: {use: rds-multi-az, replication: asynchronous}
workload: {use: ledger, users: 60, rate: 600/s, zones: all}
steady_state: {for: 5s, write_success: ">= 99.9%"}
faults:
  - {inject: partition, target: zone of writer, direction: both, at: 5s, until: new writer is stable, at_most: 60s}
expect:
  write_outage: {max: 35s}
  lost_writes: {min: 1, because: asynchronous replication cannot keep what only the cut-off zone saw}
"""
LEAST = "title: Nothing is broken\ntopology: rds-multi-az\nworkload: ledger\n"


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def loaded(text: str) -> Scenario:
        path = tmp_path / "scenario.yaml"
        path.write_text(text, encoding="utf-8")
        return scenario.load(path)

    return loaded


def test_the_example_of_the_design_means_what_it_says(load: Any) -> None:
    read = load(EXAMPLE)
    assert read.title == "The writer's zone is cut off while clients inside it go on writing"
    assert read.text == EXAMPLE
    assert (read.topology.use, read.topology.options.replication) == ("rds-multi-az", "asynchronous")
    [workload] = read.workloads
    assert (workload.use, workload.options.users, workload.options.rate_per_s, workload.options.zones) == (
        "ledger",
        60,
        600,
        "all",
    )
    assert read.steady_state == SteadyState(for_s=5, write_success=0.999, read_success=0.999)
    [plan] = read.faults
    assert (plan.id, plan.kind, plan.fault, str(plan.target)) == ("partition", "partition", Partition("both"), "zone of writer")
    assert (plan.at_s, plan.until, plan.at_most_s, plan.for_s) == (5, Condition("new writer is stable"), 60, None)
    assert read.expect == (
        Expectation("write_outage", max=35),
        Expectation("lost_writes", min=1, because="asynchronous replication cannot keep what only the cut-off zone saw"),
    )


def test_what_a_file_leaves_out_has_its_default(load: Any) -> None:
    read = load(LEAST)
    assert (read.faults, read.changes, read.expect, dict(read.images), read.markers) == ((), (), (), {}, ())
    assert (read.path_through, read.max_runtime_s) == ("direct", 600)
    assert read.recovery == Recovery(stable_for_s=5, at_most_s=120)
    assert read.steady_state == SteadyState(5, 0.999, 0.999)


def test_every_key_is_read(load: Any) -> None:
    read = load(
        LEAST
        + """\
recovery: {stable_for: 3s, at_most: 2min}
steady_state: {for: 500ms, write_success: 95%, read_success: ">=90 %"}
images: {postgres: "mine:1", packets: "mine:2"}
path: toxiproxy
max_runtime: 5min
markers: [smoke, slow]
"""
    )
    assert read.recovery == Recovery(3, 120)
    assert read.steady_state == SteadyState(0.5, 0.95, 0.9)
    assert read.images == {"postgres": "mine:1", "packets": "mine:2"}
    assert (read.path_through, read.max_runtime_s, read.markers) == ("toxiproxy", 300, ("smoke", "slow"))


def test_several_workloads_are_a_list(load: Any) -> None:
    read = load(LEAST.replace("workload: ledger", "workload: [ledger, {use: ledger, zones: [az-b], deadline: 250ms}]"))
    assert [workload.options.zones for workload in read.workloads] == ["all", ("az-b",)]
    assert [workload.options.deadline_s for workload in read.workloads] == [1, 0.25]


def test_faults_without_an_id_are_called_by_their_kind(load: Any) -> None:
    crash = "{inject: crash, target: writer, at: 1s, for: 1s}"
    named = "{inject: crash, target: writer, at: 1s, for: 1s, id: crash-2}"
    read = load(LEAST + f"faults: [{crash}, {named}, {crash}]")
    assert [plan.id for plan in read.faults] == ["crash", "crash-2", "crash-3"]


def test_faults_are_ordered_among_each_other(load: Any) -> None:
    read = load(
        LEAST
        + """\
path: toxiproxy
faults:
  - {id: first, inject: crash, target: writer, at: 5s, for: 10s}
  - {inject: crash, target: writer, after: first, at: 500ms, for: 10s}
  - {inject: latency, target: clients to reader, delay: 100ms, when: first is injected, until: first is healed, at_most: 1min}
"""
    )
    _, second, third = read.faults
    assert (second.after, second.at_s) == ("first", 0.5)
    assert (third.when, third.until, third.at_most_s) == (Condition("is injected", "first"), Condition("is healed", "first"), 60)
    assert third.fault == Latency(delay_ms=100, jitter_ms=0)


def test_changes_stand_beside_faults_and_wait_for_them_and_they_for_changes(load: Any) -> None:
    read = load(
        LEAST
        + """\
faults:
  - {inject: crash, target: writer, after: switchover, for: 10s}
  - {inject: crash, target: writer, when: switchover-2 is done, until: switchover is done, at_most: 1min}
changes:
  - {change: switchover, at: 5s, to: pg-az-b, within: 30s}
  - {change: switchover, after: crash, at: 1s}
"""
    )
    assert [plan.id for plan in read.faults] == ["crash", "crash-2"]
    first, second = read.changes
    assert first == ChangePlan("switchover", Switchover(to=Database("pg-az-b"), within_s=30), "switchover", at_s=5)
    assert (second.id, second.after, second.at_s, second.change) == ("switchover-2", "crash", 1, Switchover())
    assert (read.faults[1].when, read.faults[1].until) == (
        Condition("is done", "switchover-2"),
        Condition("is done", "switchover"),
    )
    assert json.loads(json.dumps(scenario.as_run(read)))["changes"][0] == {
        "id": "switchover",
        "kind": "switchover",
        "options": {"to": "pg-az-b", "within_s": 30},
        "at_s": 5,
    }


def test_a_change_needs_no_fault(load: Any) -> None:
    read = load(LEAST + "changes: [{change: switchover, at: 5s}]")
    assert (read.faults, [plan.id for plan in read.changes]) == ((), ["switchover"])


@runtime_checkable
class Levitates(Protocol):
    """What no topology can."""

    def rise(self) -> None: ...


def test_a_change_that_the_topology_cannot_make_is_refused(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Switchover, "needs", Levitates)
    with pytest.raises(UsageError, match=r"scenario\.yaml:4:20: rds-multi-az cannot do that: it has no 'rise'"):
        load(LEAST + "changes: [{change: switchover, at: 5s}]")


def test_a_metric_can_be_bounded_at_several_times(load: Any) -> None:
    read = load(
        LEAST + "expect: {write_p99: [{max: 50ms, during: before}, {max: 1s, during: after}], availability: {min: 99.5%}}"
    )
    assert read.expect == (
        Expectation("write_p99", max=0.05, during="before"),
        Expectation("write_p99", max=1, during="after"),
        Expectation("availability", min=0.995),
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("scenarios/rds_multi_az/crash.yaml", "rds_multi_az/crash"),
        ("scenarios/old/scenarios/crash.yml", "crash"),
        ("elsewhere/crash.yaml", "crash"),
        ("scenarios.yaml", "scenarios"),
    ],
)
def test_a_scenario_is_called_by_its_place(tmp_path: Path, path: str, expected: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(LEAST, encoding="utf-8")
    assert scenario.load(file).name == expected


def test_a_byte_order_mark_is_passed_over(load: Any) -> None:
    assert load("\ufeff" + LEAST).title == "Nothing is broken"


def test_the_history_gets_plain_values_in_base_units(load: Any) -> None:
    read = load(EXAMPLE)
    told = json.loads(json.dumps(scenario.as_run(read)))
    assert told["topology"] == {
        "name": "rds-multi-az",
        "options": {"replication": "asynchronous", "strict": False, "ttl_s": 20, "loop_wait_s": 1, "retry_timeout_s": 3},
    }
    assert told["workloads"][0] | {"name": "ledger", "rate_per_s": 600, "deadline_s": 1} == told["workloads"][0]
    assert told["faults"] == [
        {
            "id": "partition",
            "kind": "partition",
            "target": "zone of writer",
            "options": {"direction": "both", "how": "drop"},
            "at_s": 5,
            "until": "new writer is stable",
            "at_most_s": 60,
        }
    ]
    assert {"metric": "write_outage", "min": None, "max": 35, "during": None, "because": None} in told["expect"]


def test_passwords_are_no_options(load: Any) -> None:
    """What a topology makes for itself must reach no report."""
    read = load(LEAST)
    made = read.topology.options.login("198.18.1.10", 5000)["password"]
    assert made not in json.dumps(scenario.as_run(read))
    assert not any("secret" in option for option in scenario.options(type(read.topology.options)))


@pytest.mark.parametrize("text", ["5s", "250ms", "1.5 min", "2h", "3m", "7us", "5", "-5s", "5 sec", ".5s", "1e3s", "", "5s5"])
def test_editors_take_the_durations_that_are_taken_here(text: str) -> None:
    assert accepts(units.seconds, text) == in_editors("for", text)


@pytest.mark.parametrize("text", ["99.9%", "100%", "100.0 %", "0%", "101%", "100.5%", "1000%", "0.99", "-1%", "%"])
def test_editors_take_the_shares_that_are_taken_here(text: str) -> None:
    assert accepts(units.share, text) == in_editors("write_success", text)


def accepts(parse: Any, text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def in_editors(option: str, text: str) -> bool:
    return bool(re.search(scenario.options(SteadyState)[option]["pattern"], text))


# --- a fault that another package adds ---


@dataclass(frozen=True)
class Limp:
    """Serves `loss_share` of the requests `delay_us` late, `rate_per_s` of them, `way` round, `times` over."""

    changes_roles: ClassVar[bool] = False

    loss_share: float
    delay_us: int
    way: Literal["there", "back"]
    rate_per_s: float | None = None
    times: int = 3

    def __post_init__(self) -> None:
        if self.times > 5:
            raise ValueError("nothing limps more than five times")

    def on_node(self, node: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def limping(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    real = registry.find
    monkeypatch.setattr(
        registry, "names", lambda kind, known=registry.names: (*known(kind), *(["limp"] if kind == "faults" else []))
    )
    monkeypatch.setattr(registry, "find", lambda kind, word: Limp if (kind, word) == ("faults", "limp") else real(kind, word))
    models.file_model.cache_clear()
    yield
    models.file_model.cache_clear()


LIMP = "faults: [{inject: limp, target: writer, at: 1s, for: 1s, loss: 12.5%, delay: 2ms, way: back, %s}]"


@pytest.mark.usefixtures("limping")
def test_a_fault_that_another_package_adds_has_its_options_with_their_units(load: Any) -> None:
    [plan] = load(LEAST + LIMP.replace("%s", "rate: 30/min")).faults
    assert plan.fault == Limp(loss_share=0.125, delay_us=2000, way="back", rate_per_s=0.5, times=3)
    assert isinstance(plan.fault.delay_us, int)
    assert scenario.schema()["$defs"]["Limp"]["description"] == Limp.__doc__


@pytest.mark.usefixtures("limping")
def test_what_a_fault_refuses_is_said_at_its_place(load: Any) -> None:
    with pytest.raises(UsageError, match=r"scenario\.yaml:4:10: nothing limps more than five times"):
        load(LEAST + LIMP.replace("%s", "times: 6"))


@pytest.mark.usefixtures("limping")
def test_an_option_that_says_nothing_of_it_is_never_negative(load: Any) -> None:
    with pytest.raises(UsageError, match=r"scenario\.yaml:4:101: must be at least 0"):
        load(LEAST + LIMP.replace("%s", "times: -1"))


def test_an_option_that_every_fault_has_already_cannot_be_one(limping: None, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Clash:
        """Has an option of its own that is called as each fault's."""

        at_ms: float = 0

    monkeypatch.setattr(registry, "find", lambda kind, word: Clash)
    with pytest.raises(TypeError, match="Clash.at_ms cannot be an option: 'at' has a meaning already"):
        models._fault()


def test_every_default_that_the_schema_publishes_is_one_that_a_file_may_say() -> None:
    published = scenario.schema()

    def properties(part: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(part, dict):
            yield from part.get("properties", {}).items()
            for inner in part.values():
                yield from properties(inner)
        elif isinstance(part, list):
            for inner in part:
                yield from properties(inner)

    found = {name: about for name, about in properties(published) if isinstance(about, dict) and "default" in about}
    assert {"write_success", "rate", "for", "deadline"} <= set(found)
    for about in found.values():
        jsonschema.validate(about["default"], {**about, "$defs": published["$defs"]})


def test_a_workload_that_speaks_another_protocol_is_refused_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.workloads.ledger.Ledger.protocols", ("gopher",))
    path = tmp_path / "one.yaml"
    path.write_text("title: x\ntopology: rds-multi-az\nworkload: {use: ledger, rate: 10/s}\n")
    with pytest.raises(UsageError, match=r"one\.yaml:3:17: ledger speaks gopher, but rds-multi-az speaks postgresql; .*patient"):
        scenario.load(path)
    path.write_text("title: x\ntopology: rds-multi-az\nworkload: ledger\n")
    with pytest.raises(UsageError, match=r"one\.yaml:3:11: ledger speaks gopher"):
        scenario.load(path)


def test_a_locust_file_brings_a_driver_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.topologies.rds_multi_az.RdsMultiAz.protocol", "gopher")
    (tmp_path / "mine.py").write_text("from locust import User\nclass Mine(User):\n    pass\n")
    (tmp_path / "one.yaml").write_text("title: x\ntopology: rds-multi-az\nworkload: {locustfile: mine.py}\n")
    assert scenario.load(tmp_path / "one.yaml").workloads[0].use == "locustfile"


@pytest.mark.parametrize("many", [False, True])
def test_a_scenario_names_what_it_puts_to_the_test(tmp_path: Path, many: bool) -> None:
    claim = "{id: rds.failover, because: its bound is the published one, metrics: [write_outage]}"
    path = tmp_path / "one.yaml"
    asked = f"title: x\ntopology: rds-multi-az\nworkload: ledger\nclaim: {f'[{claim}]' if many else claim}\n"
    path.write_text(f"{asked}expect: {{write_outage: {{max: 35s}}}}\n")
    [told] = scenario.load(path).claims
    assert (told.id, told.because, told.metrics) == ("rds.failover", "its bound is the published one", ("write_outage",))
    [kept] = json.loads(json.dumps(scenario.as_run(scenario.load(path))["claims"]))
    assert kept == {"id": "rds.failover", "because": "its bound is the published one", "metrics": ["write_outage"]}
