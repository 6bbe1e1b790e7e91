"""What do `35s`, `600/s` and `99.9%` mean, and from where on does a number make sense?"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_NUMBER = r"(?P<number>\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"^{_NUMBER}\s*(?P<unit>us|ms|s|m|min|h)$")
_RATE = re.compile(rf"^{_NUMBER}\s*/\s*(?P<unit>s|min)$")
_BYTES = re.compile(rf"^{_NUMBER}\s*(?P<unit>[kMG]?)(?P<of>B|bit)/s$")
_SHARE = re.compile(rf"^{_NUMBER}\s*%$")
_TIMES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class MoreThan:
    """As annotation of an option, `Annotated[int, MoreThan(0)]`: a scenario with any other number is refused.

    It speaks to pydantic without needing it: workloads are read where there is none.
    """

    bound: float

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return {**handler(source), "gt": self.bound}


def some_of(what: str, share: float, why: str) -> None:
    """Raises ValueError for a share that is nothing, or all."""
    if not 0 < share < 1:
        raise ValueError(f"{what} are more than 0% and less than 100%: {why}")


def seconds(text: object) -> float:
    """`250ms` → 0.25. Raises ValueError for a number without a unit, or a negative one."""
    found = _DURATION.match(text.strip()) if isinstance(text, str) else None
    if not found:
        raise ValueError(f"{text!r} is no duration; write a number with its unit, such as 250ms, 5s or 2min")
    return float(found["number"]) * _SECONDS[found["unit"]]


def per_second(text: object) -> float:
    """`600/s` → 600.0. Raises ValueError without the unit."""
    found = _RATE.match(text.strip()) if isinstance(text, str) else None
    if not found:
        raise ValueError(f"{text!r} is no rate; write a number per second, such as 600/s")
    return float(found["number"]) / _SECONDS[found["unit"]]


def bytes_per_second(text: object) -> float:
    """`10MB/s` → 10,000,000.0; `8Mbit/s` → 1,000,000.0. Raises ValueError without the unit."""
    found = _BYTES.match(text.strip()) if isinstance(text, str) else None
    if not found:
        raise ValueError(f"{text!r} is no rate of bytes; write an amount per second, such as 500kB/s, 10MB/s or 100Mbit/s")
    return float(found["number"]) * _TIMES[found["unit"]] / (8 if found["of"] == "bit" else 1)


def share(text: object) -> float:
    """`99.9%` → 0.999. Raises ValueError without the unit, or over 100 %."""
    found = _SHARE.match(text.strip()) if isinstance(text, str) else None
    if not found or float(found["number"]) > 100:
        raise ValueError(f"{text!r} is no share; write a percentage from 0% to 100%, such as 99.9%")
    return round(float(found["number"]) / 100, 12)  # 99.9 / 100 is more than 0.999, which 999 of 1000 would not reach
