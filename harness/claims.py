"""Which of the promises in the catalogue held here, which did not, and which has nobody tried?

A scenario says which claims it puts to the test. In a run of it that can be trusted a claim holds when the bounds that it rests
on held, is refuted when one of them was surely broken, and is unknown between. Of each scenario, on each runtime, the newest run
that can be trusted counts. What no scenario tests stays in the table, and so does what was refuted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from harness import bounds, catalogue, repeats, sweeping
from harness.catalogue import Group
from harness.errors import UsageError, written_below
from harness.judging import RESULT, kept_result
from harness.reporters import _claims, _shown
from harness.scenario import Claim, Scenario
from harness.spread import spread
from harness.verdict import Measured, Verdict, trusted

Plain = Mapping[str, Any]
_BESIDE_THE_QUESTION = ("title", "claim", "markers")  # keys of a scenario without which a run is the same


class Standing(Enum):
    """What is known of a claim."""

    HOLDS = "holds"
    REFUTED = "refuted"
    UNKNOWN = "unknown"
    NOT_RUN = "not run"
    NOT_TESTED = "not tested"


_OF_VERDICT = {Verdict.PASS: Standing.HOLDS, Verdict.FAIL: Standing.REFUTED, Verdict.UNKNOWN: Standing.UNKNOWN}


@dataclass(frozen=True)
class Figure:
    """One bound that a claim rests on, in words, and what was measured."""

    title: str
    measured: str
    bound: str
    verdict: str


@dataclass(frozen=True)
class Tested:
    """What one scenario, on one runtime, says of a claim. Without a `folder` it was not run.

    `because` is why its bounds would show it, `notes` what else a reader must know, such as why it is unknown.
    """

    scenario: Scenario
    because: str
    standing: Standing
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()
    runtime: str = ""
    started_at: str = ""
    folder: Path | None = None


@dataclass(frozen=True)
class Row:
    """A claim of the catalogue with everything that was tried of it."""

    claim: catalogue.Claim
    tested: Sequence[Tested]

    @property
    def standing(self) -> Standing:
        """Refuted when one run refuted it; holds when every scenario that tests it was run, and it held in all of them."""
        found = {one.standing for one in self.tested}
        if not found:
            return Standing.NOT_TESTED
        if Standing.REFUTED in found:
            return Standing.REFUTED
        if len(found) == 1:
            return next(iter(found))
        return Standing.UNKNOWN


@dataclass(frozen=True)
class Table:
    """Every chosen claim, group by group; `unread` are the results that could not be read, each in a line."""

    groups: Sequence[tuple[Group, Sequence[Row]]]
    unread: Sequence[str]

    @property
    def counts(self) -> dict[Standing, int]:
        """How many claims stand how."""
        rows = [row for _, rows in self.groups for row in rows]
        return {standing: sum(row.standing is standing for row in rows) for standing in Standing}


@dataclass(frozen=True)
class _Report:
    """A run's report, or that of a series of runs of one scenario, with their results in order."""

    folder: Path
    results: Sequence[Plain]
    doubt: str = ""  # why a series cannot tell what it was asked

    @property
    def trusted(self) -> list[Plain]:
        return [result for result in self.results if trusted(result)]

    @property
    def started_at(self) -> str:
        return str(self.results[0]["started_at"] or "")

    @property
    def reason(self) -> str:
        return str(self.results[-1]["reason"])


def table(scenarios: Sequence[Scenario], reports: Path, only: Sequence[str] = (), runtime: str = "") -> Table:
    """What is known of the claims: `only` of those that these words mean, and of runs on this `runtime` alone, if any is named.

    Raises UsageError for a word that means no claim.
    """
    unread: list[str] = []
    chosen = catalogue.chosen(only)
    asked = {scenario.name: scenario for scenario in scenarios if scenario.claims}
    found: dict[tuple[str, str], list[_Report]] = {}
    for report in _reports(reports, set(asked), unread):
        on = str(report.results[0]["runtime"])
        if runtime in ("", on):
            found.setdefault((report.results[0]["scenario"], on), []).append(report)
    rows = [(group, [Row(claim, list(_tested(claim.id, asked, found))) for claim in group.claims]) for group in chosen]
    return Table(rows, unread)


