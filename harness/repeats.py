"""How does a scenario end when it is carried out again and again, on one living cluster, until its figures are sure enough?

Every repetition is a run of its own, with its own history, judged by itself; what they say together is computed from their
results alone. Each fault is moved on by a random part of the manager's loop, since one that always comes right after a heartbeat
measures the best case.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import interrupts, judging, runner, runtimes
from harness.bounds import RUNS_AT_LEAST
from harness.clock import now_ns, wait_until
from harness.errors import HarnessError, UsageError, written_below
from harness.living import copy_logs
from harness.measurement import Measurement
from harness.protocols import Cluster, Progress, Topology
from harness.reporters import _repeats, _shown
from harness.runner import RunResult
from harness.scenario import Repeat, Scenario
from harness.spread import Spread, spread
from harness.verdict import Measured, Verdict, trusted

FILE, ASKED = "repeats.json", "repeat.json"
FIRST = ("write_outage", "read_outage", "recovery", "lost_writes")
HEALTHY_WITHIN_S = 180.0
Result = Mapping[str, Any]


@dataclass(frozen=True)
class Series:
    """What several runs of one scenario say together; `asked` is the scenario's `repeat`, `stopped` why no further one was run.

    `unread` says of each run that nothing can be read of why that is so.
    """

    scenario: str
    title: str
    runs: Sequence[tuple[str, Result]]  # the run's folder below the series', and its result
    asked: Repeat
    stopped: str = ""
    unread: Sequence[str] = ()

    @property
    def trusted(self) -> list[Result]:
        return [result for _, result in self.runs if trusted(result)]

    def spreads(self) -> list[Spread]:
        """Each metric of the runs that can be trusted: first what `until` names, then what clients lost, then the others."""
        each = [_shown.metrics(result) for result in self.trusted]
        names = dict.fromkeys([*self.asked.until, *FIRST, *(name for known in each for name in known)])
        found = []
        for name in names:
            values = [known[name] for known in each if name in known and known[name].value is not None]
            if values:
                found.append(spread(name, values, len(each) - len(values)))
        return found

    def doubts(self) -> list[str]:
        """Why these runs together cannot tell what was asked; empty when they can."""
        doubts = [*([self.stopped] if self.stopped else []), *self.unread]
        if len(self.trusted) < self.asked.min:
            doubts.append(f"{len(self.trusted)} of {len(self.runs)} runs can be trusted, {self.asked.min} were asked for")
        return doubts + [sentence for sentence in self.untight() if not self.stopped]

    def untight(self) -> list[str]:
        """Which of the metrics in `until` is not yet known as well as asked, each in a sentence."""
        known = {one.metric: one for one in self.spreads()}
        said = []
        for metric, within in self.asked.until.items():
            half = known[metric].half_width if metric in known else None
            if half is None or half > within:
                reached = "is not known" if half is None else f"is known to ± {half:.1%}"
                said.append(f"the median of {metric} {reached} after {len(self.trusted)} runs, ± {within:.1%} was asked for")
        return said

    def hopeless(self) -> str:
        """Why no further run could make a figure as sure as asked, in a sentence; empty when one could."""
        known = {one.metric: one for one in self.spreads()}
        for metric, within in self.asked.until.items():
            if metric not in known:
                return f"{metric} was measured in none of {len(self.trusted)} runs, so ± {within:.1%} of it is never reached"
            if known[metric].median <= 0:
                return f"the median of {metric} is none after {len(self.trusted)} runs, so ± {within:.1%} of it is never reached"
            resolution = known[metric].resolution
            # The median of n equal runs, each known to ± r, has an interval of ± 1.4 r / √n for n = 3, and a wider one for more.
            if resolution is not None and 1.4 * resolution > within * self.asked.max**0.5:
                return (
                    f"each run knows {metric} to ± {resolution:.1%} only, so {self.asked.max} of them never reach"
                    f" ± {within:.1%}; ask for less, or probe more often"
                )
        return ""

    @property
    def verdict(self) -> Verdict:
        """FAIL when a run that can be trusted failed, UNKNOWN when they cannot tell, else PASS."""
        verdicts = [result["verdict"] for result in self.trusted]
        if "fail" in verdicts:
            return Verdict.FAIL
        return Verdict.UNKNOWN if self.doubts() or "unknown" in verdicts or not verdicts else Verdict.PASS

    @property
    def reason(self) -> str:
        """The verdict's reason, in a sentence."""
        failed = [f"{name}: {result['reason']}" for name, result in self.runs if result["verdict"] == "fail"]
        if self.verdict is Verdict.FAIL:
            return f"{len(failed)} of {len(self.runs)} runs failed; {failed[0]}"
        if self.verdict is Verdict.UNKNOWN:
            unsure = [f"{name}: {result['reason']}" for name, result in self.runs if result["verdict"] == "unknown"]
            return "; ".join([*self.doubts(), *unsure[:1]]) or "nothing was measured"
        return f"every expectation held in each of {len(self.trusted)} runs"

    def as_json(self) -> dict[str, Any]:
        """What repeats.json holds."""
        return {
            "scenario": self.scenario, "title": self.title, "verdict": self.verdict.value, "reason": self.reason,
            "asked": {"min": self.asked.min, "max": self.asked.max, "until": dict(self.asked.until)},
            "stopped": self.stopped, "unread": list(self.unread),
            "runs": [
                {"folder": name, "verdict": result["verdict"], "reason": result["reason"], "trusted": trusted(result)}
                for name, result in self.runs
            ],
            "metrics": [one.as_json() for one in self.spreads()],
        }  # fmt: skip


