"""How is a result said, in words and numbers that every form of the report shares?"""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bounds import Expectation, judge, show_value
from harness.history import History
from harness.verdict import Measured, Verdict

Plain = Mapping[str, Any]

MARKS = {"pass": "✓", "fail": "✕", "unknown": "?"}
WORDS = {"pass": "PASS", "fail": "FAIL", "unknown": "UNKNOWN"}
# Of a single bound, in a run whose verdict may be another.
HELD = {"pass": "held", "fail": "not held", "unknown": "cannot tell"}
WHEN = {"before": "before the fault", "fault": "during the fault", "after": "after the fault"}
EXPECTED = ("metric", "min", "max", "during", "because")

# What a reader asks first, in this order; whatever else the scenario bounds comes after them.
HEADLINE = ("write_outage", "lost_writes", "availability", "recovery", "read_outage")
METRICS = {
    "write_outage": ("Write outage", "longest time without an acknowledged write, in the worst client zone"),
    "read_outage": ("Read outage", "longest time without an answered read, in the worst client zone"),
    "first_success": ("First success", "from the fault's effect to the first acknowledged write, wherever"),
    "recovery": ("Recovery", "from the fault's effect to stable service"),
    "recovery_after_healing": ("Recovery after healing", "from the fault's end to stable service; 0 when it was stable before"),
    "detect": ("Detect", "from the fault's effect until the member that became primary found the leader's lock free"),
    "elect": ("Elect", "until it had the lock"),
    "promote": ("Promote", "until its server took writes"),
    "route": ("Route", "until the endpoint led to it"),
    "reconnect": ("Reconnect", "until a write was acknowledged in every client zone"),
    "settle": ("Settle", "until service was stable: writes, and the workload's throughput and p99, as before"),
    "redundancy_recovery": ("Redundancy recovery", "until every replica was in sync again"),
    "lost_writes": ("Lost writes", "acknowledged to a client, and gone afterwards"),
    "duplicated_writes": ("Duplicated writes", "there more than once"),
    "resurrected_writes": ("Resurrected writes", "answered with a failure, but there"),
    "lost_sessions": ("Lost sessions", "acknowledged, not ended, and gone"),
    "resurrected_sessions": ("Resurrected sessions", "ended, and seen again"),
    "split_brain": ("Split brain", "time in which two nodes acknowledged writes"),
    "zombie_writes": ("Zombie writes", "acknowledged by a node after another one had become primary, as the probes saw it"),
    "availability": ("Availability", "share of intended operations that were ok within their deadline"),
    "window_availability": ("Good seconds", "share of seconds in which at least 99 % of the operations were answered in time"),
    "user_uptime": ("User uptime", "share of users' time in which their last operation had been answered in time"),
    "write_p50": ("Write latency p50", "half of the writes were faster, by intended start"),
    "write_p99": ("Write latency p99", "99 of 100 writes were faster, by intended start"),
    "read_p50": ("Read latency p50", "half of the reads were faster, by intended start"),
    "read_p99": ("Read latency p99", "99 of 100 reads were faster, by intended start"),
    "longest_wait": ("Longest wait", "of one client for one answer, errors included, by kind of client and where it connects"),
    "past_deadline": ("Past deadline", "by how much a client overran the deadline that it keeps by itself"),
    "errors": ("Errors", "operations that ended with an error"),
    "lie_factor": ("Lie factor", "the p99 by intended start, divided by the p99 that Locust shows"),
    "locust_p99": ("Locust's p99", "what the load generator itself shows: what was never sent is left out"),
    "corrected_p99": ("p99 by intended start", "of the same operations, and of those that were never sent"),
    "role_changes": ("Role changes", "how often another node became primary"),
    "lost_updates": ("Lost updates", "scores of a leaderboard that were acknowledged, and are older again"),
    "wrong_scores": ("Wrong scores", "members of a leaderboard that are missing, or have a score that was never theirs"),
    "wrong_ranks": ("Wrong ranks", "members of a leaderboard that stand where somebody else's score belongs"),
    "lost_events": ("Lost events", "acknowledged, and never counted"),
    "double_counted_events": ("Double counted events", "counted more than once"),
    "wrong_totals": ("Wrong totals", "totals of a dashboard that are not those of what was counted"),
    "screen_age_p50": ("Age on screen p50", "half of the looks saw a newest event that was younger"),
    "screen_age_p99": ("Age on screen p99", "99 of 100 looks saw a newest event that was younger"),
    "setup": ("Setup", "from no node until every member said that it was well"),
    "resolution": ("Resolution", "how far an outage's length can be off, up or down, by how the probes asked"),
    "unplanned_role_changes": ("Unplanned role changes", "a new primary without a fault that could cause it"),
}
GLOSSARY = (
    ("acknowledged", "the client was told that its write succeeded"),
    ("endpoint", "what a client connects to: the writer leads to the primary, the reader to any node that can answer reads"),
    ("zone", "an availability zone; every node and every client is in one"),
    ("primary, replica", "the node that takes writes now; a node that follows it"),
    ("fault, injected, healed", "something broken on purpose, when it began, when it was undone"),
    ("witness", "the proof that the fault was there, seen from another place than the one that injected it"),
    ("probe", "one cheap timed question on a fixed schedule, whether or not the last one was answered"),
    ("kept, fresh", "probes on connections that stay open; probes that open a new connection each time"),
    ("ok, failed, unknown, not sent", "answered; refused; unanswered in time, so it may or may not have been done; never sent"),
    ("change", "what an operator does on purpose, such as a switchover; verified by what each member says of itself afterwards"),
    ("steady state", "the bounds that must hold before the fault, or the run says nothing"),
    ("failover, switchover", "an unplanned change of the primary; a planned one"),
    ("recovery", "service that stays, not its first success"),
    ("lie factor", "the p99 that clients got, from when they meant to ask, divided by the p99 that the load generator shows"),
    ("p50, p99", "half, or 99 of 100, of the answers came faster; counted from when an operation was meant to start"),
    ("PASS, FAIL, UNKNOWN", "every expectation held; one did not; the run cannot tell, and says why"),
)
LIMITS = (
    "One run is one sample: failover times vary from run to run. Repeat it with other seeds before a figure is promised.",
    "A duration is known only to within its bounds; what is drawn is rounded to the width of a window, the figures are not.",
    "Latency percentiles count what was answered; what was refused, unanswered or never sent is in the rates beside them.",
    "The nodes of this run share one machine: its loss, its disks' and its clocks' failures were not tested.",
)


