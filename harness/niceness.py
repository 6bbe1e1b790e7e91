"""Who waits for whom when every core is busy?

A process that is nicer than others waits for them, but where the kernel weighs whole sessions against each other (autogroups,
sched(7)), only for those of its own session. So a session has to be made nice, too.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

AGAIN_S = 0.1  # the kernel lets ordinary users change one session's niceness so often, EAGAIN before that
TRIES = 50


def give_way(by: int) -> None:
    """This process, its children and its session are nicer by so much from now on."""
    niceness = os.nice(by)
    for _ in range(TRIES):
        if make_session_nice("self", niceness):
            return
        time.sleep(AGAIN_S)


def make_session_nice(process: int | str, niceness: int) -> bool:
    """Makes a process's session so nice. False when it has to be tried again; true also where no sessions are weighed."""
    try:
        Path(f"/proc/{process}/autogroup").write_text(str(niceness))
    except BlockingIOError:
        return False
    except OSError:  # the kernel does not weigh sessions, or the process has ended
        pass
    return True
