"""How is a result said, in words and numbers that every form of the report shares?"""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.history import History
from harness.verdict import Verdict

Plain = Mapping[str, Any]

MARKS = {"pass": "✓", "fail": "✕", "unknown": "?"}
WORDS = {"pass": "PASS", "fail": "FAIL", "unknown": "UNKNOWN"}
# Of a single bound, in a run whose verdict may be another.
HELD = {"pass": "held", "fail": "not held", "unknown": "cannot tell"}
PHASES = ("before", "fault", "after")

# What a reader asks first, in this order; whatever else the scenario bounds comes after them.
HEADLINE = ("write_outage", "lost_writes", "availability", "recovery", "read_outage")
METRICS = {
    "write_outage": ("Write outage", "longest time without an acknowledged write, in the worst client zone"),
    "read_outage": ("Read outage", "longest time without an answered read, in the worst client zone"),
    "recovery": ("Recovery", "from the fault's effect to stable service"),
    "redundancy_recovery": ("Redundancy recovery", "until every replica was in sync again"),
    "lost_writes": ("Lost writes", "acknowledged to a client, and gone afterwards"),
    "duplicated_writes": ("Duplicated writes", "there more than once"),
    "resurrected_writes": ("Resurrected writes", "answered with a failure, but there"),
    "split_brain": ("Split brain", "time in which two nodes acknowledged writes"),
    "availability": ("Availability", "share of intended operations that were ok within their deadline"),
    "write_p50": ("Write latency p50", "half of the writes were faster, by intended start"),
    "write_p99": ("Write latency p99", "99 of 100 writes were faster, by intended start"),
    "read_p50": ("Read latency p50", "half of the reads were faster, by intended start"),
    "read_p99": ("Read latency p99", "99 of 100 reads were faster, by intended start"),
    "errors": ("Errors", "operations that ended with an error"),
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
    ("ok, failed, unknown, not sent", "answered; refused; no answer in time, so it may or may not have been done; never left the client"),
    ("steady state", "the bounds that must hold before the fault, or the run says nothing"),
    ("failover", "an unplanned change of the primary"),
    ("recovery", "service that stays, not its first success"),
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


def number(value: float | None, unit: str, like: float | None = None) -> str:
    """22.4131, `s` → `22.41 s`; 0.794, `share` → `79.40 %`. `like` is the value whose scale a bound shares."""
    if value is None or not math.isfinite(value):
        return "unknown"
    if unit == "share":
        return f"{value * 100:.2f} %"
    if unit != "s":
        return f"{value:,.0f}" if unit == "count" else f"{value:g} {unit}"
    scale = abs(value if like is None or not math.isfinite(like) else like)
    if 0 < scale < 1:
        return f"{value * 1000:.1f} ms"
    return f"{value:.2f} s" if scale < 100 else f"{value:.0f} s"


def plainly(value: float, unit: str) -> str:
    """A bound as it was written: 35.0, `s` → `35 s`; 0.999, `share` → `99.9 %`."""
    if unit == "share":
        return f"{value * 100:.6g} %"
    if unit != "s":
        return number(value, unit)
    return f"{value * 1000:.6g} ms" if 0 < abs(value) < 1 else f"{value:.6g} s"


def bounds(measured: Plain) -> str:
    """`22.38 s … 22.44 s`; empty for what is known exactly; `at least 22.38 s` when its end was not seen."""
    value, unit, lower, upper = (measured.get(name) for name in ("value", "unit", "lower", "upper"))
    if lower is None and upper is None or lower == upper:
        return ""
    if upper is None:
        return f"at least {number(lower, str(unit), value)}"
    if lower is None:
        return f"at most {number(upper, str(unit), value)}"
    low, high = number(lower, str(unit), value), number(upper, str(unit), value)
    return "" if low == high else f"{low.rsplit(' ', 1)[0]} … {high}"


def shown(measured: Plain) -> str:
    """The value with its bounds: `22.41 s (22.38 … 22.44 s)`."""
    value, known = number(measured.get("value"), str(measured.get("unit"))), bounds(measured)
    return f"{value} ({known})" if known else value


def metrics(result: Plain) -> dict[str, Plain]:
    """Every measured metric by its name."""
    return {name: measured for finding in result["findings"] for name, measured in finding["measured"].items()}


def title_of(metric: str) -> str:
    return METRICS.get(metric, (metric.replace("_", " ").capitalize(), ""))[0]


def during(measured: Plain, phase: str | None) -> Plain:
    """The metric in that phase, where it is split by phase."""
    by = measured.get("by") or {}
    part: Plain = by.get(phase, measured) if phase else measured
    return part


def bound_text(expectation: Plain, unit: str) -> str:
    """`at most 35.00 s`, `at least 1, during fault`."""
    parts = []
    if expectation.get("min") is not None:
        parts.append(f"at least {plainly(expectation['min'], unit)}")
    if expectation.get("max") is not None:
        parts.append(f"at most {plainly(expectation['max'], unit)}")
    text = " and ".join(parts)
    return f"{text}, {_when(expectation['during'])}" if expectation.get("during") else text


def _when(phase: str) -> str:
    return {"before": "before the fault", "fault": "during the fault", "after": "after the fault"}.get(phase, phase)


def held(expectation: Plain, measured: Plain) -> str:
    """Whether a bound held: `pass` only when both bounds of the measurement say so, `unknown` in between."""
    low = measured.get("lower") if measured.get("lower") is not None else measured.get("value")
    high, value = measured.get("upper"), measured.get("value")
    if value is None or low is None:
        return "unknown"
    verdicts = ["pass"]
    if expectation.get("max") is not None:
        verdicts.append("fail" if low > expectation["max"] else "pass" if high is not None and high <= expectation["max"] else "unknown")
    if expectation.get("min") is not None:
        verdicts.append("pass" if low >= expectation["min"] else "fail" if high is not None and high < expectation["min"] else "unknown")
    return max(verdicts, key=("pass", "unknown", "fail").index)


def expectations(result: Plain) -> list[Bounded]:
    """The scenario's bounds beside what was measured, in the scenario's order."""
    known = metrics(result)
    rows = []
    for wanted in result.get("expect") or ():
        measured = during(known.get(wanted["metric"], {"value": None, "unit": ""}), wanted.get("during"))
        unit = str(measured.get("unit"))
        rows.append(
            Bounded(
                wanted["metric"], bound_text(wanted, unit), number(measured.get("value"), unit), bounds(measured),
                wanted.get("because") or "", held(wanted, measured),
            )
        )  # fmt: skip
    return rows


def cards(result: Plain) -> list[Card]:
    """The headline figures: what every reader asks, and whatever the scenario bounds."""
    known = metrics(result)
    wanted = {row["metric"]: row for row in result.get("expect") or ()}
    of_metric = {name: finding["verdict"] for finding in result["findings"] for name in finding["measured"]}
    return [_card(name, known[name], wanted.get(name), of_metric[name]) for name in dict.fromkeys((*HEADLINE, *wanted)) if name in known]


def _card(name: str, whole: Plain, expectation: Plain | None, verdict: str) -> Card:
    measured = during(whole, expectation.get("during") if expectation else None)
    unit = str(measured.get("unit"))
    title, means = METRICS.get(name, (title_of(name), ""))
    if expectation:
        verdict = held(expectation, measured)
    elif verdict == "pass":
        verdict = ""
    bound = bound_text(expectation, unit) if expectation else ""
    return Card(name, title, number(measured.get("value"), unit), bounds(measured), means, bound, verdict)


def split(result: Plain) -> Iterator[tuple[str, list[Part]]]:
    """Each metric that is split, with its parts; those by phase are in `by_phase`."""
    for name, measured in metrics(result).items():
        by = measured.get("by") or {}
        if by and not set(by) <= set(PHASES):
            yield title_of(name), [Part(label, number(p.get("value"), str(p.get("unit"))), bounds(p)) for label, p in by.items()]


def by_phase(result: Plain) -> list[tuple[str, list[str]]]:
    """Each metric that is split by phase, as (title, [before, fault, after])."""
    return [
        (title_of(name), [shown(measured["by"][phase]) if phase in measured["by"] else "–" for phase in PHASES])
        for name, measured in metrics(result).items()
        if measured.get("by") and set(measured["by"]) <= set(PHASES)
    ]


def in_words(result: Plain) -> list[str]:
    """What happened and what clients lost, in sentences for someone who knows none of the terms."""
    known = metrics(result)
    return [*_faults_in_words(result["faults"]), *_outage_in_words(known), *_loss_in_words(known)]


def _faults_in_words(faults: Sequence[Plain]) -> Iterator[str]:
    for fault in faults:
        kind, hit = str(fault["kind"]).replace("_", " "), ", ".join(fault.get("hit") or ()) or "nothing"
        if fault.get("injected_at_s") is None:
            yield f"The fault ({kind} of {fault['target']}) was never injected."
            continue
        ended = "was not healed" if fault.get("healed_at_s") is None else f"was healed at {number(fault['healed_at_s'], 's')}"
        doubt = "" if fault["witnessed"] else " It was not witnessed: what follows need not be its effect."
        yield f"The {kind} hit {hit} ({fault['target']}) at {number(fault['injected_at_s'], 's')} and {ended}.{doubt}"


def _outage_in_words(known: Mapping[str, Plain]) -> Iterator[str]:
    outage = known.get("write_outage")
    if outage is None:
        return
    if outage.get("value") is None:
        yield "How long clients could not write is unknown."
    elif outage["value"] == 0:
        yield "Clients could write all the time."
    else:
        yield f"In the worst zone, clients could not write for {shown(outage)}."


def _loss_in_words(known: Mapping[str, Plain]) -> Iterator[str]:
    lost = known.get("lost_writes")
    if lost is None:
        return
    if lost.get("value") is None:
        yield "Whether acknowledged writes were lost is unknown."
    elif lost["value"] == 0:
        yield "No acknowledged write was lost."
    else:
        yield f"{number(lost['value'], 'count')} acknowledged {'write was' if lost['value'] == 1 else 'writes were'} lost."


def table(evidence: Sequence[Any]) -> tuple[list[str], list[list[str]]]:
    """Evidence as a table: a column for every key that occurs, in order; what is no mapping has one column."""
    rows = [row if isinstance(row, Mapping) else {"evidence": row} for row in evidence]
    columns = list(dict.fromkeys(str(key) for row in rows for key in row))
    return columns, [[_cell(row.get(column)) for column in columns] for row in rows]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def named(value: Any) -> str:
    """A topology, workload or other setting in one line: `ledger (users 60, rate_per_s 300)`."""
    if not isinstance(value, Mapping):
        return str(value)
    name = value.get("use") or value.get("name") or ""
    options = value["options"] if isinstance(value.get("options"), Mapping) else value
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
