"""Can a text that comes from outside (a title, a node's name, an error's class) do anything in a report but be read?

A real run's history, in which every text that may be chosen freely ends with all that means something in HTML, in a
script, in Markdown, in XML or to a terminal. It is judged and reported, and the page is opened in a browser.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from harness import archive, history, judging, runner
from harness.history import History
from tests.plugin import recorded
from tests.unit.reporters.test_html import in_chromium, rendered
from tests.unit.test_recorded import RECORDED

RAN = "it-ran"  # what every script among the texts would leave in the page
HOSTILE = (
    f"</title></style></script><script>document.title='{RAN}'</script><img src=x onerror=\"document.title='{RAN}'\">"
    f"<svg onload=\"document.title='{RAN}'\">'\"`--><!-- <a href=javascript:document.title='{RAN}'>x</a>"
    " ${document.title} {{ 7*7 }} [x](javascript:alert(1)) ![x](//x) | a | ]]> &lt;b&gt; &#60; ```` @team"
    " \u2028\u2029\u202e\x00\x1b[31m\x9b1m\x7f\ufffe\r\n\n# b"
)
UNPAIRED = "\ud800"  # JSON can carry it, UTF-8 cannot

# What the harness itself writes: these words have a meaning to checkers.
FIXED = {
    "event",
    "stage",
    "phase",
    "role",
    "metric",
    "during",
    "sets",
    "started_at",
    "state",
    "replication_state",
    "expected",
    "server",
}


def hostile(value: Any, key: str = "") -> Any:
    """The value with the hostile text at the end of every text that is anybody's to choose."""
    if key in FIXED:
        return value
    if isinstance(value, Mapping):
        names = {name: f"{name}{HOSTILE}" if key in ("versions", "options") else name for name in value}
        return {names[name]: hostile(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [hostile(inner, key) for inner in value]
    return f"{value}{HOSTILE}{UNPAIRED}" if isinstance(value, str) else value


def word(column: str, name: str) -> str:
    """A word of an operation: lanes, kinds and the two endpoints are the harness's own."""
    return name if column in ("lane", "kind") or name in ("writer", "reader", "") else f"{name}{HOSTILE}?"


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, History, dict[str, Any]]:
    """The run's folder with all its reports, its history, and its result."""
    folder = tmp_path_factory.mktemp("hostile") / "it's `a` <b> run"
    inside = folder / "history"
    inside.mkdir(parents=True)
    real = RECORDED / "writer_crash" / "history"
    shutil.copy(real / "final_reads.parquet", inside)
    events = [hostile(json.loads(line)) for line in (real / "events.jsonl").read_text("utf-8").splitlines()]
    (inside / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), "utf-8")
    was = history.read(real)
    names = {column: tuple(word(column, name) for name in known) for column, known in was.operations.names.items()}
    archive._write_operations(inside / "operations.parquet", replace(was.operations, names=names), was.payloads, [HOSTILE])
    result = judging.judge_folder(folder)
    runner.write_reports(folder, result)
    return folder, history.read(inside), result


def test_the_texts_reach_the_result_and_every_checker_can_judge(reported: tuple[Path, History, dict[str, Any]]) -> None:
    folder, _, result = reported
    assert json.loads((folder / "result.json").read_text("utf-8")) == result
    for text in (result["title"], result["faults"][0]["target"], *result["notes"], *result["faults"][0]["hit"]):
        assert RAN in text
    assert [found["summary"] for found in result["findings"] if "could not judge" in found["summary"]] == []
    assert any(RAN in label for found in result["findings"] for label in found["measured"].get("errors", {}).get("by", {}))


