"""What does a reviewer read in a pull request?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.history import History
from harness.plain import plain
from harness.reporters import _shown

# Inside a table cell or a sentence these would be markup, or a mention of someone.
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&$!])")


@dataclass(frozen=True)
class Markdown:
    """summary.md: the verdict and why, the figures with their bounds, the faults and changes with their witnesses."""

    def write(self, folder: Path, history: History, result: Mapping[str, Any]) -> Path:
        """Writes `folder`/summary.md and returns it."""
        path = folder / "summary.md"
        path.write_text("\n".join(_lines(folder, history, result)) + "\n", "utf-8", errors="replace")
        return path


def _lines(folder: Path, history: History, result: Mapping[str, Any]) -> Iterator[str]:
    verdict = result["verdict"]
    yield f"## {_shown.MARKS[verdict]} {_shown.WORDS[verdict]}: {text(result['title'])}"
    yield f"\n{text(' '.join(_shown.in_words(result)))}"
    yield f"\n**Why {_shown.WORDS[verdict]}:** {text(result['reason'])}\n"
    for claim in result.get("claims") or ():
        yield f"**Claim {text(claim['id'])}:** {text(claim['because'])}\n"
    cards = [(card.title, card.value, card.bounds, card.bound, _mark(card.verdict)) for card in _shown.cards(result)]
    yield from _table(("figure", "value", "bounds of the measurement", "expected", ""), cards)
    yield from _section("Expectations", _table(("metric", "bound", "measured", "", "because"), [
        (row.metric, row.bound, _joined(row.measured, row.bounds), _mark(row.verdict), row.because)
        for row in _shown.expectations(result)
    ]))  # fmt: skip
    yield from _section("Faults and their witnesses", _faults(_shown.faults(result)))
    yield from _section("Changes and what each member said", _changes(_shown.changes(result)))
    yield from _section("What Locust shows, and what clients got", _table(
        ("kind", "Locust: requests", "failed", "p50", "p99", "by intended start: operations", "not acknowledged", "p50", "p99",
         "lie factor"), _shown.beside(result),
    ))  # fmt: skip
    yield from _section("What did not pass", _findings(f for f in result["findings"] if f["verdict"] != "pass"))
    yield from ("", "<details><summary>All findings</summary>", "", *_findings(result["findings"]), "", "</details>")
    yield "\n### Again\n"
    yield from _code(
        _shown.reproduce(history, result),
        f"{_shown.judge_again(folder)}   # the same findings, from the history alone",
    )
    yield f"\nReport: {text(_shown.folder_of(folder))}/report.html · {_ran(result)}"


def _ran(result: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    started = f", started {result['started_at']}" if result.get("started_at") else ""
    return text(f"seed {result['seed']}, runtime {result['runtime']}{started}; {versions}")


def _faults(faults: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    rows = []
    for fault in faults:
        hit = ", ".join(fault.get("hit") or ()) or "nothing"
        times = [_shown.number(fault.get(name), "s") for name in ("injected_at_s", "healed_at_s")]
        witnessed = "yes" if fault["witnessed"] else "**no**"
        rows.append((fault["id"], fault["kind"], f"{fault['target']} → {hit}", *times, witnessed))
    yield from _table(("fault", "kind", "target → hit", "injected", "healed", "witnessed"), rows)
    for fault in faults:
        if fault.get("error"):
            yield f"\n- {text(fault['id'])}: {text(fault['error'])}"
    yield from _readings("fault", faults)


def _changes(changes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    rows = []
    for change in changes:
        times = [_shown.number(change.get(name), "s") for name in ("injected_at_s", "healed_at_s")]
        verified = "yes" if change["witnessed"] else "**no**"
        rows.append((change["id"], _shown.change_of(change), *times, verified, change.get("said") or change.get("error") or ""))
    yield from _table(("change", "what", "begun", "done", "verified", "what was done"), rows)
    yield from _readings("change", changes)


def _readings(sort: str, faults: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    readings = [
        (fault["id"], _shown.number(seen["at_s"], "s"), seen["stage"], seen["vantage"], seen["expected"], seen["seen"])
        for fault in faults
        for seen in fault["witnesses"]
    ]
    if readings:
        yield ""
        yield from _table((sort, "at", "stage", "vantage", "expected", "seen"), readings)


def _findings(findings: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for finding in findings:
        yield f"- {_shown.MARKS[finding['verdict']]} **{text(finding['checker'])}**: {text(finding['summary'])}"
        yield from (f"  - {text(note)}" for note in finding["notes"])


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    body = list(lines)
    if body:
        yield from ("", f"### {title}", "", *body)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield f"| {' | '.join(head)} |"
        yield f"|{' --- |' * len(head)}"
        yield from (f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows)


def _cell(value: str) -> str:
    return value if value == "**no**" else text(value)


def _joined(value: str, known: str) -> str:
    return f"{value} ({known})" if known else value


def _mark(verdict: str) -> str:
    return _shown.MARKS.get(verdict, "")


def text(value: object) -> str:
    """Any text as one line in which nothing is markup."""
    # An escaped @ would still mention someone: what looks for it looks at the finished page.
    return _MARKUP.sub(r"\\\1", plain(" ".join(str(value).split()))).replace("@", "@\u200b")


def _code(*lines: str) -> Iterator[str]:
    """Lines of a shell, fenced by more backticks than are in them."""
    shown = [plain(line.replace("\n", "\ufffd")) for line in lines]
    fence = "`" * max([3, *(1 + len(ticks) for ticks in re.findall("`+", "".join(shown)))])
    yield f"{fence}sh"
    yield from shown
    yield fence
