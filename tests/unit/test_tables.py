"""Does the table of latest runs say what their results say?"""

from __future__ import annotations

import json
from pathlib import Path

from docs.tables import rows


def test_a_row_has_the_verdict_and_the_figures_with_their_bounds(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "test" / "latest"
    folder.mkdir(parents=True)
    measured = {
        "write_outage": {"value": 20.5, "unit": "s", "lower": 20.4, "upper": 20.6},
        "lost_writes": {"value": 519, "unit": "count", "lower": 519, "upper": 519},
        "availability": {"value": None, "unit": "share", "lower": None, "upper": None},
    }
    result = {
        "scenario": "a/test", "verdict": "fail", "reason": "lost_writes 519, at most 0",
        "started_at": "2026-11-23T15:00:00+00:00", "findings": [{"measured": measured}],
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result))
    figures = ["20.50 s (20.40 … 20.60)", "–", "519", "–"]
    assert list(rows(tmp_path)) == [["a/test", "FAIL", *figures, "2026-11-23", "lost_writes 519, at most 0"]]