@dataclass(frozen=True)
class Card:
    """One headline figure; `verdict` is empty where the scenario sets no bound."""

    metric: str
    title: str
    value: str
    bounds: str
    means: str
    bound: str
    verdict: str


@dataclass(frozen=True)
class Bounded:
    """One expectation beside what was measured."""

    metric: str
    bound: str
    measured: str
    bounds: str
    because: str
    verdict: str


@dataclass(frozen=True)
class Part:
    """One row of a metric that is split by zone, lane, class or phase."""

    name: str
    value: str
    bounds: str


def number(value: float | None, unit: str, scale: float | None = None) -> str:
    """22.4131, `s` → `22.41 s`; 0.794, `share` → `79.4 %`. `scale` is the value whose unit a bound shares."""
    if value is None or not math.isfinite(value):
        return "unknown"
    if unit != "count":
        return show_value(value, unit, scale)
    return f"{value:,.0f}" if value >= 100 or float(value).is_integer() else f"{value:.3g}"  # a ratio, or so many a second


def plainly(value: float, unit: str) -> str:
    """A bound as it was written: 35.0, `s` → `35 s`; 0.999, `share` → `99.9 %`."""
    if unit != "s":
        return number(value, unit)
    return f"{value * 1000:.6g} ms" if 0 < abs(value) < 1 else f"{value:.6g} s"


def value(measured: Measured) -> str:
    """`22.41 s`, `≥ 4.10 s` for what had not ended when measuring did."""
    return f"{'≥ ' if _is_open(measured) else ''}{number(measured.value, measured.unit, _scale(measured))}"


