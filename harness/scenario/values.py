"""What is a scenario, once it was read?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from harness import conditions, units
from harness.conditions import Condition
from harness.scenario.fields import PERCENTAGE, text_of
from harness.targets import Target
from harness.units import MoreThan


def _at_least(value: object) -> float:
    """`>= 99.9%` → 0.999."""
    return units.share(value.strip().removeprefix(">=").strip() if isinstance(value, str) else value)


def _less_than(value: object) -> float:
    """`< 50%` → 0.5."""
    return units.share(value.strip().removeprefix("<").strip() if isinstance(value, str) else value)


def _one_word(text: str) -> str:
    if not re.fullmatch(conditions.ID, text):
        raise ValueError(f"'{text}' is not one word; use letters, digits, '-' and '_'")
    return text


AtLeast = Annotated[float, BeforeValidator(_at_least), text_of(rf"^(>=\s*)?{PERCENTAGE}$", ">= 99.9%")]
LessThan = Annotated[float, BeforeValidator(_less_than), text_of(rf"^(<\s*)?{PERCENTAGE}$", "< 50%")]


def _claim(text: str) -> str:
    if not re.fullmatch(_CLAIM, text):
        raise ValueError(f"'{text}' is no claim; write its group and its name, such as rds.failover")
    return text


_CLAIM = r"[a-z][a-z0-9]*(\.[a-z0-9][a-z0-9-]*)+"
Claimed = Annotated[str, AfterValidator(_claim), text_of(f"^{_CLAIM}$", "rds.failover")]
Word = Annotated[str, AfterValidator(_one_word), text_of(f"^{conditions.ID}$", "smoke")]
NotEmpty = Annotated[str, Field(min_length=1)]
MoreThanNone = Annotated[float, MoreThan(0)]


@dataclass(frozen=True)
class Use:
    """A topology or a workload: its word, and an instance of its dataclass.

    `files` go along with it into client nodes: path below the folder that they get there → file.
    """

    use: str
    options: Any
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class SteadyState:
    """The bounds (shares from 0 to 1) that must hold for `for_s` seconds before the first fault."""

    for_s: MoreThanNone = 5
    write_success: AtLeast = field(default=0.999, metadata={"shown": ">= 99.9%"})
    read_success: AtLeast = field(default=0.999, metadata={"shown": ">= 99.9%"})


@dataclass(frozen=True)
class Recovery:
    """For how many seconds service must be stable to count as recovered, and how long a run waits for it."""

    stable_for_s: MoreThanNone = 5
    at_most_s: MoreThanNone = 120


@dataclass(frozen=True)
class AbortIf:
    """When a run is ended at once, from its first probe on: everything is healed, and the verdict is UNKNOWN.

    `write_outage`: clients in any zone have had no acknowledged write for so long; `read_outage`: the same for reads.
    `write_success`, `read_success`: of all zones' probes of the last 10 s, fewer were ok. `no_primary`: no node has called
    itself primary for so long; `two_primaries`: more than one has.
    """

    write_outage_s: MoreThanNone | None = None
    read_outage_s: MoreThanNone | None = None
    write_success: LessThan | None = None
    read_success: LessThan | None = None
    no_primary_s: MoreThanNone | None = None
    two_primaries_s: MoreThanNone | None = None


def _within(value: object) -> float:
    """`±10%` → 0.1."""
    return units.share(value.strip().removeprefix("±").removeprefix("+-").strip() if isinstance(value, str) else value)


Within = Annotated[float, BeforeValidator(_within), text_of(rf"^(±|\+-)?\s*{PERCENTAGE}$", "±10%")]
Times = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Repeat:
    """How often the scenario is run on one living cluster: `min` times that can be trusted, and up to `max` in all.

    `until` ends it: the median of each metric in it shall be known to within so much of itself (95 %).
    """

    min: Times = 10
    max: Times = 30
    until: Mapping[str, Within] = field(default_factory=dict)


@dataclass(frozen=True)
class FaultPlan:
    """One fault: what, on which target, from when to when. Times are seconds.

    It starts `at_s` after the steady state was reached, or `at_s` after the fault `after` was healed (the change `after`
    was done), or once `when` is true. It ends after `for_s`, or once `until` is true but no later than `at_most_s`
    after it was injected.
    """

    kind: str
    fault: Any
    target: Target
    id: Word = ""
    at_s: float | None = None
    after: str | None = None
    when: Condition | None = None
    for_s: MoreThanNone | None = None
    until: Condition | None = None
    at_most_s: MoreThanNone | None = None


@dataclass(frozen=True)
class ChangePlan:
    """One planned change, and when it starts, which is said as for a fault. It ends by itself."""

    kind: str
    change: Any
    id: Word = ""
    at_s: float | None = None
    after: str | None = None
    when: Condition | None = None


Planned = FaultPlan | ChangePlan


@dataclass(frozen=True)
class Expectation:
    """A bound on a metric, in its base unit: seconds, share from 0 to 1, count or ratio.

    `during` is `before`, `fault` or `after`, None for the metric's headline.
    """

    metric: str
    min: float | None = None
    max: float | None = None
    during: Literal["before", "fault", "after"] | None = None
    because: NotEmpty | None = None

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ValueError(f"{self.metric} has neither min nor max: write {{max: …}} or {{min: …}}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min of {self.metric} is more than its max: nothing can be both")


@dataclass(frozen=True)
class Claim:
    """A claim of the catalogue that the scenario tests, and why what it expects would show that.

    It holds when the bounds on `metrics` hold; without any it takes the verdict of the whole run.
    """

    id: Claimed
    because: NotEmpty
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """One question about one system.

    `name` is the file's path below its folder `scenarios`, without suffix; `text` is the file as it was read. One that
    was given in memory has no `path`, and may have no workload. `claims` are what it puts to the test.
    `images` replaces the image of a server family; `path_through` is what clients' paths lead through.
    """

    name: str
    path: Path | None
    text: str
    title: str
    topology: Use
    workloads: tuple[Use, ...]
    steady_state: SteadyState = SteadyState()
    faults: tuple[FaultPlan, ...] = ()
    changes: tuple[ChangePlan, ...] = ()
    expect: tuple[Expectation, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    path_through: Literal["direct", "toxiproxy"] = "direct"
    max_runtime_s: float = 600
    markers: tuple[str, ...] = ()
    recovery: Recovery = Recovery()
    abort_if: AbortIf = AbortIf()
    repeat: Repeat | None = None
    claims: tuple[Claim, ...] = ()

    @property
    def later(self) -> tuple[str, ...]:
        """The families of the servers that its changes bring, which its topology need not have."""
        return tuple(sorted({family for plan in self.changes for family in getattr(plan.change, "brings", ())}))