# --- carrying out ------------------------------------------------------------------------------------------------------


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
    """Runs a scenario as `runner.run` does: once, or as often as its `repeat` asks, in folders `01`, `02`, … of one report.

    Raises as `runner.run` does.
    """
    asked = scenario.repeat
    if asked is None:
        return runner.run(scenario, runtime=runtime, reports=reports, seed=seed, progress=progress, locust_ui=locust_ui)
    if locust_ui:
        raise UsageError("Locust's web UI is served for a single run; leave out `--locust-ui`, or `repeat` in the scenario")
    chosen = runtimes.called(runtime, scenario.images, progress, (), scenario.topology.options, scenario.later)
    with written_below(reports):
        folder = runner.new_folder(reports, scenario)
        (folder / ASKED).write_text(json.dumps({"min": asked.min, "max": asked.max, "until": dict(asked.until)}))
        with _alone(folder):
            stopped = ""
            try:
                with chosen.launch(scenario.topology.options, folder) as cluster:
                    scenario.topology.options.form(cluster, progress)
                    stopped = _Repeating(scenario, cluster, chosen.name, folder, runner.drawn(seed), progress).until_enough(asked)
                    progress("removing the nodes")
            except HarnessError as problem:
                progress(str(problem))
                stopped = str(problem)
            except KeyboardInterrupt:
                progress("interrupted")
                stopped = f"interrupted by the user ({interrupts.asked() or 'SIGINT'})"
            with interrupts.shielded():
                series = write(folder, replace(read(folder), stopped=stopped))
                runner.point_latest(folder)
    interrupted = bool(interrupts.asked())
    return RunResult(series.verdict, series.reason, [_together(series)], folder, interrupted)


@dataclass(frozen=True)
class _Repeating:
    """One scenario on one cluster, measured again and again."""

    scenario: Scenario
    cluster: Cluster
    runtime: str
    folder: Path
    seed: int
    progress: Progress

    def until_enough(self, asked: Repeat) -> str:
        """Measures until it is enough; returns why it ended before that, if it did."""
        for number in range(1, asked.max + 1):
            self.progress(f"run {number} of at least {asked.min}, at most {asked.max}")
            self._once(f"{number:02}", self.seed + number)
            interrupts.check()
            series = _gathered(self.folder)
            for one in series.spreads():
                if one.metric in asked.until and one.half_width is not None:
                    self.progress(f"{one.metric}: median {_shown.number(one.median, one.unit)} ± {one.half_width:.1%}")
            if len(series.trusted) >= max(asked.min, RUNS_AT_LEAST if asked.until else 1):
                if not series.untight():
                    return ""
                if hopeless := series.hopeless():
                    return hopeless
            if number < asked.max:
                self.cluster.restore()
                self._await_healthy()
        return ""

    def _await_healthy(self) -> None:
        topology: Topology = self.scenario.topology.options
        awaited = "the cluster to be healthy for the next run"
        wait_until(lambda: topology.healthy(self.cluster) is None, HEALTHY_WITHIN_S, awaited, every_s=0.5)

    def _once(self, name: str, seed: int) -> None:
        """One run, recorded and judged in a folder of its own."""
        topology: Topology = self.scenario.topology.options
        source, report = self.cluster.folder / "history" / name, self.folder / name
        source.mkdir()
        report.mkdir()
        (report / "scenario.yaml").write_text(self.scenario.text, encoding="utf-8")
        logged = {path: path.stat().st_size for path in self.cluster.folder.glob("nodes/*/*.log")}
        with _moved(source, report), runner.recorded(source, self.progress) as notes:
            notes.write("run", now_ns(), **runner.first_event(self.scenario, topology, self.runtime, seed))
            runner.note_layout(notes, self.scenario, topology, self.cluster)
            Measurement(
                self.scenario, topology, self.cluster, notes, seed, self.progress, name, dephased=True
            ).carry_out()  # fmt: skip
        copy_logs(self.cluster.folder / "nodes", report / "nodes", logged)
        runner.conclude(report, self.progress, point=False)


