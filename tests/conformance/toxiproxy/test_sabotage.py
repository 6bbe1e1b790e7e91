"""Does each measuring test find a server whose toxic is a little wrong?"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.toxiproxy.sabotaged import FOUND_BY

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("sabotage", FOUND_BY, ids=lambda sabotage: sabotage.__name__)
def test_a_toxic_that_is_a_little_wrong_is_found(tmp_path: Path, sabotage: Callable[[], None]) -> None:
    """In a suite of its own, which is given the wrong server by its path."""
    binary = tmp_path / "toxiproxy-server"
    binary.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.conformance.toxiproxy.sabotaged "$@"\n')
    binary.chmod(0o755)
    test = f"{Path(__file__).with_name('test_toxics.py')}::{FOUND_BY[sabotage]}"
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test, "--toxiproxy", str(binary)],
        cwd=ROOT,
        env={**os.environ, "SABOTAGE": sabotage.__name__},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert said.returncode == 1, said.stdout
    assert "1 failed" in said.stdout.splitlines()[-1]
    assert f"FAILED {Path(__file__).parent.relative_to(ROOT)}/test_toxics.py::{FOUND_BY[sabotage]}" in said.stdout
