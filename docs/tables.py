"""What did the latest run of every scenario say? Prints the table of `reports/README.md`.

harness run scenarios --reports reports; python -m docs.tables reports > reports/README.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.bounds import show
from harness.verdict import Measured

METRICS = ("write_outage", "recovery", "lost_writes", "availability")
HEAD = """# Latest runs

Every scenario's latest run, made by `harness run scenarios --reports reports` and `python -m docs.tables reports`. A claim
that did not hold stays in the table with its figure. Each is one run, so one sample; the worst client zone is shown.
Whole reports are in [examples](examples).

"""


def rows(reports: Path) -> Iterator[list[str]]:
    """A row for each scenario below a reports folder: name, verdict, figures with their bounds, and when it ran."""
    for file in sorted(reports.glob("**/latest/result.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        measured = {name: value for finding in result["findings"] for name, value in finding["measured"].items()}
        yield [
            result["scenario"],
            result["verdict"].upper(),
            *(figure(measured.get(name)) for name in METRICS),
            result["started_at"][:10],
            result["reason"],
        ]


def figure(measured: Mapping[str, Any] | None) -> str:
    """A metric as result.json holds it, in words; `–` when it was not measured."""
    if measured is None or measured["value"] is None:
        return "–"
    return show(Measured(measured["value"], measured["unit"], measured["lower"], measured["upper"]))


def main(argv: list[str]) -> int:
    """`REPORTS`; prints Markdown."""
    [folder] = argv
    print(HEAD + "| scenario | verdict | " + " | ".join(METRICS) + " | run | why |")
    print("| --- " * (len(METRICS) + 4) + "|")
    for row in rows(Path(folder)):
        print("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
