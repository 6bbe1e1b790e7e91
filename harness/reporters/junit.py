"""What does a CI server show?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from harness.history import History
from harness.reporters import _shown
from harness.reporters.json import strict

# What XML 1.0 cannot carry, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Junit:
    """junit.xml: one test case per finding; FAIL is a failure, UNKNOWN an error that says what is not known."""

    def write(self, folder: Path, history: History, result: Mapping[str, Any]) -> Path:
        """Writes `folder`/junit.xml and returns it."""
        path = folder / "junit.xml"
        tree = ElementTree.ElementTree(_suites(result))
        ElementTree.indent(tree)
        tree.write(path, encoding="utf-8", xml_declaration=True)
        return path


def _suites(result: Mapping[str, Any]) -> ElementTree.Element:
    findings = result["findings"]
    counts = {
        "tests": str(len(findings)),
        "failures": str(sum(finding["verdict"] == "fail" for finding in findings)),
        "errors": str(sum(finding["verdict"] == "unknown" for finding in findings)),
        "time": f"{result.get('duration_s') or 0:.3f}",
    }
    suites = _element("testsuites", None, name="harness", **counts)
    suite = _element("testsuite", suites, name=result["scenario"], timestamp=result.get("started_at") or "", **counts)
    properties = _element("properties", suite)
    for name, value in _properties(result):
        _element("property", properties, name=name, value=value)
    for finding in findings:
        _case(suite, result["scenario"], finding)
    _element("system-out", suite).text = _text(f"{result['title']}\n{_shown.WORDS[result['verdict']]}: {result['reason']}")
    return suites


def _properties(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("title", "verdict", "reason", "runtime", "seed", "harness"):
        yield name, str(result.get(name))
    for name, version in result["versions"].items():
        yield f"version.{name}", str(version)
    for name, measured in _shown.metrics(result).items():
        yield name, _shown.shown(measured)


def _case(suite: ElementTree.Element, scenario: str, finding: Mapping[str, Any]) -> None:
    case = _element("testcase", suite, classname=scenario, name=finding["checker"], time="0")
    evidence = [dumps(strict(row), ensure_ascii=False) for row in finding["evidence"]]
    details = "\n".join([finding["summary"], *finding["notes"], *evidence])
    if finding["verdict"] == "fail":
        _element("failure", case, type="FAIL", message=finding["summary"]).text = _text(details)
    elif finding["verdict"] == "unknown":
        message = f"UNKNOWN, the run cannot tell: {finding['summary']}"
        _element("error", case, type="UNKNOWN", message=message).text = _text(details)
    else:
        _element("system-out", case).text = _text(details)


def _element(tag: str, parent: ElementTree.Element | None, **attributes: str) -> ElementTree.Element:
    clean = {name: _text(value) for name, value in attributes.items()}
    return ElementTree.Element(tag, clean) if parent is None else ElementTree.SubElement(parent, tag, clean)


def _text(value: str) -> str:
    return _NOT_XML.sub("\ufffd", value)
