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

OF_CLUSTER = (NEW_WRITER_IS_STABLE, WRITER_IS_STABLE, CLUSTER_IS_HEALTHY)
OF_FAULT = (FAULT_IS_HEALED, FAULT_IS_INJECTED)

FAULT_ID = r"[A-Za-z0-9][A-Za-z0-9_-]*"
PATTERN = rf"^({'|'.join(OF_CLUSTER)}|{FAULT_ID} ({'|'.join(OF_FAULT)}))$"
_OF_FAULT = re.compile(rf"(?P<id>{FAULT_ID}) (?P<kind>{'|'.join(OF_FAULT)})")


@dataclass(frozen=True)
class Condition:
    """Something that comes true while a run goes on; `kind` is one of this module's words.

    `fault_id` names the fault that the kinds `is healed` and `is injected` are about, else None.
    """

    kind: str
    fault_id: str | None = None

    def __str__(self) -> str:
        return f"{self.fault_id} {self.kind}" if self.fault_id else self.kind


def parse(text: str) -> Condition:
    """`new writer is stable` → Condition. Raises ValueError, with what would be right, for anything else."""
    words = " ".join(text.split())
    if words in OF_CLUSTER:
        return Condition(words)
    found = _OF_FAULT.fullmatch(words)
    if found:
        return Condition(found["kind"], found["id"])
    close = difflib.get_close_matches(words, OF_CLUSTER, n=1)
    known = f"did you mean '{close[0]}'?" if close else f"known: {', '.join((*OF_CLUSTER, *(f'<fault> {k}' for k in OF_FAULT)))}"
    raise ValueError(f"no condition called '{words}'; {known}")
