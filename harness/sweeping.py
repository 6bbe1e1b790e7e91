"""Which value of a setting meets a wanted RTO, and what does it cost in false failovers?

A sweep carries one scenario out under several values of one setting, each on a cluster of its own and repeated; and beside it
one whose fault is gray: it passes by itself, so a failover there is a false one. What is quick to see a dead primary is quick to
call a slow one dead, so the two are drawn against each other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from harness import interrupts, repeats, runner, scenario
from harness.bounds import at_most, worst
from harness.errors import UsageError, written_below
from harness.protocols import Progress
from harness.repeats import Series
from harness.reporters import _sweep
from harness.scenario import Repeat, Scenario
from harness.spread import Spread
from harness.verdict import Verdict, trusted

FILE = "sweep.json"
OUTAGE, FAILOVERS = "write_outage", "role_changes"
Document = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """One value of what is varied, and what its runs say; `gray` is None where no gray fault was asked for, or not reached.

    `folders` are where the series' reports are, below the sweep's own.
    """

    value: str
    outage: Series
    gray: Series | None = None
    folders: tuple[str, ...] = ()

    @property
    def spread(self) -> Spread | None:
        """The write outages of the runs that can be trusted; None where no run can."""
        return next((one for one in self.outage.spreads() if one.metric == OUTAGE), None)

    @property
    def false_failovers(self) -> tuple[int, int] | None:
        """In how many runs with the gray fault the primary changed, and of how many; None where there is none to be trusted.

        A change that no fault explains makes any other run UNKNOWN: here it is what is counted.
        """
        counts = [
            finding["measured"][FAILOVERS]["value"]
            for _, result in (self.gray.runs if self.gray else ())
            if trusted(result, besides="roles")
            for finding in result["findings"]
            if FAILOVERS in finding["measured"]
        ]
        return (sum(bool(count) for count in counts), len(counts)) if counts else None

    def meets(self, rto_s: float) -> Verdict:
        """PASS when every run was surely back in time, FAIL when one surely was not, UNKNOWN when that cannot be told."""
        spread = self.spread
        if spread is None:
            return Verdict.UNKNOWN
        judged = worst(at_most((one.value or 0.0) if one.lower is None else one.lower, one.upper, rto_s) for one in spread.values)
        unsure = bool(spread.missing or self.outage.doubts())
        return Verdict.UNKNOWN if unsure and judged is Verdict.PASS else judged


@dataclass(frozen=True)
class Sweep:
    """Some values of one setting (`vary`, as `topology.ttl`) of a scenario, and the outage that is wanted, in seconds.

    `left` are the values of which nothing was run yet; `stopped` says why that is so.
    """

    scenario: str
    title: str
    vary: str
    settings: Sequence[Setting]
    gray: str = ""
    rto_s: float | None = None
    left: Sequence[str] = ()
    stopped: str = ""

    @property
    def named(self) -> Setting | None:
        """Of the settings that meet the RTO the one with the fewest false failovers, and of those the shortest outage."""
        meeting = [one for one in self.settings if self.rto_s is not None and one.meets(self.rto_s) is Verdict.PASS]
        if self.gray:
            meeting = [one for one in meeting if one.false_failovers]
        return min(meeting, key=_cost, default=None)

    @property
    def unknown(self) -> list[str]:
        """What keeps this sweep from an answer, each in words; empty when nothing does."""
        bare = [one.value for one in self.settings if one.spread is None]
        said = [self.stopped] if self.stopped else []
        said += [f"no run with {', '.join(bare)} can be trusted"] if bare else []
        said += [f"nothing was run yet with {', '.join(self.left)}"] if self.left else []
        if self.rto_s is not None and self.named is None:
            unsure = [one.value for one in self.settings if one.spread and one.meets(self.rto_s) is Verdict.UNKNOWN]
            said += [f"whether {', '.join(unsure)} meets {self.rto_s:g} s cannot be told"] if unsure else []
            met = [one.value for one in self.settings if one.meets(self.rto_s) is Verdict.PASS]
            said += [f"false failovers with {', '.join(met)} are not known"] if met else []
        return said

    @property
    def answer(self) -> str:
        """What the sweep says, in a sentence."""
        if self.rto_s is None:
            answer = f"{len(self.settings)} values of {self.vary} were compared"
        elif self.named is None:
            surely = "no value" if not self.unknown else "no value yet"
            answer = f"{surely} of {self.vary} met {self.rto_s:g} s in every run"
        else:
            false = self.named.false_failovers
            beside = f", with {false[0]} false failovers in {false[1]} runs" if false else ""
            answer = f"{self.vary} = {self.named.value} meets {self.rto_s:g} s{beside}"
        return "; ".join([answer, *self.unknown])

    @property
    def verdict(self) -> Verdict:
        """UNKNOWN when something keeps it from an answer, FAIL when an RTO was wanted that every value surely misses."""
        if self.unknown or not self.settings:
            return Verdict.UNKNOWN
        return Verdict.FAIL if self.rto_s is not None and self.named is None else Verdict.PASS

    def as_json(self) -> dict[str, Any]:
        """What sweep.json holds."""
        return {
            "scenario": self.scenario, "title": self.title, "vary": self.vary, "gray": self.gray, "rto_s": self.rto_s,
            "verdict": self.verdict.value, "answer": self.answer, "named": self.named.value if self.named else None,
            "left": list(self.left), "stopped": self.stopped,
            "settings": [
                {
                    "value": one.value,
                    "meets": None if self.rto_s is None else one.meets(self.rto_s).value,
                    "write_outage": one.spread.as_json() if one.spread else None,
                    "false_failovers": one.false_failovers,
                    "folders": list(one.folders),
                    "outage": one.outage.as_json(),
                    "gray": one.gray.as_json() if one.gray else None,
                }
                for one in self.settings
            ],
        }  # fmt: skip


def _cost(one: Setting) -> tuple[float, float]:
    false, spread = one.false_failovers, one.spread
    return (false[0] / false[1] if false else 0.0), (spread.median if spread else 0.0)


# --- what is varied ----------------------------------------------------------------------------------------------------


def asked(vary: str) -> tuple[str, list[str]]:
    """`topology.ttl=20s,30s` → the setting and its values. Raises UsageError for anything else."""
    name, equals, values = vary.partition("=")
    listed = [value.strip() for value in values.split(",") if value.strip()]
    if not equals or not re.fullmatch(r"[a-z_]+(\.[a-z0-9_]+)+", name):
        raise UsageError(f"--vary {vary}: write a setting of the scenario and its values, such as topology.ttl=20s,30s,40s")
    if len(set(listed)) < max(2, len(listed)):
        raise UsageError(f"--vary {vary}: give at least two values, each once")
    return name, listed


def varied(of: Scenario, setting: str, value: str) -> Scenario:
    """The scenario with another value of a setting. Raises UsageError where it has no such setting, or not with that value."""
    document: Document = yaml.safe_load(of.text)
    *way, last = setting.split(".")
    place: Any = document
    for step in way:
        below = place[int(step)] if isinstance(place, list) and step.isdigit() and int(step) < len(place) else None
        if isinstance(place, dict):
            below = place.get(step)
            if isinstance(below, str) and step in {"topology", "workload"}:
                below = place[step] = {"use": below}
        if not isinstance(below, dict | list):
            raise UsageError(f"--vary {setting}: {of.name} has no '{step}' with settings of its own")
        place = below
    if not isinstance(place, dict):
        raise UsageError(f"--vary {setting}: '{way[-1]}' is a list; name one by its number from 0: {'.'.join(way)}.0.{last}")
    try:
        place[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise UsageError(f"--vary {setting}={value}: this is no value that YAML knows") from None
    folder = of.path.parent if of.path else Path()
    try:
        changed = scenario.of(document, name=of.name, folder=folder)
    except UsageError as problem:
        raise UsageError(f"--vary {setting}={value}: {problem}") from None
    return replace(changed, text=yaml.safe_dump(document, sort_keys=False, allow_unicode=True), path=of.path)


# --- carrying out ------------------------------------------------------------------------------------------------------


@interrupts.honoured()
def sweep(
    of: Scenario,
    vary: str,
    *,
    times: int,
    gray: Scenario | None = None,
    rto_s: float | None = None,
    runtime: str = "auto",
    reports: Path = Path("reports"),
    seed: int | None = None,
    progress: Progress = print,
) -> tuple[Sweep, Path]:
    """Runs a scenario, and the one with the gray fault, `times` under each value; writes `reports/<scenario>/sweeps/<time>/`.

    Every value is checked before the first cluster starts, and what is done is written after each. Raises UsageError for a
    value that cannot be, and as `runner.run` does.
    """
    name, values = asked(vary)
    planned = {value: [varied(one, name, value) for one in (of, gray) if one] for value in values}
    folder = runner.dated_folder(reports / of.name / "sweeps")
    draw = runner.drawn(seed)
    found = Sweep(of.name, of.title, name, (), gray.title if gray else "", rto_s, values)
    try:
        for number, (value, scenarios) in enumerate(planned.items(), 1):
            done: list[tuple[Series, str]] = []
            for one in scenarios:
                progress(f"{name} = {value}: {one.title}")
                repeated = replace(one, repeat=Repeat(times, times))
                ran = repeats.run(repeated, runtime=runtime, reports=folder / _folder(value), seed=draw, progress=progress)
                done.append((repeats.read(ran.folder), str(ran.folder.relative_to(folder))))
                found = replace(found, settings=[*found.settings[: number - 1], _setting(value, done)], left=values[number:])
                write(folder, found)
                _go_on(ran)
    except KeyboardInterrupt:
        found = replace(found, stopped=f"interrupted by the user ({interrupts.asked() or 'SIGINT'})")
    with interrupts.shielded():
        write(folder, found)
    return found, folder


def _go_on(ran: runner.RunResult) -> None:
    interrupts.check()
    if ran.interrupted:
        raise KeyboardInterrupt


def _setting(value: str, done: Sequence[tuple[Series, str]]) -> Setting:
    (outage, _), gray = done[0], done[1][0] if len(done) > 1 else None
    return Setting(value, outage, gray, tuple(folder for _, folder in done))


def _folder(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", value)


# --- what was written --------------------------------------------------------------------------------------------------


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds a sweep."""
    return (folder / FILE).exists()


def rewrite(folder: Path, *, again: bool = False) -> Sweep:
    """Says anew what the runs of a sweep say together; with `again` each is judged anew. Raises UsageError for what is none."""
    try:
        told = json.loads((folder / FILE).read_text("utf-8"))
        settings = [
            _setting(one["value"], [(repeats.rewrite(folder / below, again=again), below) for below in one["folders"]])
            for one in told["settings"]
        ]
        kept = {key: told[key] for key in ("scenario", "title", "vary", "gray", "rto_s", "left", "stopped")}
    except (OSError, ValueError, TypeError, KeyError, IndexError) as problem:
        raise UsageError(f"{folder / FILE}: cannot be read: {problem!r}") from None
    found = Sweep(**kept, settings=settings)
    write(folder, found)
    return found


def write(folder: Path, found: Sweep) -> None:
    """Writes sweep.json, report.md and report.html, also while the sweep goes on."""
    told: Mapping[str, Any] = found.as_json()
    with interrupts.shielded(), written_below(folder):
        (folder / FILE).write_text(json.dumps(told, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        (folder / "report.md").write_text(_sweep.markdown(found), encoding="utf-8")
        (folder / "report.html").write_text(_sweep.page(found), encoding="utf-8")