class Elements(HTMLParser):
    """The names of a page's elements, each with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def active(elements: list[tuple[str, dict[str, str | None]]]) -> list[str]:
    """What could run, load or lead elsewhere."""
    found = [
        tag for tag, _ in elements if tag in ("img", "iframe", "object", "embed", "link", "base", "form", "a", "foreignobject")
    ]
    attributes = [name for _, own in elements for name in own if name.startswith("on") or name in ("href", "src", "xlink:href")]
    return found + attributes


def test_in_the_page_they_are_text(reported: tuple[Path, History, dict[str, Any]]) -> None:
    text = (reported[0] / "report.html").read_text("utf-8")
    elements = Elements(text).found
    assert active(elements) == []
    assert [tag for tag, _ in elements].count("script") == 2
    assert [tag for tag, _ in elements].count("style") == 1
    assert text.count(f"document.title=&#39;{RAN}&#39;") > 50, "they are in it"
    assert "{{ 7*7 }}" in text, "and were not taken for a template"


@in_chromium
def test_in_a_browser_nothing_of_them_runs(reported: tuple[Path, History, dict[str, Any]], tmp_path: Path) -> None:
    dom, console = rendered(reported[0] / "report.html", tmp_path)
    assert console == [], "the page's policy had to refuse nothing, and its own script met no error"
    elements = Elements(dom).found
    assert active(elements) == []
    assert [tag for tag, _ in elements].count("script") == 2
    assert f"<title>{RAN}</title>" not in dom
    assert dom.count("<canvas") == 5, "its own script drew every chart"


SUMMARY = {
    "h2",
    "h3",
    "p",
    "strong",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "ul",
    "li",
    "details",
    "summary",
    "pre",
    "code",
}


def test_in_the_summary_they_are_text(reported: tuple[Path, History, dict[str, Any]]) -> None:
    text = (reported[0] / "summary.md").read_text("utf-8")
    page = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)
    elements = Elements(page).found
    assert active(elements) == []
    assert {tag for tag, _ in elements} <= SUMMARY
    assert [tag for tag, _ in elements].count("pre") == 1
    assert "&amp;lt;b&amp;gt;" in page, "what looks like an entity is shown as it was"
    assert "@team" not in page.split("<pre>")[0] + page.split("</pre>")[1], "nobody is mentioned, but in code"
    assert seen_only(text)


def test_the_summary_s_tables_keep_their_columns(reported: tuple[Path, History, dict[str, Any]]) -> None:
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render((reported[0] / "summary.md").read_text("utf-8"))
    for table in page.split("<table>")[1:]:
        rows = table.split("</table>")[0].split("<tr>")[1:]
        assert len({row.count("<td") + row.count("<th") for row in rows}) == 1
        assert len(rows) > 1


def test_in_junit_they_are_text(reported: tuple[Path, History, dict[str, Any]]) -> None:
    root = ElementTree.parse(reported[0] / "junit.xml").getroot()
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "properties", "property", "testcase", "failure", "error", "system-out",
    }  # fmt: skip
    assert RAN in next(element.get("value") or "" for element in root.iter("property") if element.get("name") == "title")


def seen_only(text: str) -> bool:
    """Whether no sign of the text does anything but be seen; a space of no width stands behind each @."""
    return all(mark.isprintable() or mark == "\n" for mark in text.replace("@\u200b", "@"))


def test_on_a_terminal_they_are_text(reported: tuple[Path, History, dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    from harness import cli

    with pytest.raises(SystemExit):
        cli.main(["judge", str(reported[0])])
    said = capsys.readouterr().out
    assert RAN in said
    assert seen_only(said)


def test_what_utf_8_cannot_carry_is_replaced_when_a_run_is_archived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness import scenario

    monkeypatch.chdir(tmp_path)
    file = Path("one.yaml")
    file.write_text("title: One\ntopology: rds-multi-az\nworkload: ledger\n")
    ran = recorded.run(scenario.load(file), runtime="docker", reports=Path("reports"), seed=1, progress=lambda line: None)
    inside = ran.folder / "history"
    for names in inside.glob("*.names"):
        names.write_text(names.read_text("utf-8").replace('"deadline"', '"deadline \\ud800"'), "utf-8")
    first = judging.judge_folder(ran.folder)
    archive.write(inside)
    assert judging.judge_folder(ran.folder) == first
    runner.write_reports(ran.folder, first)
    assert "deadline ?" in (ran.folder / "report.html").read_text("utf-8")
