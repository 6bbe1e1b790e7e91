"""What does a person look at: what happened, why this verdict, and the outage drawn on one time axis?

One file that needs no network: styles, scripts and data are in it, and its policy forbids everything else,
scripts by any other hash included. What comes from outside (titles, errors, logs) is only ever text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness import series
from harness.history import FaultRecord, History
from harness.reporters import _shown
from harness.reporters._curve import Curve
from harness.reporters._waterfall import longest, waterfalls

WATERFALLS_MAX = 10  # those of the longest failovers, when there were more: no more are looked at one by one
PER_WINDOW = 100  # operations that a window of the rate and latency charts shall hold on average
POLICY = "default-src 'none'; script-src {script}; style-src {style}; base-uri 'none'; form-action 'none'"
ROLE = {"unknown": "role-unknown"}  # a node that does not say its role is drawn otherwise than an answer that never came
# JSON that may stand inside <script>: nothing in it can end the element or a line of script.
_ESCAPED = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class Html:
    """report.html: one self-contained file for a reviewer and for a reader who knows none of the terms."""

    def write(self, folder: Path, history: History, result: Mapping[str, Any]) -> Path:
        """Writes `folder`/report.html and returns it."""
        path = folder / "report.html"
        path.write_text(page(folder, history, result), encoding="utf-8", errors="replace", newline="\n")
        return path


def page(folder: Path, history: History, result: Mapping[str, Any]) -> str:
    """The whole page."""
    script = f"{asset('uplot/uPlot.iife.min.js')}\n{asset('report.js')}"
    style = f"{asset('uplot/uPlot.min.css')}\n{asset('report.css')}"
    drawn = timeline(history)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            result=result,
            history=history,
            folder=folder,
            timeline=drawn,
            drawing=Drawing.of(drawn),
            curve=Curve.of(result),
            waterfalls=list(longest(waterfalls(result), WATERFALLS_MAX)),
            waterfalls_max=WATERFALLS_MAX,
            data=Markup(embedded(drawn)),
            script=Markup(script),
            style=Markup(style),
            policy=policy(script, style),
        )
    )


def standalone(template: str, **parts: Any) -> str:
    """A page without a script, as one HTML file that needs no network."""
    style = asset("report.css")
    return environment().get_template(template).render(style=Markup(style), policy=policy("", style), **parts)


def environment() -> Environment:
    """Where the templates are; what is put into them is text unless it says otherwise."""
    made = Environment(
        loader=PackageLoader("harness.reporters", "assets"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.globals["shown"] = _shown
    return made


def policy(script: str, style: str) -> str:
    """What a page may do: nothing but its own script and style, by their hashes."""
    return POLICY.format(script=_hashed(script), style=_hashed(style))


def asset(name: str) -> str:
    return files("harness.reporters").joinpath("assets", *name.split("/")).read_text("utf-8").replace("\r\n", "\n")


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def embedded(value: object) -> str:
    """The value as JSON that is safe within a script element."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_ESCAPED)


def timeline(history: History) -> dict[str, Any]:
    """What the charts draw: seconds on the run's clock, null where there is nothing."""
    fine = series.windows(history)
    operations = series.clients(history)
    coarse = series.windows(history, operations, PER_WINDOW)
    roles, writes = series.role_strips(history, fine), series.write_strips(history, fine)
    slots = series.slot_strips(history, fine)
    spans = series.fault_windows(history, fine)
    return {
        "from": fine.start_s,
        "to": round(fine.end_s, 3),
        "window": fine.width_s,
        "rate_window": coarse.width_s,
        "at": [round(start_s, 3) for start_s in coarse.starts_s.tolist()],
        "phases": _spans(series.phases(history, fine)),
        "faults": [
            {"id": fault.id, "from": round(span.start_s, 3), "to": round(span.end_s, 3), "label": _label(fault),
             "change": fault.change}
            for fault in history.faults
            if (span := spans.get(fault.id))
        ],
        "lanes": [{**asdict(strip), "spans": _spans(strip.spans)} for strip in series.probe_strips(history, fine)],
        "roles": [
            {"label": strip.label, "zone": history.node_zone(strip.label) or "", "spans": _spans(strip.spans),
             "writes": _spans(writes[strip.label].spans) if strip.label in writes else [],
             "slots": _spans(slots[strip.label].spans) if strip.label in slots else []}
            for strip in roles
        ],
        "two_primaries": _spans(series.overlaps_in_shards(history, roles, "primary")),
        "two_writing": _spans(series.overlaps_in_shards(history, writes.values(), "ok")),
        "throughput": {name: _numbers(row.tolist()) for name, row in series.throughput(operations, coarse).items()},
        "latency": {name: _numbers(row.tolist()) for name, row in series.latency(operations, coarse).items()},
        "errors": {name: _numbers(row.tolist()) for name, row in series.errors(operations, coarse).items()},
    }  # fmt: skip


