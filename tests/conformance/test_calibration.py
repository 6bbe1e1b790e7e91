"""Does the stopwatch tell outages of known length, wherever nodes live, and notice when it cannot?"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness import calibration, calibration_kept
from harness.calibration import Calibration, Settings
from harness.gate import WAYS
from harness.protocols import Runtime
from harness.verdict import Verdict

SETTINGS = Settings(cadence_ms=10, deadline_ms=100, reconnect_ms=10)


@pytest.fixture(scope="module")
def calibrated(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> tuple[Calibration, Path]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HARNESS_STATE", str(tmp_path_factory.mktemp("state") / "clusters"))
        found = calibration.calibrate(
            settings=SETTINGS, lengths_s=(0.25, 1.0), runtime=runtime.name,
            reports=tmp_path_factory.mktemp("reports"), seed=7,
        )  # fmt: skip
        assert calibration_kept.of(runtime.name), "the machine's runs know of it"
        return found


def test_every_known_length_lies_within_what_was_measured(calibrated: tuple[Calibration, Path]) -> None:
    found, folder = calibrated
    outside = [trial for trial in found.trials if not trial.inside]
    assert not outside
    assert {(trial.how, trial.for_s) for trial in found.trials} == {(how, for_s) for how in WAYS for for_s in (0.25, 1.0)}
    assert all(trial.width is not None for trial in found.trials), "each was seen to fail, and to be over"
    assert "of 1 |" in (folder / "report.md").read_text()


def test_every_known_length_lies_within_it_while_every_core_is_busy(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "clusters"))
    found, _ = calibration.calibrate(
        settings=SETTINGS, lengths_s=(0.25,), saturate=True, runtime=runtime.name, reports=tmp_path / "reports", seed=8
    )
    assert not [trial for trial in found.trials if not trial.inside]
    assert len(found.trials) == len(WAYS)
    assert "with every core busy" in found.summary


def test_it_is_judged_again_from_its_history(calibrated: tuple[Calibration, Path]) -> None:
    found, folder = calibrated
    assert calibration.judge(folder) == found


def test_a_truth_that_is_changed_is_found_out(calibrated: tuple[Calibration, Path], tmp_path: Path) -> None:
    _, folder = calibrated
    shutil.copytree(folder / "history", tmp_path / "history")
    path = tmp_path / "history" / "truth.jsonl"
    first, *others = path.read_text().splitlines()
    truth = json.loads(first)
    truth["ended"] = [at + 200_000_000 for at in truth["ended"]]
    path.write_text("\n".join([json.dumps(truth), *others, ""]))
    found = calibration.judge(tmp_path)
    assert found.verdict is Verdict.FAIL
    assert [trial.inside for trial in found.trials].count(False) == 1
