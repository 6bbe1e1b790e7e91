"""Was the load there, and did it keep asking while it was not answered?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.clock import SECOND_NS
from harness.history import History
from harness.intervals import load
from harness.verdict import Finding, Verdict

CLOSED_LOOP = (
    "the users of a Locust file wait for their own answers: during an outage they ask less, so that availability and latency"
    " look better than they were; outages are measured by the probes"
)


@dataclass(frozen=True)
class Load:
    """A Locust file of the user's own that asked nothing in some zone makes the run UNKNOWN.

    Its users keep no schedule, which is noted, and so are what went wrong in the file, with its line, and the times
    without users, when a shape was over or Locust's web UI stopped them.
    """

    metrics: ClassVar[Mapping[str, str]] = {}

    def check(self, history: History) -> Finding:
        own = {str(event["process"]): str(event["file"]) for event in history.named("ready") if "file" in event.data}
        asked = load(history)
        idle = [
            f"{file} asked nothing in {process}" for process, file in sorted(own.items()) if not len(asked.where(process=process))
        ]
        notes = [*([CLOSED_LOOP] if own else []), *_errors(history), *_without_users(history)]
        if idle:
            return Finding("load", Verdict.UNKNOWN, "; ".join(idle), notes=notes, validity=True)
        said = f"{len(asked)} operations asked by {len(asked.said('process'))} processes"
        return Finding("load", Verdict.PASS, said, notes=notes, validity=True)


def _errors(history: History) -> Iterator[str]:
    """What went wrong in the files, over all zones."""
    times: dict[str, int] = {}
    for event in history.named("locustfile"):
        for error in event["errors"]:
            times[error["said"]] = times.get(error["said"], 0) + error["times"]
    yield from (f"{said} ({number} times)" for said, number in sorted(times.items(), key=lambda one: -one[1]))


def _without_users(history: History) -> Iterator[str]:
    """For how long each process of the load had no users, by its own reading every second."""
    begin = history.phase("steady") or 0
    seconds: dict[str, list[float]] = {}
    for event in history.named("instrument"):
        if event.data.get("users") == 0 and begin <= event.at <= history.end:
            seconds.setdefault(str(event["process"]), []).append(event.at / SECOND_NS)
    for process, at in sorted(seconds.items()):
        yield f"{process} had no users in {len(at)} of its readings, between {at[0]:.1f} s and {at[-1]:.1f} s"
