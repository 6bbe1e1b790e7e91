"""Is report.html one file that needs nothing, runs nothing but its own script, and says what was found?"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from harness import registry
from harness.history import FinalReads, History, empty_operations
from harness.reporters.html import Html, embedded
from tests.unit.reporters import sample

CHROMIUM = shutil.which("chromium")
LICENCE_URL = "https://github.com/leeoniya/uPlot"  # the comment that its licence keeps with the code


class Page(HTMLParser):
    """The tags of a page with their attributes, the text outside scripts and styles, and the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._in: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._in:
            while self._in.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if "script" in self._in:
            self.scripts.append(data)
        elif "style" not in self._in:
            self.text += f" {data}"


@pytest.fixture(scope="module")
def history() -> History:
    return sample.history()


def written(folder: Path, history: History, result: dict[str, Any]) -> str:
    return Html().write(folder, history, result).read_text("utf-8")


def rendered(file: Path, folder: Path) -> tuple[str, list[str]]:
    """The page's DOM after its script ran, and what was written to the console."""
    assert CHROMIUM
    flags = (
        "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update "
        "disable-sync enable-logging=stderr dump-dom"
    )  # fmt: skip
    argv = [CHROMIUM, *(f"--{flag}" for flag in flags.split()), f"--user-data-dir={folder / 'profile'}", file.as_uri()]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    return ran.stdout, [line for line in ran.stderr.splitlines() if "CONSOLE" in line]


in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH")


def test_it_is_found_by_its_word() -> None:
    assert registry.find("reporters", "html") is Html


def test_the_file_needs_no_network(tmp_path: Path, history: History) -> None:
    text = written(tmp_path, history, sample.result("fail"))
    assert set(re.findall(r"https?://[^\s\"'<>)]+", text)) == {LICENCE_URL}
    assert text.count(LICENCE_URL) == 1
    attributes = {name for _, of_tag in Page(text).tags for name in of_tag}
    assert not attributes & {"src", "href", "srcset", "data", "xlink:href"}
    assert not re.search(r"@import|url\((?!#)", text)