def claimed_by(scenarios: Sequence[Scenario], only: Sequence[str] = ()) -> list[Scenario]:
    """The scenarios that put a claim to the test: one of those that `only` means. Raises UsageError when there is none."""
    wanted = {claim.id for group in catalogue.chosen(only) for claim in group.claims}
    found = [scenario for scenario in scenarios if any(claim.id in wanted for claim in scenario.claims)]
    if not found:
        raise UsageError(f"no scenario tests {'any of ' + ', '.join(only) if only else 'a claim'}")
    return found


def write(found: Table, folder: Path) -> list[Path]:
    """Writes claims.md and claims.html into a folder, and returns both."""
    with written_below(folder):
        folder.mkdir(parents=True, exist_ok=True)
        files = {folder / "claims.md": _claims.markdown, folder / "claims.html": _claims.page}
        for file, told in files.items():
            file.write_text(told(found, folder), encoding="utf-8", errors="replace")
    return list(files)


def _tested(claim_id: str, asked: Mapping[str, Scenario], found: Mapping[tuple[str, str], list[_Report]]) -> Iterator[Tested]:
    for name, scenario in sorted(asked.items()):
        for claim in scenario.claims:
            if claim.id == claim_id:
                of_scenario = [reports for (ran, _), reports in sorted(found.items()) if ran == name]
                yield from (_told(scenario, claim, reports) for reports in of_scenario)
                if not of_scenario:
                    yield Tested(scenario, claim.because, Standing.NOT_RUN)


# --- one scenario's runs -----------------------------------------------------------------------------------------------


def _told(scenario: Scenario, claim: Claim, reports: Sequence[_Report]) -> Tested:
    """What the newest report that can be trusted says, or, where none can, why the newest cannot tell."""
    ordered = sorted(reports, key=lambda report: report.started_at)
    chosen = next((report for report in reversed(ordered) if report.trusted), ordered[-1])
    notes = []
    if chosen is not ordered[-1]:
        notes.append(f"a newer run, of {ordered[-1].started_at[:10]}, could not tell: {ordered[-1].reason}")
    if _changed(scenario, chosen.folder):
        notes.append("the scenario was changed since")
    standing, figures = Standing.UNKNOWN, []
    if chosen.trusted:
        figures, standing = _figures(chosen, claim), _standing(chosen, claim)
        notes = [*_why(chosen, claim, standing), *notes]
    else:
        notes.insert(0, chosen.reason)
    result = chosen.results[0]
    on, began = str(result["runtime"]), chosen.started_at
    return Tested(scenario, claim.because, standing, figures, notes, on, began, chosen.folder)


def _standing(report: _Report, claim: Claim) -> Standing:
    verdicts = [_verdict(result, claim) for result in report.trusted]
    if report.doubt and Verdict.FAIL not in verdicts:
        return Standing.UNKNOWN
    return _OF_VERDICT[bounds.worst(verdicts)]


def _verdict(result: Plain, claim: Claim) -> Verdict:
    """The verdict on the bounds that the claim rests on, as they were when it was run; without any the whole run's."""
    if not claim.metrics:
        return Verdict(result["verdict"])
    expected = _expected(result, claim)
    named = {one.metric for one in expected}
    if not set(claim.metrics) <= named:  # the run was made before the scenario bounded them
        return Verdict.UNKNOWN
    return bounds.judge(_shown.metrics(result), expected)[0]