def bounds(measured: Measured) -> str:
    """`22.38 … 22.44 s`; empty for what is known exactly."""
    if _is_open(measured):
        return "no upper bound" if measured.unit == "ratio" else "not over when measuring ended"
    if measured.lower is None or measured.upper is None or measured.lower == measured.upper:
        return ""
    low, high = (number(bound, measured.unit, _scale(measured)) for bound in (measured.lower, measured.upper))
    return f"{low.rsplit(' ', 1)[0]} … {high}"


def _is_open(measured: Measured) -> bool:
    return measured.value is not None and measured.lower is not None and measured.upper is None


def _scale(measured: Measured) -> float:
    return max(abs(measured.value or 0), abs(measured.upper or 0))


def shown(measured: Measured) -> str:
    """The value with its bounds: `22.41 s (22.38 … 22.44 s)`."""
    known = bounds(measured)
    return f"{value(measured)} ({known})" if known else value(measured)


def _measured(plain: Plain) -> Measured:
    by = {label: _measured(part) for label, part in (plain.get("by") or {}).items()}
    return Measured(plain.get("value"), str(plain.get("unit")), plain.get("lower"), plain.get("upper"), by)


def metrics(result: Plain) -> dict[str, Measured]:
    """Every measured metric by its name."""
    return {name: _measured(plain) for finding in result["findings"] for name, plain in finding["measured"].items()}


def title_of(metric: str) -> str:
    return METRICS.get(metric, (metric.replace("_", " ").capitalize(), ""))[0]


def during(measured: Measured, phase: str | None) -> Measured:
    """The metric in that phase; unknown when it was not read there."""
    return measured.by.get(phase, Measured(None, measured.unit)) if phase else measured


def bound_text(expected: Expectation, unit: str) -> str:
    """`at most 35 s`, `at least 1, during the fault`."""
    limits = (("at least", expected.min), ("at most", expected.max))
    text = " and ".join(f"{words} {plainly(limit, unit)}" for words, limit in limits if limit is not None)
    return f"{text}, {WHEN[expected.during]}" if expected.during else text


def expectations(result: Plain) -> list[Bounded]:
    """The scenario's bounds beside what was measured, in the scenario's order."""
    known = metrics(result)
    rows = []
    for expected in expected_of(result):
        measured = during(known.get(expected.metric, Measured(None, "")), expected.during)
        bound, verdict = bound_text(expected, measured.unit), judge(known, [expected])[0].value
        rows.append(Bounded(expected.metric, bound, value(measured), bounds(measured), expected.because or "", verdict))
    return rows


def expected_of(result: Plain) -> list[Expectation]:
    """The bounds that the scenario set, in its order."""
    return [Expectation(**{name: line.get(name) for name in EXPECTED}) for line in result.get("expect") or ()]


def cards(result: Plain) -> list[Card]:
    """The headline figures: what every reader asks, and whatever the scenario bounds."""
    known = metrics(result)
    expected = expected_of(result)
    of_metric = {name: finding["verdict"] for finding in result["findings"] for name in finding["measured"]}
    names = [name for name in dict.fromkeys((*HEADLINE, *(one.metric for one in expected))) if name in known]
    return [_card(name, known, [one for one in expected if one.metric == name], of_metric[name]) for name in names]


def _card(name: str, known: Mapping[str, Measured], expected: Sequence[Expectation], of_finding: str) -> Card:
    title, means = METRICS.get(name, (title_of(name), ""))
    measured = during(known[name], expected[0].during if expected else None)
    bound = "; ".join(bound_text(one, measured.unit) for one in expected)
    if expected:
        verdict = judge(known, expected)[0].value
    else:  # only trouble is worth a mark: that its finding passed says nothing of a metric without a bound
        verdict = "" if of_finding == "pass" else of_finding
    return Card(name, title, value(measured), bounds(measured), means, bound, verdict)


def split(result: Plain) -> Iterator[tuple[str, list[Part]]]:
    """Each metric that is split by more than phases, with its parts."""
    for name, measured in metrics(result).items():
        if not set(measured.by) <= set(WHEN):
            yield title_of(name), list(_parts(measured))


