"""From a scenario to a history, and from a history to a verdict.

Record first, judge later: `record` writes a history and nothing else; everything that is concluded is concluded by
`judging` from that history alone, at once or years later.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from harness import archive, calibration_kept, interrupts, judging, living, registry, runtimes
from harness.clients import probes_of
from harness.clock import now_ns
from harness.errors import HarnessError, UsageError, written_below
from harness.layout import Plan, client_nodes, locust_ui_ports
from harness.living import Living
from harness.measurement import Measurement, told_layout, told_node
from harness.protocols import Cluster, Progress, Runtime, Topology
from harness.recording import Notes
from harness.scenario import Scenario, as_run
from harness.verdict import Verdict

During = Callable[[Measurement], AbstractContextManager[object]]

REPORTERS = ("json", "markdown", "junit", "html")


@dataclass(frozen=True)
class RunResult:
    """How a run ended, and where its report is; `interrupted` says that the user wants no further one."""

    verdict: Verdict
    reason: str
    findings: Sequence[Mapping[str, Any]]
    folder: Path
    interrupted: bool = False


def _unwatched(_: Measurement) -> AbstractContextManager[object]:
    return nullcontext()


@interrupts.honoured()
def run(
    scenario: Scenario,
    *,
    runtime: str = "auto",
    reports: Path = Path("reports"),
    seed: int | None = None,
    progress: Progress = print,
    locust_ui: bool = False,
) -> RunResult:
    """Runs a scenario and writes `reports/<scenario>/<time>/`, to which `latest` then points.

    With `locust_ui`, Locust's web UI of each zone's users is served on loopback, and `progress` told its URL.

    Raises RuntimeUnavailable when this machine cannot start the nodes, UsageError for an unknown runtime. What goes
    wrong once the cluster is being started ends in a report whose verdict is UNKNOWN.
    """
    ports = locust_ui_ports(len(scenario.workloads)) if locust_ui else ()
    chosen = runtimes.called(runtime, scenario.images, progress, ports, scenario.topology.options, scenario.later)
    with written_below(reports):
        folder = new_folder(reports, scenario)
        record(scenario, chosen, folder, drawn(seed), progress)
        return conclude(folder, progress)


@interrupts.honoured()
def measure(
    scenario: Scenario,
    cluster: Living,
    *,
    reports: Path = Path("reports"),
    seed: int | None = None,
    progress: Progress = print,
    during: During = _unwatched,
) -> RunResult:
    """Measures a scenario on a cluster that lives on, which is left healed; reports as `run` does.

    `during(measurement)` is a context that lasts as long as the measurement. Raises UsageError when somebody else uses
    the cluster, ClusterError when it is not whole.
    """
    with written_below(reports):
        folder = new_folder(reports, scenario)
        session, draw = secrets.token_hex(4), drawn(seed)
        try:
            with (
                living.measured(cluster, scenario.title, session, folder) as (topology, attached),
                recorded(attached.folder / "history" / session, progress) as notes,
            ):
                notes.write("run", now_ns(), **first_event(scenario, topology, cluster.runtime, draw))
                note_layout(notes, scenario, topology, attached)
                taken = Measurement(scenario, topology, attached, notes, draw, progress, session)
                with during(taken):
                    taken.carry_out()
        except HarnessError:
            if not (folder / "history" / "events.jsonl").exists():  # it never began
                shutil.rmtree(folder)
            raise
        return conclude(folder, progress)


def conclude(folder: Path, progress: Progress, *, point: bool = True) -> RunResult:
    """Judges a run's folder, writes its reports, and, if told so, lets `latest` point to it."""
    with interrupts.shielded():
        progress("judging")
        archive.write(folder / "history")
        result = judging.judge_folder(folder)
        write_reports(folder, result)
        if point:
            point_latest(folder)
    verdict, interrupted = Verdict(result["verdict"]), bool(interrupts.asked())
    return RunResult(verdict, result["reason"], result["findings"], folder, interrupted)


def drawn(seed: int | None) -> int:
    return secrets.randbelow(2**31) if seed is None else seed


def write_reports(folder: Path, result: Mapping[str, Any]) -> None:
    """Writes every form of a result into a run's folder."""
    from harness import history  # noqa: PLC0415

    told = history.read(folder / "history")
    with written_below(folder):
        for name in REPORTERS:
            registry.find("reporters", name)().write(folder, told, result)


def new_folder(reports: Path, scenario: Scenario) -> Path:
    """A folder for a run, with the scenario in it. Raises UsageError where none can be made."""
    folder = dated_folder(reports / scenario.name)
    with written_below(reports):
        (folder / "history").mkdir()
        (folder / "scenario.yaml").write_text(scenario.text, encoding="utf-8")
    return folder