def _why(report: _Report, claim: Claim, standing: Standing) -> Iterator[str]:
    """What the figures themselves do not say."""
    if standing is Standing.HOLDS:
        return
    unbounded = set(claim.metrics) - {one.metric for one in _expected(report.trusted[-1], claim)}
    if unbounded:
        yield f"nothing was expected of {', '.join(sorted(unbounded))} when it was run"
    elif report.doubt and standing is Standing.UNKNOWN:
        yield report.doubt
    elif not claim.metrics:
        wanted = Verdict.FAIL if standing is Standing.REFUTED else Verdict.UNKNOWN
        yield next((str(one["reason"]) for one in report.trusted if Verdict(one["verdict"]) is wanted), report.reason)


def _expected(result: Plain, claim: Claim) -> list[bounds.Expectation]:
    return [one for one in _shown.expected_of(result) if not claim.metrics or one.metric in claim.metrics]


def _figures(report: _Report, claim: Claim) -> list[Figure]:
    """Each bound beside what was measured; of a series the median, its interval, and the least and the most."""
    results = report.trusted
    each = [_shown.metrics(result) for result in results]
    found = []
    for expected in _expected(results[-1], claim):
        values = [_shown.during(known[expected.metric], expected.during) for known in each if expected.metric in known]
        known = [value for value in values if value.value is not None]
        verdict = bounds.worst(bounds.judge(known_of_run, [expected])[0] for known_of_run in each)
        measured = _of_all(expected.metric, known, len(results)) if known else "not measured"
        bound = _shown.bound_text(expected, values[0].unit if values else "")
        found.append(Figure(_shown.title_of(expected.metric), measured, bound, verdict.value))
    return found


def _of_all(metric: str, values: Sequence[Measured], runs: int) -> str:
    if runs == 1:
        return _shown.shown(values[0])
    over = spread(metric, values, runs - len(values))
    median = _shown.shown(Measured(over.median, over.unit, over.lower, over.upper)) if over.upper is not None else ""
    figures = np.array([value.value for value in values], dtype=float)
    least, most = (_shown.number(float(figure), over.unit) for figure in (figures.min(), figures.max()))
    return f"median of {len(values)} runs {median or _shown.number(over.median, over.unit)}, {least} to {most}"


def _changed(scenario: Scenario, folder: Path) -> bool:
    """Whether what was run is another question than what the scenario asks now."""
    try:
        ran, asks = (yaml.safe_load(text) for text in ((folder / "scenario.yaml").read_text("utf-8"), scenario.text))
    except (OSError, ValueError, yaml.YAMLError):
        return False  # a report that was moved alone, without its scenario: nothing is known
    if not isinstance(ran, dict) or not isinstance(asks, dict):
        return True
    kept = [{key: value for key, value in one.items() if key not in _BESIDE_THE_QUESTION} for one in (ran, asks)]
    return bool(kept[0] != kept[1])


# --- reading -----------------------------------------------------------------------------------------------------------


def _reports(reports: Path, wanted: set[str], unread: list[str]) -> Iterator[_Report]:
    """Every report of these scenarios below a folder. A sweep's are none: it asks otherwise than the scenario is written."""
    files: dict[Path, list[Path]] = {}
    for file in sorted(reports.rglob(RESULT)):
        folder = file.parent.parent if repeats.is_series(file.parent.parent) else file.parent
        if not any(map(sweeping.is_sweep, folder.parents)):
            files.setdefault(folder.resolve(), []).append(file)  # `latest` is a second way to one of them
    for folder, of_folder in files.items():
        results = []
        for file in dict.fromkeys(file.resolve() for file in of_folder):
            try:
                results.append(kept_result(file))
            except UsageError as problem:
                unread.append(str(problem))
        if results and results[0]["scenario"] in wanted:
            yield _Report(folder, results, _doubt(folder) if repeats.is_series(folder) else "")


def _doubt(series: Path) -> str:
    """Why a series of runs cannot tell what it was asked; empty when it can."""
    try:
        told = json.loads((series / repeats.FILE).read_text("utf-8"))
        return str(told["reason"]) if told["verdict"] == Verdict.UNKNOWN.value else ""
    except (OSError, ValueError, KeyError, TypeError):
        return "the series of runs is not over"
