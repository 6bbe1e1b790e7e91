"""What does another program read?"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.history import History


@dataclass(frozen=True)
class Json:
    """result.json: the result as it is, in strict JSON (null where a number is none)."""

    indent: int = 2

    def write(self, folder: Path, history: History, result: Mapping[str, Any]) -> Path:
        """Writes `folder`/result.json and returns it. Raises TypeError for a value that JSON has no form for."""
        path = folder / "result.json"
        path.write_text(json.dumps(strict(result), indent=self.indent, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
        return path


def strict(value: Any) -> Any:
    """The value with plain containers and numbers, NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, np.generic):
        return strict(value.item())
    if isinstance(value, np.ndarray):
        return strict(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
