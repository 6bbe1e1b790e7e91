"""How long did it take until the cluster was there?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.bounds import expectations, judge, show
from harness.clock import SECOND_NS
from harness.history import History
from harness.verdict import Finding, Measured, Verdict, exactly


@dataclass(frozen=True)
class Setup:
    """From the moment at which no node was there until every member said that it was well.

    A run on a cluster that was there before, such as each of a series, cannot tell.
    """

    metrics: ClassVar[Mapping[str, str]] = {"setup": "s"}

    def check(self, history: History) -> Finding:
        begun, formed = history.phase("forming"), next((event.at for event in history.named("laid_out")), None)
        if begun is None or formed is None:
            found: Measured = exactly(None, "s")
            said = "the cluster was there before" if begun is None else "the cluster never formed"
        else:
            found = exactly((formed - begun) / SECOND_NS, "s")
            said = f"the cluster was whole after {show(found)}"
        measured = {"setup": found}
        verdict, sentences = judge(measured, expectations(history, self.metrics))
        if formed is None and begun is not None and verdict is not Verdict.PASS:
            sentences = [said, *sentences]
        return Finding("setup", verdict, "; ".join(sentences) or said, measured)