@contextmanager
def _moved(source: Path, report: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with interrupts.shielded():
            shutil.move(source, report / "history")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """For as long as this lasts nobody else runs a series in this folder, or judges it. Raises UsageError when somebody does."""
    with (folder / ASKED).open("rb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{folder}: this series is being run, or judged, by another process; wait for its end") from None
        yield


# --- what they say together --------------------------------------------------------------------------------------------


def is_series(folder: Path) -> bool:
    """Whether a folder holds runs that were repeated."""
    return (folder / ASKED).exists()


def read(folder: Path, *, again: bool = False) -> Series:
    """The series in a folder, of which nobody runs another; with `again` each run is judged anew from its history.

    Raises UsageError for a folder that holds none, and for one whose repeat.json cannot be read.
    """
    if is_series(folder):
        _adopt(folder)
    return _gathered(folder, again=again)


def _gathered(folder: Path, *, again: bool = False) -> Series:
    """What has a report by now; unlike `read` it may be asked while the series goes on."""
    try:
        asked = Repeat(**json.loads((folder / ASKED).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as problem:
        raise UsageError(f"{folder / ASKED}: cannot be read: {problem}") from None
    runs, unread = [], []
    for below in sorted(path.parent for path in folder.glob("[0-9]*/history")):
        try:
            runs.append((below.name, _result(below, again)))
        except UsageError as problem:
            unread.append(f"run {below.name} cannot be read: {problem}")
    first: Result = runs[0][1] if runs else {}
    name, title = str(first.get("scenario") or folder.parent.name), str(first.get("title") or "")
    return Series(name, title, runs, asked, _stopped(folder), unread)


def _adopt(folder: Path) -> None:
    """Gives a run whose harness was killed what it had recorded, which lies where the nodes wrote it until a run is over."""
    for left in sorted((folder / "history").glob("[0-9]*")):
        (folder / left.name).mkdir(exist_ok=True)
        shutil.move(left, folder / left.name / "history")
    with suppress(OSError):
        (folder / "history").rmdir()


def _result(run: Path, again: bool) -> Result:
    with suppress(UsageError):
        if not again:
            return judging.kept_result(run / judging.RESULT)
    result = judging.judge_folder(run)
    runner.write_reports(run, result)
    return result


def _stopped(folder: Path) -> str:
    """Why the series ended, as was noted when it did."""
    with suppress(OSError, ValueError, AttributeError):
        return str(json.loads((folder / FILE).read_text("utf-8")).get("stopped") or "")
    return ""


def rewrite(folder: Path, *, again: bool = False) -> Series:
    """Says anew what the runs of a folder say together. Raises as `read` does, and UsageError while the series goes on."""
    with _alone(folder):
        return write(folder, read(folder, again=again))


def write(folder: Path, series: Series) -> Series:
    """Writes repeats.json, report.md and report.html."""
    with written_below(folder):
        (folder / FILE).write_text(json.dumps(series.as_json(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        (folder / "report.md").write_text(_repeats.markdown(series), encoding="utf-8")
        (folder / "report.html").write_text(_repeats.page(series), encoding="utf-8")
    return series


def _together(series: Series) -> Mapping[str, Any]:
    """The medians, in the form of a finding."""
    measured = {one.metric: Measured(one.median, one.unit, one.lower, one.upper).as_json() for one in series.spreads()}
    return {"checker": "repeats", "verdict": series.verdict.value, "summary": series.reason, "measured": measured}
