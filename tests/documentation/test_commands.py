"""Do the commands that the pages tell a reader to type really do what they say, one after the other?

Each page's shell blocks are one session, in a folder that has the scenarios. It takes a quarter of an hour on a machine
that does nothing else: `tox -e documentation`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import living

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INSTALLING = re.compile(r"^(python3 -m venv|\.venv/bin/pip|\. \.venv/|pip install)")
MEASURING = ("run", "inject", "change")  # 3 is their honest answer on a machine that was too busy


def commands(page: Path) -> list[str]:
    """The commands of a page in order, without those that install the harness: the tests have it."""
    lines = re.sub(r"\\\n\s*", " ", "".join(BLOCK.findall(page.read_text("utf-8")))).splitlines()
    return [line for line in lines if line and not line.startswith("#") and not INSTALLING.match(line)]


@pytest.mark.parametrize("name", ["docs/tutorial.md", "docs/how-to/run-a-game-day.md"])
def test_a_page_can_be_followed(name: str, tmp_path: Path) -> None:
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    called = tmp_path / "bin" / "harness"
    called.parent.mkdir()
    called.write_text(f'#!/bin/sh\nexec {sys.executable} -m harness "$@"\n')
    called.chmod(0o755)
    path = f"{called.parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), living.STATE: str(tmp_path / "state")}
    try:
        for command in commands(ROOT / name):
            ended = subprocess.run(
                command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            print(f"$ {command}\n{ended.stderr}{ended.stdout}")
            honest = (0, 3) if command.split()[1] in MEASURING else (0,)
            assert ended.returncode in honest, f"{command} ended with {ended.returncode}:\n{ended.stderr}"
    finally:
        subprocess.run(["harness", "down", "--all", "--force"], env=environment, check=True)
    assert list((tmp_path / "state").glob("*")) == []
