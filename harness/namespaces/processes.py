"""Which processes of this machine belong to a run, and how do they all end?

A run is found by its keeper's command line: no file has to be there for it, and none can be wrong.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.clock import wait_until
from harness.supervisor import identity

MODULE = "harness.namespaces.keeper"
GONE_WITHIN_S = 10.0


@dataclass(frozen=True)
class Keeper:
    """A process of a run's keeper, or a node's process 1: they have the same command line."""

    pid: int
    parent: int
    run_id: str
    folder: Path


def keepers() -> Iterator[Keeper]:
    """Every such process of this machine that this user may end."""
    for name in _ids():
        with suppress(OSError, IndexError, ValueError):
            words = Path("/proc", name, "cmdline").read_bytes().decode().split("\0")
            if MODULE in words and Path("/proc", name).stat().st_uid == os.getuid():
                at = words.index(MODULE)
                yield Keeper(int(name), _parent(name), words[at + 1], Path(words[at + 2]))


def runs() -> Mapping[str, Keeper]:
    """Each run of this user's, with the first process of its keeper."""
    all_ = list(keepers())
    pids = {keeper.pid for keeper in all_}
    return {keeper.run_id: keeper for keeper in all_ if keeper.parent not in pids}


def supervisor(keeper: Keeper) -> str:
    """Who started it, by `harness.supervisor.identity`."""
    return identity(keeper.parent)


def end(run_id: str) -> int:
    """Kills everything of a run, and returns, once it is gone, how many of its processes were nodes' or its keeper's."""
    found = [keeper.pid for keeper in keepers() if keeper.run_id == run_id]
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    # A namespace's process 1 is gone when all that was in the namespace is.
    wait_until(partial(_nothing_left, run_id), GONE_WITHIN_S, f"the processes of run {run_id} to end", every_s=0.01)
    return len(found)


def _nothing_left(run_id: str) -> bool:
    return not any(keeper.run_id == run_id for keeper in keepers())


def in_namespace_of(pid: int) -> list[int]:
    """The processes that see that process as their process 1, itself too; those that ended meanwhile are left out."""
    found: list[int] = []
    try:
        wanted = Path(f"/proc/{pid}/ns/pid").readlink()
    except OSError:  # it has ended, and all of them with it
        return found
    for name in _ids():
        with suppress(OSError):
            if Path("/proc", name, "ns/pid").readlink() == wanted:
                found.append(int(name))
    return found


def put_first(program: str, among: Iterable[int]) -> None:
    """Real-time priority for those that run `python -m program`, not for their children, as far as this user may give it."""
    for pid in among:
        with suppress(OSError):
            if program in Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0"):
                os.sched_setscheduler(pid, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def _ids() -> Iterator[str]:
    return (entry.name for entry in Path("/proc").iterdir() if entry.name.isdecimal())


def _parent(pid: str) -> int:
    after_name = re.sub(r"^.*\)", "", Path("/proc", pid, "stat").read_text(), flags=re.DOTALL).split()
    return int(after_name[1])