def _label(fault: FaultRecord) -> str:
    if fault.change:
        return fault.what.replace("_", " ")
    return f"{fault.kind.replace('_', ' ')} → {', '.join(fault.hit) or fault.target}"


def _spans(spans: Iterable[series.Span]) -> list[tuple[str, float, float]]:
    return [(span.state, round(span.start_s, 3), round(span.end_s, 3)) for span in spans]


def _numbers(row: Sequence[float]) -> list[float | None]:
    """Short numbers for the page: four digits are more than a pixel shows, and whole ones need no fraction."""
    rounded = (float(f"{value:.4g}") if math.isfinite(value) else None for value in row)
    return [int(value) if value is not None and value.is_integer() else value for value in rounded]


@dataclass(frozen=True)
class Drawing:
    """The outage as rectangles of an SVG of `WIDTH` × `height`, for print and where no script runs."""

    WIDTH = 1000
    GUTTER = 130

    height: int
    shades: Sequence[tuple[float, float]]  # x, width of the faults' windows
    rows: Sequence[tuple[str, int, int]]  # label, y, height
    bars: Sequence[tuple[str, str]]  # state, and the path of all its rectangles
    ticks: Sequence[tuple[float, str]]

    @classmethod
    def of(cls, drawn: Mapping[str, Any]) -> Drawing:
        """Lays the strips of lanes and roles out below each other."""
        strips = [(f"{s['group']} {s['label']} {s['lane']}", s["spans"]) for s in drawn["lanes"]]
        strips += [(s["label"], [(ROLE.get(state, state), *times) for state, *times in s["spans"]]) for s in drawn["roles"]]
        rows, y = [], 4
        bars: dict[str, list[str]] = {}
        for label, spans in strips:
            height = 6 if label.endswith(" fresh") else 12
            rows.append((label, y, height))
            for state, start_s, end_s in spans:
                x, width = cls._across(drawn, start_s, end_s)
                bars.setdefault(state, []).append(f"M{x:g} {y}h{width:g}v{height}h-{width:g}z")
            y += height + 5
        shades = [cls._across(drawn, fault["from"], fault["to"]) for fault in drawn["faults"]]
        return cls(y + 18, shades, rows, [(state, "".join(path)) for state, path in bars.items()], cls._ticks(drawn))

    @classmethod
    def _across(cls, drawn: Mapping[str, Any], start_s: float, end_s: float) -> tuple[float, float]:
        scale = (cls.WIDTH - cls.GUTTER) / (drawn["to"] - drawn["from"])
        return round(cls.GUTTER + (start_s - drawn["from"]) * scale, 1), round((end_s - start_s) * scale, 1)

    @classmethod
    def _ticks(cls, drawn: Mapping[str, Any]) -> list[tuple[float, str]]:
        length_s = drawn["to"] - drawn["from"]
        step_s = next((step for step in series.WIDTHS_S if length_s / step <= 12), series.WIDTHS_S[-1])
        first, last = math.ceil(drawn["from"] / step_s), math.floor(drawn["to"] / step_s)
        return [(cls._across(drawn, i * step_s, i * step_s)[0], f"{i * step_s:g} s") for i in range(first, last + 1)]
