"""Does a process that gives way do so beyond its own session?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SAYS = """
from pathlib import Path
from harness.niceness import give_way
give_way(7)
print(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[16], Path("/proc/self/autogroup").read_text().split()[-1])
"""


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel weighs no sessions")
def test_a_process_and_its_session_give_way() -> None:
    said = subprocess.run([sys.executable, "-c", SAYS], start_new_session=True, capture_output=True, text=True, check=True)
    niceness = str(min(19, os.getpriority(os.PRIO_PROCESS, 0) + 7))
    assert said.stdout.split() == [niceness, niceness]
