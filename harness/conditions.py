"""What may `until:` and `when:` wait for?

Only the words; whether a condition has come true is the nemesis' to find out.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

NEW_WRITER_IS_STABLE = "new writer is stable"
WRITER_IS_STABLE = "writer is stable"
CLUSTER_IS_HEALTHY = "cluster is healthy"
FAULT_IS_HEALED = "is healed"
FAULT_IS_INJECTED = "is injected"
CHANGE_IS_DONE = "is done"
CHANGE_IS_HALF_WAY = "is half way"

OF_CLUSTER = (NEW_WRITER_IS_STABLE, WRITER_IS_STABLE, CLUSTER_IS_HEALTHY)
OF_FAULT = (FAULT_IS_HEALED, FAULT_IS_INJECTED)
OF_CHANGE = (CHANGE_IS_DONE, CHANGE_IS_HALF_WAY)
_OF_ID = (*OF_FAULT, *OF_CHANGE)

ID = r"[A-Za-z0-9][A-Za-z0-9_-]*"
PATTERN = rf"^({'|'.join(OF_CLUSTER)}|{ID} ({'|'.join(_OF_ID)}))$"
_NAMED = re.compile(rf"(?P<id>{ID}) (?P<kind>{'|'.join(_OF_ID)})")


@dataclass(frozen=True)
class Condition:
    """Something that comes true while a run goes on; `kind` is one of this module's words.

    `of` is the id of the fault that the kinds `is healed` and `is injected` are about, or of the change that `is done`
    and `is half way` are about, else None.
    """

    kind: str
    of: str | None = None

    def __str__(self) -> str:
        return f"{self.of} {self.kind}" if self.of else self.kind


def parse(text: str) -> Condition:
    """`new writer is stable` → Condition. Raises ValueError, with what would be right, for anything else."""
    words = " ".join(text.split())
    if words in OF_CLUSTER:
        return Condition(words)
    found = _NAMED.fullmatch(words)
    if found:
        return Condition(found["kind"], found["id"])
    close = difflib.get_close_matches(words, OF_CLUSTER, n=1)
    words_of = (*OF_CLUSTER, *(f"<fault> {kind}" for kind in OF_FAULT), *(f"<change> {kind}" for kind in OF_CHANGE))
    known = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(words_of)}"
    raise ValueError(f"no condition called '{words}'; {known}")
