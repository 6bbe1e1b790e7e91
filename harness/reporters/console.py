"""What does the terminal say at the end?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console as Terminal
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.history import History
from harness.plain import plain
from harness.reporters import _shown

_STYLES = {"pass": "bold green", "fail": "bold red", "unknown": "bold yellow", "": ""}


@dataclass(frozen=True)
class Console:
    """The verdict, why, and the headline figures, on the terminal."""

    terminal: Terminal = field(default_factory=Terminal)

    def write(self, folder: Path, history: History, result: Mapping[str, Any]) -> Path:
        """Prints the result and returns where its report is; writes nothing."""
        self.terminal.print(summary(result))
        return folder / "report.html"


def summary(result: Mapping[str, Any]) -> RenderableType:
    """The result for a terminal; texts from outside are never read as rich's markup."""
    verdict = result["verdict"]
    parts: list[RenderableType] = [
        Text.assemble(
            (f"{_shown.MARKS[verdict]} {_shown.WORDS[verdict]}", _STYLES[verdict]), ("  " + plain(result["title"]), "bold")
        ),
        Text(plain(" ".join(_shown.in_words(result)))),
        *(Text(plain(f"claim {claim['id']}: {claim['because']}")) for claim in result.get("claims") or ()),
    ]
    if verdict != "pass":
        parts.append(Text.assemble(("Why: ", "bold"), plain(result["reason"])))
    parts += [Text(""), _figures(result)]
    for fault in result["faults"]:
        if not fault["witnessed"]:
            what = ("change", "verified") if fault.get("change") else ("fault", "witnessed")
            said = f"The {what[0]} {fault['id']} was not {what[1]}{_because(fault)}"
            parts.append(Text(plain(said), _STYLES["unknown"]))
    return Group(*parts)


def _because(fault: Mapping[str, Any]) -> str:
    return f": {fault['error']}" if fault.get("error") else "."


def _figures(result: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("", "figure", "value", "bounds", "expected"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for card in _shown.cards(result):
        style = _STYLES[card.verdict]
        row = (_shown.MARKS.get(card.verdict, ""), card.title, card.value, card.bounds, card.bound)
        table.add_row(*(Text(plain(cell), style if i in (0, 2) else "") for i, cell in enumerate(row)))
    return table