def dated_folder(above: Path) -> Path:
    """A folder that nothing else has, named by this second. Raises UsageError where none can be made."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    try:
        with written_below(above):
            above.mkdir(parents=True, exist_ok=True)
            for attempt in range(100):
                folder = above / (moment if not attempt else f"{moment}-{attempt}")
                with suppress(FileExistsError):
                    folder.mkdir()
                    return folder
    except OSError as problem:
        raise UsageError(f"{problem.filename or above}: no report can be written there: {problem.strerror}") from None
    raise UsageError(f"{above}: a hundred runs began in this second")


def point_latest(folder: Path) -> None:
    """Lets `latest`, beside a run's folder, point to it."""
    latest, fresh = folder.parent / "latest", folder.parent / f".latest-{folder.name}"
    fresh.symlink_to(folder.name)
    os.replace(fresh, latest)


# --- recording ---------------------------------------------------------------------------------------------


def record(scenario: Scenario, runtime: Runtime, folder: Path, seed: int, progress: Progress) -> None:
    """Carries a scenario out and leaves its history in `folder/history`, whatever happens on the way."""
    topology: Topology = scenario.topology.options
    with recorded(folder / "history", progress) as notes:
        notes.write("run", now_ns(), **first_event(scenario, topology, runtime.name, seed))
        notes.write("phase", now_ns(), phase="forming")
        with runtime.launch(topology, folder) as cluster:
            topology.form(cluster, progress)
            note_layout(notes, scenario, topology, cluster)
            Measurement(scenario, topology, cluster, notes, seed, progress).carry_out()
            progress("removing the nodes")


@contextmanager
def recorded(history: Path, progress: Progress) -> Iterator[Notes]:
    """The notes of a history, into which whatever goes wrong is written, too.

    What is the harness's own fault is raised, and so is DiskError when the history is not whole.
    """
    notes = Notes(history / "events.jsonl")
    try:
        yield notes
    except HarnessError as problem:
        progress(str(problem))
        notes.write("aborted", now_ns(), reason=str(problem))
    except Exception as problem:
        notes.write("aborted", now_ns(), reason=f"the harness crashed: {type(problem).__name__}: {problem}")
        raise
    except KeyboardInterrupt:
        progress("interrupted")
        notes.write("aborted", now_ns(), reason=f"interrupted by the user ({interrupts.asked() or 'SIGINT'})")
    finally:
        notes.write("phase", now_ns(), phase="done")
        notes.close()
    notes.check()


def first_event(scenario: Scenario, topology: Topology, runtime: str, seed: int) -> dict[str, Any]:
    plan = Plan(IPv4Network("198.18.0.0/20"), topology.zones)
    copy: Topology = dataclasses.replace(topology)  # type: ignore[type-var]  # one that is laid out remembers where
    planned = [*copy.nodes(plan.addresses()), *client_nodes(plan, copy)]
    told = as_run(scenario)
    told["topology"] |= {"zones": list(topology.zones), "nodes": [told_node(spec) for spec in planned]}
    return told | {
        "seed": seed,
        "runtime": runtime,
        "started_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "probes": probes_of(topology),
        "versions": _own_versions(),
        "calibration": calibration_kept.of(runtime),
        **asked(scenario),
    }


def asked(scenario: Scenario) -> dict[str, Any]:
    """What the workloads ask, where their writes go, and what must hold of it in the end."""
    workloads = [workload.options for workload in scenario.workloads]
    return {
        "workloads": as_run(scenario)["workloads"],
        "sets": {"probe_write": "probe", **{kind: name for work in workloads for kind, name in work.sets.items()}},
        "deadlines": _deadlines(workloads),
        "invariants": {name: value for work in workloads for name, value in work.invariants().items()},
    }


def _deadlines(workloads: Sequence[Any]) -> dict[str, float]:
    """Lane → the deadline, in seconds, that the clients of these workloads keep by themselves; none for a lane where some do not.

    Users that keep a schedule give an operation up at its deadline. Those of a Locust file do as they please.
    """
    scheduled = [work for work in workloads if hasattr(work, "mix")]
    brought = [work for work in workloads if hasattr(work, "deadlines")]
    kept = {lane: limit for work in brought for lane, limit in work.deadlines().items()}
    if scheduled and len(scheduled) + len(brought) == len(workloads):
        kept["workload"] = max(work.deadline_s for work in scheduled)
    return kept


def _own_versions() -> dict[str, str]:
    return {
        "harness": importlib.metadata.version("failover-harness"),
        "python": platform.python_version(),
        "kernel": f"{platform.system()} {platform.release()}",
        "cores": str(os.cpu_count()),
    }


def note_layout(notes: Notes, scenario: Scenario, topology: Topology, cluster: Cluster) -> None:
    """Writes what is known only once the nodes are there: addresses and versions."""
    notes.write(
        "laid_out", now_ns(),
        topology=told_layout(scenario, cluster),
        versions=_own_versions() | dict(cluster.versions()) | dict(topology.versions(cluster)),
    )  # fmt: skip