def _parts(measured: Measured, prefix: str = "") -> Iterator[Part]:
    for label, part in measured.by.items():
        yield Part(f"{prefix}{label}", value(part), bounds(part))
        yield from _parts(part, f"{prefix}{label}, ")


def by_phase(result: Plain) -> list[tuple[str, list[str]]]:
    """Each metric that is split by phase alone, as (title, [before, fault, after])."""
    return [
        (title_of(name), [shown(measured.by[phase]) if phase in measured.by else "–" for phase in WHEN])
        for name, measured in metrics(result).items()
        if measured.by and set(measured.by) <= set(WHEN)
    ]


# Of the load generator's own figures, and of the same by intended start; what each holds, and its unit.
BESIDE = (("operations", "count"), ("failures", "count"), ("p50_s", "s"), ("p99_s", "s"))


def beside(result: Plain) -> list[list[str]]:
    """What Locust shows beside what clients got, a row for each kind of operation; none where Locust's figures are not known."""
    rows = [row for finding in result["findings"] if finding["checker"] == "lie_factor" for row in finding["evidence"]]
    keys = [(f"{side}_{name}", unit) for side in ("locust", "corrected") for name, unit in BESIDE]
    return [
        [str(row["kind"]), *(_beside(row[key], unit) for key, unit in keys), _beside(row["lie_factor"], "ratio")] for row in rows
    ]


def _beside(value: float | None, unit: str) -> str:
    # Locust rounds to whole milliseconds: its 0 is no answer without any time.
    return "–" if value is None else "0 ms" if unit == "s" and not value else number(value, unit)


def in_words(result: Plain) -> list[str]:
    """What happened and what clients lost, in sentences for someone who knows none of the terms."""
    known = metrics(result)
    told = [*_faults_in_words(faults(result)), *_changes_in_words(changes(result))]
    return [*told, *_roles_in_words(known), *_outage_in_words(known), *_waits_in_words(known), *_loss_in_words(known)]


def faults(result: Plain) -> list[Plain]:
    """What was broken on purpose."""
    return [fault for fault in result["faults"] if not fault.get("change")]


def changes(result: Plain) -> list[Plain]:
    """What was changed as an operator would."""
    return [change for change in result["faults"] if change.get("change")]


def occasion(result: Plain) -> str:
    """What the run is about, in a word: `fault`, or `change` when nothing was broken."""
    return "change" if changes(result) and not faults(result) else "fault"


def change_of(change: Plain) -> str:
    """`switchover of pg-az-a`; `switchover` alone when it touched nothing."""
    hit = ", ".join(change.get("hit") or ())
    kind = str(change["kind"]).replace("_", " ")
    return f"{kind} of {hit}" if hit else kind


def _faults_in_words(faults: Sequence[Plain]) -> Iterator[str]:
    for fault in faults:
        # A kind of one word reads as what happened: the crash, the pause. Another one is a name.
        kind, hit = str(fault["kind"]), _hit(fault.get("hit") or ())
        kind = f"fault {kind}" if "_" in kind else kind
        if fault.get("injected_at_s") is None:
            yield f"The fault ({kind} of {fault['target']}) was never injected."
            continue
        ended = "was not healed" if fault.get("healed_at_s") is None else f"was healed at {number(fault['healed_at_s'], 's')}"
        doubt = "" if fault["witnessed"] else " It was not witnessed: what follows need not be its effect."
        yield f"The {kind} hit {hit} ({fault['target']}) at {number(fault['injected_at_s'], 's')} and {ended}.{doubt}"


def _hit(names: Sequence[str]) -> str:
    """Who was hit, by name as long as there are few."""
    if len(names) > 3:
        return f"{len(names)} {'links' if ' to ' in names[0] else 'nodes'}"
    return ", ".join(names) or "nothing"


