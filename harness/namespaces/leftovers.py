"""What did a run on this machine's namespaces leave behind whose harness and supervisor were killed at once?

No process, namespace, mount or link: the kernel ends those with the keeper. What stays is the folder of its nodes' data and
sockets, and where nodes were limited their control groups.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.namespaces import limits, processes
from harness.namespaces.keeper import SOCKET

HOME = "local"  # the folder, below the run's, that holds sockets and data while the cluster lives


def clean(reports: Path, root: Path = limits.ROOT) -> Iterator[str]:
    """Removes what is left below a folder of reports, and the control groups that no run has; a line for each."""
    alive = {keeper.folder.resolve() for keeper in processes.keepers()}
    for socket in sorted(reports.rglob(f"{HOME}/{SOCKET}")):
        if socket.parent.resolve() not in alive and socket.stat().st_uid == os.getuid():  # whose keepers were looked for
            shutil.rmtree(socket.parent, ignore_errors=True)
            yield f"{socket.parent} removed: nobody keeps its nodes any more"
    for run_id in sorted(limits.runs(root) - set(processes.runs())):
        limits.remove(run_id, root)
        yield f"run {run_id} had left control groups: removed"
