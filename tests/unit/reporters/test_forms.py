"""Do JSON, JUnit, Markdown and the terminal say the same result, each in a form that others can read?"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console as Terminal

from harness import registry
from harness.history import History
from harness.reporters.console import Console
from harness.reporters.json import Json
from harness.reporters.junit import Junit
from harness.reporters.markdown import Markdown, text
from tests.unit.reporters import sample


@pytest.fixture(scope="module")
def history() -> History:
    return sample.history(rate_per_s=3)


def test_every_form_is_found_by_its_word() -> None:
    assert registry.names("reporters") == ("console", "html", "json", "junit", "markdown")
    found = [registry.find("reporters", word) for word in ("console", "json", "junit", "markdown")]
    assert found == [Console, Json, Junit, Markdown]


# --- json ----------------------------------------------------------------------------------------------------


def test_json_is_the_result_itself(tmp_path: Path, history: History) -> None:
    result = sample.result("fail")
    path = Json().write(tmp_path, history, result)
    assert path == tmp_path / "result.json"
    assert json.loads(path.read_text("utf-8")) == result


def test_json_is_strict_where_the_result_is_not(tmp_path: Path, history: History) -> None:
    result = {"a": float("nan"), "b": [np.float64("inf"), np.int64(3)], "c": np.array([1.5]), "d": {4: ("x",)}}
    written = Json().write(tmp_path, history, result).read_text("utf-8")
    assert json.loads(written, parse_constant=pytest.fail) == {"a": None, "b": [None, 3], "c": [1.5], "d": {"4": ["x"]}}


def test_json_refuses_what_it_has_no_form_for(tmp_path: Path, history: History) -> None:
    with pytest.raises(TypeError):
        Json().write(tmp_path, history, {"a": object()})


# --- junit ---------------------------------------------------------------------------------------------------


def junit(folder: Path, history: History, result: dict[str, Any]) -> ElementTree.Element:
    suite = ElementTree.parse(Junit().write(folder, history, result)).getroot().find("testsuite")
    assert suite is not None
    return suite


def test_junit_has_a_case_for_each_finding_and_the_figures_as_properties(tmp_path: Path, history: History) -> None:
    result = sample.result("pass")
    suite = junit(tmp_path, history, result)
    assert [case.get("name") for case in suite.iter("testcase")] == [finding["checker"] for finding in result["findings"]]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("10", "0", "0")
    properties = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert properties["seed"] == "7"
    assert properties["write_outage"] == "22.21 s (22.18 … 22.24 s)"
    assert properties["version.postgres"] == "17.6"


@pytest.mark.parametrize(
    ("verdict", "tag", "message"),
    [
        ("fail", "failure", "359 of 7,612 acknowledged writes lost, at most 0"),
        ("unknown", "error", "UNKNOWN, the run cannot tell: fault crash: client-az-b saw 'answered', not 'connection refused'"),
    ],
)
def test_junit_tells_a_failure_from_not_knowing(tmp_path: Path, history: History, verdict: str, tag: str, message: str) -> None:
    suite = junit(tmp_path, history, sample.result(verdict))
    troubles = [child for case in suite.iter("testcase") for child in case if child.tag in ("failure", "error")]
    assert [(trouble.tag, trouble.get("message")) for trouble in troubles] == [(tag, message)]
    assert (suite.get("failures"), suite.get("errors")) == (("1", "0") if verdict == "fail" else ("0", "1"))


def test_junit_is_valid_xml_whatever_the_texts_hold(tmp_path: Path, history: History) -> None:
    hostile = f"]]>\x00\x1b[31m\ud800\uffff{sample.HOSTILE}"
    result = sample.result("fail", title=hostile)
    result["findings"][1]["summary"] = result["reason"] = hostile
    result["findings"][1]["evidence"] = [{"error": hostile}]
    suite = junit(tmp_path, history, result)
    failure = next(suite.iter("failure"))
    assert (failure.get("message") or "").endswith(sample.HOSTILE)
    assert "\ufffd\ufffd[31m\ufffd\ufffd" in (failure.get("message") or "")


# --- markdown ------------------------------------------------------------------------------------------------


def test_markdown_says_verdict_reason_figures_witnesses_and_how_to_repeat_it(tmp_path: Path, history: History) -> None:
    result = sample.result("fail")
    written = Markdown().write(tmp_path, history, result).read_text("utf-8")
    assert written.startswith("## ✕ FAIL: The writer's server is killed and started again later\n")
    assert "**Why FAIL:** 359 of 7,612 acknowledged writes lost, at most 0" in written
    assert "| Write outage | 22.21 s | 22.18 … 22.24 s | at most 35 s | ✓ |" in written
    assert "| Lost writes | 359 |  | at most 0 | ✕ |" in written
    assert "| crash | 19.20 s | begin | client-az-b asks pg-az-a:5432 for SSL | connection refused | conn" in written
    assert "the leader's lease of 20 s, an election, and HAProxy's checks" in written
    assert "harness run scenarios/rds_multi_az/writer_crash.yaml --runtime docker --seed 7" in written
    assert "report.html" in written
    assert "- ✕ **durability**: 359 of 7,612 acknowledged writes lost, at most 0" in written.split("<details>")[0]
    assert "pg-az-b became primary at 40.60 s" in written.split("<details>")[1]
    assert len(written) < 65_536, "what a comment on a pull request may hold"


def test_markdown_shows_a_fault_that_nobody_witnessed(tmp_path: Path, history: History) -> None:
    written = Markdown().write(tmp_path, history, sample.result("unknown")).read_text("utf-8")
    assert "| crash | crash | writer → pg-az-a | 19.03 s | 42.00 s | **no** |" in written


def test_markdown_tells_a_change_as_what_it_is(tmp_path: Path) -> None:
    written = Markdown().write(tmp_path, *sample.switched_over()).read_text("utf-8")
    did = "pg-az-b took over from pg-az-a"
    assert f"The switchover of pg-az-a was begun at 19.00 s and done at 42.00 s: {did}." in written
    assert f"| move | switchover of pg-az-a | 19.00 s | 42.00 s | yes | {did} |" in written
    assert "| move | 18.90 s | before | pg-az-a | primary | primary |" in written
    assert "| move | 42.10 s | after | pg-az-b | primary | primary |" in written
    assert "### Faults" not in written


def test_markdown_says_why_a_change_stopped(tmp_path: Path) -> None:
    written = Markdown().write(tmp_path, *sample.switched_over("unknown")).read_text("utf-8")
    why = "no candidate is in sync"
    assert f"The switchover of pg-az-a was begun at 19.00 s and did not come to its end: {why}." in written
    assert f"| move | switchover of pg-az-a | 19.00 s | unknown | **no** | {why} |" in written


def test_markdown_tables_keep_their_columns_whatever_the_texts_hold(tmp_path: Path, history: History) -> None:
    result = sample.result("unknown", title="a | b\n# c @team <img> `x`")
    result["faults"][0]["witnesses"][0]["seen"] = "| x |\n\n| y |"
    written = Markdown().write(tmp_path, history, result).read_text("utf-8")
    assert written.splitlines()[0] == "## ? UNKNOWN: a \\| b \\# c @\u200bteam \\<img\\> \\`x\\`"
    row = next(line for line in written.splitlines() if "18.40 s" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 7


def test_text_is_one_line_without_markup() -> None:
    assert text("a_b\n*c* [d](e)") == r"a\_b \*c\* \[d\](e)"


def test_markdown_shows_what_locust_shows_beside_what_clients_got(tmp_path: Path, history: History) -> None:
    result = sample.result()
    assert "What Locust shows" not in Markdown().write(tmp_path, history, result).read_text("utf-8")
    written = Markdown().write(tmp_path, history, {**result, "findings": [*result["findings"], sample.lie()]}).read_text("utf-8")
    assert f"| {' | '.join(sample.LIE)} |" in written


# --- console -------------------------------------------------------------------------------------------------


def printed(folder: Path, history: History, result: dict[str, Any]) -> str:
    out = io.StringIO()
    path = Console(Terminal(file=out, width=120)).write(folder, history, result)
    assert path == folder / "report.html"
    return out.getvalue()


def test_the_terminal_shows_verdict_sentence_and_figures(tmp_path: Path, history: History) -> None:
    out = printed(tmp_path, history, sample.result("fail"))
    assert out.startswith("✕ FAIL  The writer's server is killed")
    assert "Why: 359 of 7,612 acknowledged writes lost" in out
    assert re.search(r"✓ +Write outage +22\.21 s +22\.18 … 22\.24 s +at most 35 s", out)
    assert re.search(r"✕ +Lost writes +359 +at most 0", out)


def test_the_terminal_names_a_fault_that_was_not_witnessed(tmp_path: Path, history: History) -> None:
    out = printed(tmp_path, history, sample.result("unknown"))
    assert out.startswith("? UNKNOWN")
    assert "The fault crash was not witnessed." in out


def test_the_terminal_names_a_change_that_was_not_verified(tmp_path: Path) -> None:
    out = printed(tmp_path, *sample.switched_over("unknown"))
    assert "The change move was not verified: no candidate is in sync" in out


def test_the_terminal_reads_no_markup_out_of_texts(tmp_path: Path, history: History) -> None:
    assert "[red]x[/red] [/]" in printed(tmp_path, history, sample.result("fail", title="[red]x[/red] [/]"))
