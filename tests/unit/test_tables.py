"""Do the tables of latest runs say what their results say?"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from docs import tables

RESULT: dict[str, Any] = {
    "scenario": "rds_multi_az/test", "title": "It is cut | off", "verdict": "fail", "reason": "lost_writes 519, at most 0",
    "started_at": "2026-11-23T15:00:00+00:00",
    "findings": [
        {
            "measured": {
                "write_outage": {"value": 20.5, "unit": "s", "lower": 20.4, "upper": 20.6},
                "lost_writes": {"value": 519, "unit": "count", "lower": 519, "upper": 519},
                "availability": {"value": None, "unit": "share", "lower": None, "upper": None},
            }
        }
    ],
}  # fmt: skip


def test_the_latest_result_of_every_scenario_is_found(tmp_path: Path) -> None:
    for name in ("b", "a"):
        folder = tmp_path / "system" / name / "latest"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps({**RESULT, "scenario": f"system/{name}"}))
    assert [result["scenario"] for result in tables.results(tmp_path)] == ["system/a", "system/b"]


def test_a_row_has_the_verdict_and_the_figures_with_their_bounds() -> None:
    row = tables.whole([RESULT]).splitlines()[-1]
    figures = "20.50 s (20.40 … 20.60) | – | 519 | – | –"
    assert row == f"| rds_multi_az/test | FAIL | {figures} | 2026-11-23 | lost_writes 519, at most 0 |"


def test_the_readme_has_a_line_for_each_question_asked_of_its_system() -> None:
    said = tables.short([RESULT, {**RESULT, "scenario": "other/test"}]).splitlines()
    assert said[3:-1] == ["| [It is cut \\| off](scenarios/rds_multi_az/test.yaml) | FAIL | 20.50 s (20.40 … 20.60) | 519 | – |"]


def test_only_the_table_of_a_page_is_exchanged() -> None:
    page = f"before\n{tables.BEGIN}old\n{tables.END}after\n"
    assert tables.replaced(page, f"{tables.BEGIN}new\n{tables.END}") == f"before\n{tables.BEGIN}new\n{tables.END}after\n"
    with pytest.raises(LookupError, match="the page lacks"):
        tables.replaced("nothing", "table")


def test_the_two_committed_tables_tell_of_the_same_runs_of_every_scenario() -> None:
    page = (tables.ROOT / "README.md").read_text("utf-8").partition(tables.BEGIN)[2].partition(tables.END)[0]
    whole = (tables.ROOT / "reports" / "README.md").read_text("utf-8")
    rows = re.findall(r"\]\(scenarios/(\S+)\.yaml\) \| (\w+) \| ([^|]+) \|", page)
    assert {name for name, _, _ in rows} == {
        f"rds_multi_az/{file.stem}" for file in (tables.ROOT / "scenarios/rds_multi_az").iterdir()
    }
    assert [row for row in rows if "| {} | {} | {} |".format(*row) not in whole] == []
