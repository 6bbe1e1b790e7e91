"""What do the runs of this machine know of its last calibration?"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import living


def _file(runtime: str) -> Path:
    return living.home().with_name(f"{living.home().name}-calibration") / f"{runtime}.json"


def keep(runtime: str, found: Mapping[str, Any]) -> None:
    """Keeps what calibration.json holds, but for the single outages, beside the folder of living clusters."""
    path = _file(runtime)
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {key: value for key, value in found.items() if key != "trials"} | {"kernel": os.uname().release}
    path.write_text(json.dumps(told) + "\n", encoding="utf-8")


def of(runtime: str) -> Mapping[str, Any] | None:
    """The last calibration of a runtime; None where there was none under this kernel."""
    try:
        told = json.loads(_file(runtime).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) and told.get("kernel") == os.uname().release else None