def _changes_in_words(changes: Sequence[Plain]) -> Iterator[str]:
    for change in changes:
        began, done = (change.get(f"{stage}_at_s") for stage in ("injected", "healed"))
        if began is None:
            yield f"The change ({change_of(change)}) was never begun."
        elif done is None:
            why = f": {change['error']}" if change.get("error") else ""
            yield f"The {change_of(change)} was begun at {number(began, 's')} and did not come to its end{why}."
        else:
            doubt = "" if change["witnessed"] else " Nobody else saw that: what follows need not be its effect."
            times = f"was begun at {number(began, 's')} and done at {number(done, 's')}"
            yield f"The {change_of(change)} {times}: {change.get('said')}.{doubt}"


def _roles_in_words(known: Mapping[str, Measured]) -> Iterator[str]:
    changed = known.get("role_changes")
    if changed and changed.value is not None:
        times = {0: "The primary stayed the same.", 1: "Another node became primary."}
        yield times.get(int(changed.value), f"The primary changed {number(changed.value, 'count')} times.")


def _waits_in_words(known: Mapping[str, Measured]) -> Iterator[str]:
    """Of clients that are never cut short, as far as there are any: those of other workloads give up at their deadline."""
    waits = known.get("longest_wait")
    if waits and any(not kind.startswith("workload ") for kind in waits.by):
        worst = next((kind for kind, one in waits.by.items() if (one.value, one.upper) == (waits.value, waits.upper)), "")
        yield f"The client that waited longest for one answer ({worst}) waited for {shown(waits)}."


def _outage_in_words(known: Mapping[str, Measured]) -> Iterator[str]:
    outage = known.get("write_outage")
    if outage is None:
        return
    if outage.value is None:
        yield "How long clients could not write is unknown."
    elif outage.value == 0:
        yield "Clients could write all the time."
    else:
        yield f"In the worst zone, clients could not write for {shown(outage)}."


def _loss_in_words(known: Mapping[str, Measured]) -> Iterator[str]:
    lost = known.get("lost_writes")
    if lost is None:
        return
    if lost.value is None:
        yield "Whether acknowledged writes were lost is unknown."
    elif lost.value == 0:
        yield "No acknowledged write was lost."
    else:
        yield f"{number(lost.value, 'count')} acknowledged {'write was' if lost.value == 1 else 'writes were'} lost."


def table(evidence: Sequence[Any]) -> tuple[list[str], list[list[str]]]:
    """Evidence as a table: a column for every key that occurs, in order; what is no mapping has one column."""
    rows = [row if isinstance(row, Mapping) else {"evidence": row} for row in evidence]
    columns = list(dict.fromkeys(str(key) for row in rows for key in row))
    return columns, [[_cell(row.get(column)) for column in columns] for row in rows]


def _cell(content: Any) -> str:
    if content is None:
        return ""
    return f"{content:.6g}" if isinstance(content, float) else str(content)


def named(setting: Any) -> str:
    """A topology, workload or other setting in one line: `ledger (users 60, rate_per_s 300)`."""
    if not isinstance(setting, Mapping):
        return str(setting)
    name = setting.get("use") or setting.get("name") or ""
    options = setting["options"] if isinstance(setting.get("options"), Mapping) else setting
    rest = ", ".join(f"{k} {v}" for k, v in options.items() if k not in ("use", "name", "nodes", "zones", "expected_roles"))
    return f"{name} ({rest})" if rest and name else str(name or rest)


def folder_of(folder: Path) -> str:
    """The run's folder as the reader's shell would name it: relative when it is below the working folder."""
    relative = os.path.relpath(folder)
    return str(folder) if relative.startswith("..") else relative


def reproduce(history: History, result: Plain) -> str:
    """The command that runs the same scenario again."""
    file = history.run.get("file") or f"scenarios/{result['scenario']}.yaml"
    return shlex.join(["harness", "run", str(file), "--runtime", str(result["runtime"]), "--seed", str(result["seed"])])


def judge_again(folder: Path) -> str:
    """The command that computes the same findings from the history."""
    return shlex.join(["harness", "judge", folder_of(folder)])


assert set(MARKS) == {verdict.value for verdict in Verdict}
