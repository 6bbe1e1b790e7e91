"""Which value of a setting meets a wanted RTO, and what does it cost in false failovers?

A sweep carries one scenario out under several values of a setting, or every combination of several settings' values, each on a
cluster of its own and repeated; and beside it one whose fault is gray: it passes by itself, so a failover there is a false one.
What is quick to see a dead primary is quick to call a slow one dead, so the two are drawn against each other.
"""

from __future__ import annotations

import itertools
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
OUTAGE, LOST, FAILOVERS = "write_outage", "lost_writes", "role_changes"
Document = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """One value of each setting that is varied (by its name, as `topology.ttl`), and what its runs say.

    `gray` is None where no gray fault was asked for, or not reached. `folders` are where the series' reports are, below the
    sweep's own.
    """

    values: Mapping[str, str]
    outage: Series
    gray: Series | None = None
    folders: tuple[str, ...] = ()

    @property
    def value(self) -> str:
        """What tells it from the others: `20s`, or where several settings are varied `ttl 20s, loop_wait 1s`."""
        return called(self.values)

    @property
    def spread(self) -> Spread | None:
        """The write outages of the runs that can be trusted; None where no run can."""
        return self._spread_of(OUTAGE)

    @property
    def lost(self) -> Spread | None:
        """Their lost writes, likewise."""
        return self._spread_of(LOST)

    def _spread_of(self, metric: str) -> Spread | None:
        return next((one for one in self.outage.spreads() if one.metric == metric), None)

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
    """Some values of a setting of a scenario, or of several (`vary`, each as `topology.ttl`), and the outage wanted, in seconds.

    `left` are the values of which nothing was run yet; `stopped` says why that is so.
    """

    scenario: str
    title: str
    vary: Sequence[str]
    settings: Sequence[Setting]
    gray: str = ""
    rto_s: float | None = None
    left: Sequence[str] = ()
    stopped: str = ""

    @property
    def varied(self) -> str:
        """What is varied, in words."""
        return " and ".join(filter(None, [", ".join(self.vary[:-1]), *self.vary[-1:]]))

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
        said += [f"no run with {'; '.join(bare)} can be trusted"] if bare else []
        said += [f"nothing was run yet with {'; '.join(self.left)}"] if self.left else []
        if self.rto_s is not None and self.named is None:
            unsure = [one.value for one in self.settings if one.spread and one.meets(self.rto_s) is Verdict.UNKNOWN]
            said += [f"whether {'; '.join(unsure)} meets {self.rto_s:g} s cannot be told"] if unsure else []
            met = [one.value for one in self.settings if one.meets(self.rto_s) is Verdict.PASS]
            said += [f"false failovers with {'; '.join(met)} are not known"] if met else []
        return said

    @property
    def answer(self) -> str:
        """What the sweep says, in a sentence."""
        if self.rto_s is None:
            answer = f"{len(self.settings)} values of {self.varied} were compared"
        elif self.named is None:
            surely = "no value" if not self.unknown else "no value yet"
            answer = f"{surely} of {self.varied} met {self.rto_s:g} s in every run"
        else:
            false = self.named.false_failovers
            beside = f", with {false[0]} false failover{'s' * (false[0] != 1)} in {false[1]} runs" if false else ""
            value = self.named.value if len(self.vary) > 1 else f"{self.varied} = {self.named.value}"
            answer = f"{value} meets {self.rto_s:g} s{beside}"
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
            "scenario": self.scenario, "title": self.title, "vary": list(self.vary), "gray": self.gray, "rto_s": self.rto_s,
            "verdict": self.verdict.value, "answer": self.answer, "named": self.named.value if self.named else None,
            "left": list(self.left), "stopped": self.stopped,
            "settings": [
                {
                    "value": one.value,
                    "values": dict(one.values),
                    "meets": None if self.rto_s is None else one.meets(self.rto_s).value,
                    "write_outage": one.spread.as_json() if one.spread else None,
                    "lost_writes": one.lost.as_json() if one.lost else None,
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


def asked(vary: Sequence[str]) -> list[dict[str, str]]:
    """`topology.ttl=20s,30s`, … → every combination, each by the settings' names. Raises UsageError for anything else."""
    named = dict(_asked(one) for one in vary)
    if len(named) < len(vary):
        raise UsageError(f"--vary {' --vary '.join(vary)}: name each setting once, with all its values")
    return [dict(zip(named, values, strict=True)) for values in itertools.product(*named.values())]


def _asked(vary: str) -> tuple[str, list[str]]:
    name, equals, values = vary.partition("=")
    listed = [value.strip() for value in values.split(",") if value.strip()]
    if not equals or not re.fullmatch(r"[a-z_]+(\.[a-z0-9_]+)+", name):
        raise UsageError(f"--vary {vary}: write a setting of the scenario and its values, such as topology.ttl=20s,30s,40s")
    if len(set(listed)) < max(2, len(listed)):
        raise UsageError(f"--vary {vary}: give at least two values, each once")
    return name, listed


def called(values: Mapping[str, str]) -> str:
    """A combination of values in words: a value alone where there is one, else each after the last part of its setting's name."""
    if len(values) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in values.items())


def varied(of: Scenario, values: Mapping[str, str]) -> Scenario:
    """The scenario with another value of each setting. Raises UsageError where it has no such setting, or not with that value."""
    document: Document = yaml.safe_load(of.text)
    for setting, value in values.items():
        _set(document, setting, value, of.name)
    folder = of.path.parent if of.path else Path()
    try:
        changed = scenario.of(document, name=of.name, folder=folder)
    except UsageError as problem:
        said = " ".join(f"--vary {setting}={value}" for setting, value in values.items())
        raise UsageError(f"{said}: {problem}") from None
    return replace(changed, text=yaml.safe_dump(document, sort_keys=False, allow_unicode=True), path=of.path)


def _set(document: Document, setting: str, value: str, name: str) -> None:
    *way, last = setting.split(".")
    place: Any = document
    for step in way:
        below = place[int(step)] if isinstance(place, list) and step.isdigit() and int(step) < len(place) else None
        if isinstance(place, dict):
            below = place.get(step)
            if isinstance(below, str) and step in {"topology", "workload"}:
                below = place[step] = {"use": below}
        if not isinstance(below, dict | list):
            raise UsageError(f"--vary {setting}: {name} has no '{step}' with settings of its own")
        place = below
    if not isinstance(place, dict):
        raise UsageError(f"--vary {setting}: '{way[-1]}' is a list; name one by its number from 0: {'.'.join(way)}.0.{last}")
    try:
        place[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise UsageError(f"--vary {setting}={value}: this is no value that YAML knows") from None


# --- carrying out ------------------------------------------------------------------------------------------------------


@interrupts.honoured()
def sweep(
    of: Scenario,
    vary: Sequence[str],
    *,
    times: int,
    gray: Scenario | None = None,
    rto_s: float | None = None,
    runtime: str = "auto",
    reports: Path = Path("reports"),
    seed: int | None = None,
    progress: Progress = print,
) -> tuple[Sweep, Path]:
    """Runs a scenario, and the one with the gray fault, `times` each; writes `reports/<scenario>/sweeps/<time>/`.

    `vary` names settings and their values, each as `topology.ttl=20s,30s`; every combination is carried out. All are checked
    before the first cluster starts, and what is done is written after each. Raises UsageError for a value that cannot be, and
    as `runner.run` does.
    """
    combinations = asked(vary)
    planned = [(values, [varied(one, values) for one in (of, gray) if one]) for values in combinations]
    left = [called(values) for values in combinations]
    folder = runner.dated_folder(reports / of.name / "sweeps")
    draw = runner.drawn(seed)
    found = Sweep(of.name, of.title, list(combinations[0]), (), gray.title if gray else "", rto_s, left)
    try:
        for number, (values, scenarios) in enumerate(planned, 1):
            done: list[tuple[Series, str]] = []
            for one in scenarios:
                progress(f"{', '.join(f'{name} = {value}' for name, value in values.items())}: {one.title}")
                repeated = replace(one, repeat=Repeat(times, times))
                ran = repeats.run(
                    repeated, runtime=runtime, reports=folder / _folder(called(values)), seed=draw, progress=progress
                )
                done.append((repeats.read(ran.folder), str(ran.folder.relative_to(folder))))
                found = replace(found, settings=[*found.settings[: number - 1], _setting(values, done)], left=left[number:])
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


def _setting(values: Mapping[str, str], done: Sequence[tuple[Series, str]]) -> Setting:
    (outage, _), gray = done[0], done[1][0] if len(done) > 1 else None
    return Setting(values, outage, gray, tuple(folder for _, folder in done))


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
        if isinstance(told["vary"], str):
            raise UsageError(f"{folder / FILE}: was written by an earlier version, which knew one setting only; sweep again")
        settings = [
            _setting(one["values"], [(repeats.rewrite(folder / below, again=again), below) for below in one["folders"]])
            for one in told["settings"]
        ]
        kept = {key: told[key] for key in ("scenario", "title", "vary", "gray", "rto_s", "left", "stopped")}
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as problem:
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
