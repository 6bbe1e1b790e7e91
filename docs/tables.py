"""What did the latest run of every scenario say? Writes the tables of `reports/README.md` and of the project's README.

harness run scenarios --reports reports; python -m docs.tables reports
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.bounds import show
from harness.verdict import Measured

ROOT = Path(__file__).parents[1]
METRICS = ("write_outage", "recovery", "lost_writes", "split_brain", "availability")
SHORT = ("write_outage", "lost_writes", "availability")
SHOWN = "rds_multi_az/"  # the scenarios that the project's README shows
BEGIN, END = "<!-- Written by `python -m docs.tables reports`: change it there. -->\n", "<!-- End of what was written. -->\n"
HEAD = """# Latest runs

Every scenario's latest run, made by `harness run scenarios --reports reports` and `python -m docs.tables reports`. A claim
that did not hold stays in the table with its figure. Each is one run, so one sample; the worst client zone is shown.
Whole reports are in [examples](examples).

"""


def results(reports: Path) -> list[Mapping[str, Any]]:
    """The latest result of every scenario below a reports folder, by the scenario's name."""
    found = (json.loads(file.read_text(encoding="utf-8")) for file in reports.glob("**/latest/result.json"))
    return sorted(found, key=lambda result: str(result["scenario"]))


def figures(result: Mapping[str, Any], metrics: Iterable[str]) -> list[str]:
    """Metrics of a result, in words with their bounds; `–` for what was not measured."""
    measured = {name: value for finding in result["findings"] for name, value in finding["measured"].items()}
    return [_figure(measured.get(name)) for name in metrics]


def _figure(measured: Mapping[str, Any] | None) -> str:
    if measured is None or measured["value"] is None:
        return "–"
    return show(Measured(measured["value"], measured["unit"], measured["lower"], measured["upper"]))


def whole(found: Sequence[Mapping[str, Any]]) -> str:
    """The page of all latest runs."""
    rows = (
        [result["scenario"], result["verdict"].upper(), *figures(result, METRICS), result["started_at"][:10], result["reason"]]
        for result in found
    )
    return HEAD + "".join(_table(["scenario", "verdict", *METRICS, "run", "why"], rows))


def short(found: Sequence[Mapping[str, Any]]) -> str:
    """The table of the project's README: one line for each question asked of the system that it shows."""
    rows = (
        [_linked(result), result["verdict"].upper(), *figures(result, SHORT)]
        for result in found
        if str(result["scenario"]).startswith(SHOWN)
    )
    head = ["what happens", "verdict", *(metric.replace("_", " ") for metric in SHORT)]
    return BEGIN + "".join(_table(head, rows)) + END


def _linked(result: Mapping[str, Any]) -> str:
    return f"[{result['title']}](scenarios/{result['scenario']}.yaml)"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n"


def replaced(page: str, table: str) -> str:
    """The page with its table exchanged. Raises LookupError when it has no place for one."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise LookupError(f"the page lacks the lines {BEGIN!r} and {END!r}")
    return before + table + after


def main(argv: list[str]) -> int:
    """`REPORTS`: writes both tables from the latest results below that folder."""
    [folder] = argv
    found = results(Path(folder))
    (ROOT / "reports" / "README.md").write_text(whole(found), encoding="utf-8")
    page = ROOT / "README.md"
    page.write_text(replaced(page.read_text("utf-8"), short(found)), encoding="utf-8")
    print(f"{len(found)} scenarios")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
