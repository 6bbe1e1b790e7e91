"""What does a history say, judged by every checker: what was lost, for how long, and may it be believed?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from harness import bounds, registry
from harness.clock import SECOND_NS
from harness.errors import UsageError
from harness.history import FaultRecord, History, read
from harness.verdict import Finding, Verdict, conclude

FORMAT = 1
RESULT = "result.json"
NEEDED = ("scenario", "findings", "started_at", "reason")
SCHEMA = Path(__file__).parent / "result_schema.json"


def judge(history: History) -> list[Finding]:
    """The findings of all checkers, in the order of their names. A checker that raises makes the run UNKNOWN."""
    found: list[Finding] = []
    known: set[str] = set()
    for name in registry.names("checkers"):
        try:
            checker = registry.find("checkers", name)
            known |= set(checker.metrics)
            found.append(checker().check(history))
        except Exception as problem:  # noqa: BLE001 (one broken judge must not take the others' findings along)
            said = f"the checker {name} could not judge: {type(problem).__name__}: {problem}"
            found.append(Finding(name, Verdict.UNKNOWN, said, validity=True))
    return found + _unmeasured(history, known)


def _unmeasured(history: History, known: set[str]) -> list[Finding]:
    """An expectation that no checker here knows, such as one of a package that is not installed."""
    unknown = sorted({line["metric"] for line in history.run.get("expect", ())} - known)
    said = f"no checker measures {', '.join(unknown)}"
    return [Finding("expectations", Verdict.UNKNOWN, said)] if unknown else []


def judge_folder(folder: Path) -> dict[str, Any]:
    """The result of a run's folder (or of its `history/`), from the history alone.

    Raises UsageError when there is no readable history.
    """
    inside = folder / "history"
    return result(read(inside if inside.is_dir() else folder))


def kept_result(file: Path) -> dict[str, Any]:
    """What a run's result.json holds. Raises UsageError, in one line, for what is none."""
    try:
        result = json.loads(file.read_text("utf-8"))
        problem = "" if isinstance(result, dict) and set(NEEDED) <= set(result) else "it is no run's result"
    except (OSError, ValueError) as refused:
        result, problem = {}, str(refused)
    if problem:
        raise UsageError(f"{file}: cannot be read: {problem}; `harness judge {file.parent}` writes it anew")
    return dict(result)


def result(history: History, findings: Sequence[Finding] | None = None) -> dict[str, Any]:
    """What result.json holds, as result_schema.json describes it; times in seconds since the run's origin.

    Judges the history unless its `findings` are given.
    """
    found = judge(history) if findings is None else findings
    verdict, reason = conclude(found, _held(history, found))
    run = history.run
    return {
        "format": FORMAT,
        "scenario": run.get("scenario"),
        "title": run.get("title"),
        "runtime": run.get("runtime"),
        "verdict": verdict.value,
        "reason": reason,
        "findings": [finding.as_json() for finding in found],
        "faults": [_fault(fault) for fault in history.faults],
        "seed": run.get("seed"),
        "versions": dict(run.get("versions") or {}),
        "started_at": run.get("started_at"),
        "duration_s": history.end / SECOND_NS,
        "phases": [{"phase": event["phase"], "at_s": event.at / SECOND_NS} for event in history.named("phase")],
        "claims": list(run.get("claims") or ()),
        "expect": list(run.get("expect") or ()),
        "topology": run.get("topology"),
        "workloads": list(run.get("workloads") or ()),
        "notes": list(history.notes),
        "harness": version(),
    }


def _held(history: History, findings: Sequence[Finding]) -> list[str]:
    """The sentences of all that the scenario expects."""
    measured = {name: value for finding in findings for name, value in finding.measured.items()}
    return bounds.judge(measured, bounds.expectations(history, measured))[1]


def version() -> str:
    """The version of this harness; `unknown` when it runs without being installed."""
    try:
        return metadata.version("failover-harness")
    except metadata.PackageNotFoundError:
        return "unknown"


def _fault(fault: FaultRecord) -> dict[str, Any]:
    return {
        "id": fault.id,
        "kind": fault.kind,
        "target": fault.target,
        "hit": list(fault.hit),
        "injected_at_s": _seconds(fault.injected),
        "healed_at_s": _seconds(fault.healed),
        "witnessed": fault.witnessed,
        "witnesses": [
            {
                "at_s": witness.at / SECOND_NS,
                "stage": witness.stage,
                "vantage": witness.vantage,
                "expected": witness.expected,
                "seen": witness.seen,
            }
            for witness in fault.witnesses
        ],
        "error": fault.error,
        "change": fault.change,
        "said": fault.said,
    }


def _seconds(at: int | None) -> float | None:
    return None if at is None else at / SECOND_NS
