"""What does a run conclude, and from what?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Verdict(Enum):
    """PASS and FAIL are deserved; UNKNOWN says that the run cannot tell."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"

    @property
    def exit_code(self) -> int:
        """0, 1 and 3: 2 is a usage error, 4 a crash of the harness."""
        return {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNKNOWN: 3}[self]


@dataclass(frozen=True)
class Measured:
    """A metric's value with its bounds; `by` splits it (by zone, endpoint, lane, class …).

    `value` None means that the history has no answer. A count has lower = value = upper.
    `during` is `before`, `fault` or `after` for metrics that are read per phase.
    """

    value: float | None
    unit: str
    lower: float | None = None
    upper: float | None = None
    by: Mapping[str, Measured] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The metric as result.json holds it."""
        plain: dict[str, Any] = {"value": self.value, "unit": self.unit, "lower": self.lower, "upper": self.upper}
        if self.by:
            plain["by"] = {name: measured.as_json() for name, measured in self.by.items()}
        return plain


def exactly(value: float | None, unit: str, by: Mapping[str, Measured] | None = None) -> Measured:
    """A figure that is known without doubt (or, None, not at all)."""
    return Measured(value, unit, value, value, by or {})


def count(value: int, by: Mapping[str, Measured] | None = None) -> Measured:
    """A number of things, known exactly."""
    return exactly(value, "count", by)


def between(lower: float, upper: float | None) -> Measured:
    """A duration in seconds that is known to within bounds; without an upper one it had not ended."""
    return Measured(lower if upper is None else (lower + upper) / 2, "s", lower, upper)


@dataclass(frozen=True)
class Finding:
    """One checker's conclusion: a sentence with numbers, the metrics, and the evidence.

    `validity` marks a finding about the run itself (a fault without a witness, an
    overloaded machine): when it is UNKNOWN, so is the run, whatever else was found.
    `notes` are further sentences a reader should see: what was left out, and why.
    """

    checker: str
    verdict: Verdict
    summary: str
    measured: Mapping[str, Measured] = field(default_factory=dict)
    evidence: Sequence[Any] = ()
    notes: Sequence[str] = ()
    validity: bool = False

    def as_json(self) -> dict[str, Any]:
        """The finding as result.json holds it."""
        return {
            "checker": self.checker,
            "verdict": self.verdict.value,
            "summary": self.summary,
            "measured": {name: measured.as_json() for name, measured in self.measured.items()},
            "evidence": list(self.evidence),
            "notes": list(self.notes),
            "validity": self.validity,
        }


def trusted(result: Mapping[str, Any], besides: str = "") -> bool:
    """Whether the run of a result.json can be trusted: nothing about the run itself is UNKNOWN, but what `besides` found."""
    unknown = [one for one in result["findings"] if one["validity"] and one["verdict"] == "unknown"]
    return all(one["checker"] == besides for one in unknown)


def conclude(findings: Iterable[Finding], held: Sequence[str] = ()) -> tuple[Verdict, str]:
    """The run's verdict and the reason: the summary of the findings that decided it, or what `held`.

    A run that cannot be trusted is UNKNOWN; in one that can, FAIL outweighs UNKNOWN,
    since a bound that was seen broken stays broken whatever else is not known.
    """
    found = list(findings)
    if not found:
        return Verdict.UNKNOWN, "nothing was judged"
    for verdict, of_run in ((Verdict.UNKNOWN, True), (Verdict.FAIL, False), (Verdict.UNKNOWN, False)):
        deciding = [f for f in found if f.verdict is verdict and (f.validity or not of_run)]
        if deciding:
            return verdict, "; ".join(f.summary for f in deciding)
    return Verdict.PASS, "every expectation held: " + "; ".join(held) if held else "nothing was expected, and nothing went wrong"
