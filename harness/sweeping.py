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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from harness import repeats, runner, scenario
from harness.errors import UsageError, written_below
from harness.protocols import Progress
from harness.repeats import Series
from harness.reporters import _sweep
from harness.scenario import Repeat, Scenario
from harness.spread import Spread
from harness.verdict import Verdict

FILE = "sweep.json"
OUTAGE, FAILOVERS = "write_outage", "role_changes"
Document = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """One value of what is varied, and what its runs say; `gray` is None where no gray fault was asked for."""

    value: str
    outage: Series
    gray: Series | None = None

    @property
    def spread(self) -> Spread | None:
        """The write outages of the runs that can be trusted; None where no run can."""
        return next((one for one in self.outage.spreads() if one.metric == OUTAGE), None)

    @property
    def false_failovers(self) -> tuple[int, int] | None:
        """In how many runs with the gray fault the primary changed, and of how many; None where there is none to be trusted."""
        counts = [
            finding["measured"][FAILOVERS]["value"]
            for result in (self.gray.trusted if self.gray else ())
            for finding in result["findings"]
            if FAILOVERS in finding["measured"]
        ]
        return (sum(bool(count) for count in counts), len(counts)) if counts else None

    def meets(self, rto_s: float) -> bool:
        """Whether every run that can be trusted was back in time, as far as measuring can tell, and all that were asked were."""
        spread = self.spread
        if spread is None or spread.missing or self.outage.doubts():
            return False
        return all(value.upper is not None and value.upper <= rto_s for value in spread.values)


@dataclass(frozen=True)
class Sweep:
    """Some values of one setting (`vary`, as `topology.ttl`) of a scenario, and the outage that is wanted, in seconds."""

    scenario: str
    title: str
    vary: str
    settings: Sequence[Setting]
    gray: str = ""
    rto_s: float | None = None

    @property
    def named(self) -> Setting | None:
        """Of the settings that meet the RTO the one with the fewest false failovers, and of those the shortest outage."""
        meeting = [one for one in self.settings if self.rto_s is not None and one.meets(self.rto_s)]
        if self.gray:
            meeting = [one for one in meeting if one.false_failovers]
        return min(meeting, key=_cost, default=None)

    @property
    def answer(self) -> str:
        """What the sweep says, in a sentence."""
        unknown = [one.value for one in self.settings if one.spread is None]
        left = f"; no run with {', '.join(unknown)} can be trusted" if unknown else ""
        if self.rto_s is None:
            return f"{len(self.settings)} values of {self.vary} were compared{left}"
        if self.named is None:
            return f"no value of {self.vary} met {self.rto_s:g} s in every run{left}"
        false = self.named.false_failovers
        beside = f", with {false[0]} false failovers in {false[1]} runs" if false else ""
        return f"{self.vary} = {self.named.value} meets {self.rto_s:g} s{beside}{left}"

    @property
    def verdict(self) -> Verdict:
        """UNKNOWN when a setting has no run that can be trusted, FAIL when an RTO was wanted that none meets."""
        if any(one.spread is None for one in self.settings) or not self.settings:
            return Verdict.UNKNOWN
        return Verdict.FAIL if self.rto_s is not None and self.named is None else Verdict.PASS

    def as_json(self) -> dict[str, Any]:
        """What sweep.json holds."""
        return {
            "scenario": self.scenario, "title": self.title, "vary": self.vary, "gray": self.gray, "rto_s": self.rto_s,
            "verdict": self.verdict.value, "answer": self.answer, "meets": self.named.value if self.named else None,
            "settings": [
                {
                    "value": one.value,
                    "write_outage": one.spread.as_json() if one.spread else None,
                    "false_failovers": one.false_failovers,
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
    place[last] = yaml.safe_load(value)
    folder = of.path.parent if of.path else Path()
    try:
        changed = scenario.of(document, name=of.name, folder=folder)
    except UsageError as problem:
        raise UsageError(f"--vary {setting}={value}: {problem}") from None
    return replace(changed, text=yaml.safe_dump(document, sort_keys=False, allow_unicode=True), path=of.path)


# --- carrying out ------------------------------------------------------------------------------------------------------


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

    Every value is checked before the first cluster starts. Raises UsageError for one that cannot be, and as `runner.run` does.
    """
    name, values = asked(vary)
    planned = [(value, varied(of, name, value), varied(gray, name, value) if gray else None) for value in values]
    with written_below(reports):
        folder = reports / of.name / "sweeps" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        folder.mkdir(parents=True)
    draw = runner.drawn(seed)
    done: list[Setting] = []
    for value, *scenarios in planned:
        series: list[Series | None] = []
        for kind, one in zip(("outage", "gray"), scenarios, strict=True):
            if one is None:
                series.append(None)
                continue
            progress(f"{name} = {value}: {one.title}")
            repeated = replace(one, name=kind, repeat=Repeat(times, times))
            ran = repeats.run(repeated, runtime=runtime, reports=folder / _folder(value), seed=draw, progress=progress)
            series.append(repeats.read(ran.folder))
            if ran.interrupted:
                raise KeyboardInterrupt
        done.append(Setting(value, series[0] or Series(of.name, of.title, (), Repeat()), series[1]))
        found = Sweep(of.name, of.title, name, done, gray.title if gray else "", rto_s)
        write(folder, found)
    return found, folder


def _folder(value: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", value)


def write(folder: Path, found: Sweep) -> None:
    """Writes sweep.json, report.md and report.html, also while the sweep goes on."""
    told: Mapping[str, Any] = found.as_json()
    with written_below(folder):
        (folder / FILE).write_text(json.dumps(told, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        (folder / "report.md").write_text(_sweep.markdown(found), encoding="utf-8")
        (folder / "report.html").write_text(_sweep.page(found), encoding="utf-8")