def test_its_policy_forbids_all_but_its_own_script_and_style(tmp_path: Path, history: History) -> None:
    page = Page(written(tmp_path, history, sample.result()))
    (policy,) = [a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert re.fullmatch(
        r"default-src 'none'; script-src 'sha256-\S+='; style-src 'sha256-\S+='; base-uri 'none'; form-action 'none'", policy
    )
    attributes = {name for _, of_tag in page.tags for name in of_tag}
    assert [name for name in attributes if name == "style" or name.startswith("on")] == []


@pytest.mark.parametrize("verdict", ["pass", "fail", "unknown"])
def test_the_verdict_and_why_come_first(tmp_path: Path, history: History, verdict: str) -> None:
    result = sample.result(verdict)
    text = " ".join(Page(written(tmp_path, history, result)).text.split())
    assert text.index(verdict.upper()) < text.index(result["reason"]) < text.index("Write outage") < text.index("Findings")
    assert "22.21 s" in text
    assert "22.18 … 22.24 s" in text


def test_every_finding_witness_bound_and_piece_of_evidence_is_in_it(tmp_path: Path, history: History) -> None:
    result = sample.result("fail")
    text = " ".join(Page(written(tmp_path, history, result)).text.split())
    for finding in result["findings"]:
        assert finding["summary"] in text
        assert all(note in text for note in finding["notes"])
    assert all(reading["vantage"] in text and reading["seen"] in text for reading in result["faults"][0]["witnesses"])
    assert all(expected["because"] in text for expected in result["expect"])
    assert all(str(row["value"]) in text for row in result["findings"][1]["evidence"])
    assert "harness run scenarios/rds_multi_az/writer_crash.yaml --runtime docker --seed 7" in text


def test_the_data_are_what_the_history_holds(tmp_path: Path, history: History) -> None:
    page = Page(written(tmp_path, history, sample.result()))
    data = json.loads(page.scripts[0])
    assert (data["from"], data["to"], data["window"]) == (4, 64, 0.1)
    writer = next(lane for lane in data["lanes"] if (lane["group"], lane["label"], lane["lane"]) == ("writer", "az-a", "kept"))
    assert [span[0] for span in writer["spans"]] == ["ok", "failing", "unknown", "not sent", "unknown", "ok"]
    assert writer["spans"][0][2] == sample.CRASH_S
    assert data["faults"] == [{"id": "crash", "from": 19.0, "to": 42.0, "label": "crash → pg-az-a", "change": False}]
    assert {len(row) for series in ("throughput", "latency", "errors") for row in data[series].values()} == {len(data["at"])}


def test_what_locust_shows_stands_beside_what_clients_got(tmp_path: Path, history: History) -> None:
    assert "What Locust shows" not in written(tmp_path, history, sample.result()), "it is not known"
    lie = sample.lie()
    page = written(tmp_path, history, {**sample.result(), "findings": [*sample.findings(), lie]})
    assert "What Locust shows, and what clients got" in page
    row = "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(["", *[' class="n"'] * 9], sample.LIE, strict=True))
    assert row in page
    assert "<td>all</td>" in page, "what has no schedule has no figures of its own to the right"


def test_a_change_is_told_and_drawn_as_what_it_is(tmp_path: Path) -> None:
    page = Page(written(tmp_path, *sample.switched_over()))
    text = " ".join(page.text.split())
    [drawn] = json.loads(page.scripts[0])["faults"]
    assert drawn == {"id": "move", "from": 19.0, "to": 42.0, "label": "switchover of pg-az-a", "change": True}
    for said in (
        "Shaded: switchover of pg-az-a , from its begin (19.00 s) until every member was healthy (42.00 s).",
        "Changes and what each member said move switchover of pg-az-a Begun at 19.00 s, done at 42.00 s; ✓ verified",
        "42.10 s after pg-az-b primary primary",
        "Before, during and after the change",
        "Zoom to the change",
    ):
        assert said in text
    assert "Faults and their witnesses" not in text


def test_a_change_that_stopped_says_why(tmp_path: Path) -> None:
    text = " ".join(Page(written(tmp_path, *sample.switched_over("unknown"))).text.split())
    assert "Begun at 19.00 s, done at unknown; ? not verified no candidate is in sync" in text


def test_without_a_script_the_outage_is_drawn_as_well(tmp_path: Path, history: History) -> None:
    tags = Page(written(tmp_path, history, sample.result())).tags
    drawn = {attributes.get("class") for tag, attributes in tags if (tag == "rect" and "x" in attributes) or tag == "path"}
    assert drawn >= {"s-ok", "s-failing", "s-unknown", "s-not-sent", "s-primary", "s-replica", "s-role-unknown", "shade"}


def test_texts_from_outside_stay_text(tmp_path: Path) -> None:
    history = sample.history(title=sample.HOSTILE, reset_error=sample.HOSTILE, rate_per_s=30)
    result = sample.result("fail", title=sample.HOSTILE, seen=sample.HOSTILE)
    result["findings"][0]["summary"] = result["reason"] = sample.HOSTILE
    result["findings"][0]["evidence"] = [{sample.HOSTILE: sample.HOSTILE}, sample.HOSTILE]
    plain = Page(written(tmp_path, sample.history(rate_per_s=30), sample.result("fail")))
    hostile = Page(written(tmp_path, history, result))
    assert [tag for tag, _ in hostile.tags].count("script") == [tag for tag, _ in plain.tags].count("script") == 2
    assert [tag for tag, _ in hostile.tags].count("img") == 0
    assert hostile.text.count(sample.HOSTILE) >= 6
    assert sample.HOSTILE in json.loads(hostile.scripts[0])["errors"], "the class is whole in the data, and escaped in the file"


def test_embedded_json_holds_nothing_that_html_or_a_line_of_script_ends_with() -> None:
    value = {"</script>": "<!-- & \u2028 \u2029"}
    assert not set("<>&\u2028\u2029") & set(embedded(value))
    assert json.loads(embedded(value)) == value


def test_a_history_without_operations_or_faults_is_drawn(tmp_path: Path, history: History) -> None:
    note = "all recordings were cut off"
    bare = History({**history.run, "faults": []}, empty_operations(), [], FinalReads(), (note,))
    result = sample.result("unknown") | {"faults": [], "findings": [], "expect": [], "phases": [], "notes": [note]}
    assert note in Page(written(tmp_path, bare, result)).text


def test_a_long_history_makes_no_large_file(tmp_path: Path, history: History) -> None:
    columns = {name: column.repeat(40) for name, column in history.operations.columns.items()}
    for time in ("intended", "started", "ended"):  # 40 times as long, at the same rate
        columns[time] = (columns[time] * 40).copy()
    events = [type(event)(event.at * 40, event.name, event.data) for event in history.events]
    long = History(history.run, type(history.operations)(columns, history.operations.names), events, FinalReads())
    assert len(written(tmp_path, long, sample.result()).encode()) < 600_000


@in_chromium
@pytest.mark.parametrize("hostile", [False, True])
def test_it_renders_without_a_complaint(tmp_path: Path, history: History, hostile: bool) -> None:
    if hostile:
        history = sample.history(title=sample.HOSTILE, reset_error=sample.HOSTILE)
    title = sample.HOSTILE if hostile else None
    file = Html().write(tmp_path, history, sample.result("fail", title=title))
    dom, console = rendered(file, tmp_path)
    assert console == []
    assert dom.count("<canvas") == 5
    assert 'class="drawn"' in dom


@in_chromium
def test_an_empty_history_renders_without_a_complaint(tmp_path: Path, history: History) -> None:
    bare = History({**history.run, "faults": []}, empty_operations(), [], FinalReads())
    result = sample.result("unknown") | {"faults": [], "findings": [], "expect": [], "phases": []}
    dom, console = rendered(Html().write(tmp_path, bare, result), tmp_path)
    assert console == []
    assert 'class="drawn"' in dom


@in_chromium
def test_a_script_that_is_not_its_own_is_refused(tmp_path: Path, history: History) -> None:
    file = Html().write(tmp_path, history, sample.result())
    planted = "<script>document.title = 'planted'</script></body>"
    file.write_text(file.read_text("utf-8").replace("</body>", planted), "utf-8")
    dom, console = rendered(file, tmp_path)
    assert "<title>planted</title>" not in dom
    assert any("Content Security Policy" in line for line in console)
