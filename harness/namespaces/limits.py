"""How is a node kept to a share of the CPU and to some memory, where this machine's control groups allow it?

A node that has no limit is in no group of its own. Version 1 of control groups has a tree for each resource, version 2 one
for all; of that one, only root may divide the first level, so that limits are for root.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from harness.errors import ClusterError
from harness.namespaces.processes import in_namespace_of
from harness.protocols import Limits

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000


def unavailable(root: Path = ROOT) -> str | None:
    """Why nodes cannot be limited here; None where they can."""
    if os.getuid() != 0:
        return "only root may limit nodes' CPU and memory"
    if all(os.access(place, os.W_OK) for place in _trees(root).values()) and len(_trees(root)) == 2:
        return None
    return f"{root} has no control group of CPU and memory that could be divided"


def apply(run_id: str, node: str, pid: int, limits: Limits, root: Path = ROOT) -> None:
    """Puts every process of the node whose process 1 is `pid` under those limits. Raises ClusterError where it cannot be done."""
    if why := unavailable(root):
        raise ClusterError(f"{node} could not be limited: {why}")
    try:
        for resource, tree in _trees(root).items():
            group = tree / f"harness-{run_id}-{node}"
            group.mkdir(exist_ok=True)
            for file, value in _values(resource, limits, unified=_unified(root)):
                (group / file).write_text(value)
            if not _move(pid, group):
                raise ClusterError(f"{node} could not be limited: its process 1 has ended")
    except OSError as problem:
        raise ClusterError(f"{node} could not be limited: {problem.filename}: {problem.strerror}") from None


def out_of_memory(run_id: str, root: Path = ROOT) -> dict[str, int]:
    """Each limited node of a run, and how often a process of it was killed for want of memory."""
    tree = _trees(root).get("memory")
    found = {}
    for group in tree.glob(f"harness-{run_id}-*") if tree else ():
        with suppress(OSError):
            text = (group / ("memory.events" if _unified(root) else "memory.oom_control")).read_text()
            counts = dict(line.split() for line in text.splitlines())
            found[group.name.removeprefix(f"harness-{run_id}-")] = int(counts.get("oom_kill", 0))
    return found


def runs(root: Path = ROOT) -> set[str]:
    """The runs of which there is a group."""
    groups = (group.name for tree in _trees(root).values() for group in tree.glob("harness-*"))
    return {found[1] for group in groups if (found := re.fullmatch("harness-([0-9a-f]{8})-.+", group))}


def remove(run_id: str, root: Path = ROOT) -> None:
    """Removes the groups of a run, whose processes have ended."""
    for tree in _trees(root).values():
        for group in tree.glob(f"harness-{run_id}-*"):
            with suppress(OSError):
                group.rmdir()


def _unified(root: Path) -> bool:
    return (root / "cgroup.controllers").exists()


def _trees(root: Path) -> dict[str, Path]:
    """Where the groups of each resource are."""
    if _unified(root):
        with suppress(OSError):
            if {"cpu", "memory"} <= set((root / "cgroup.subtree_control").read_text().split()):
                return {"cpu": root, "memory": root}
        return {}
    return {resource: root / resource for resource in ("cpu", "memory") if (root / resource / "cgroup.procs").exists()}


def _values(resource: str, limits: Limits, *, unified: bool) -> Iterator[tuple[str, str]]:
    quota = None if limits.cpus is None else str(int(limits.cpus * PERIOD_US))
    memory = None if limits.memory_mb is None else str(limits.memory_mb << 20)
    if resource == "cpu" and quota is not None:
        if unified:
            yield "cpu.max", f"{quota} {PERIOD_US}"
        else:
            yield "cpu.cfs_period_us", str(PERIOD_US)
            yield "cpu.cfs_quota_us", quota
    if resource == "memory" and memory is not None:
        yield ("memory.max" if unified else "memory.limit_in_bytes"), memory


def _move(pid: int, group: Path) -> bool:
    """Takes the node's processes into the group, if there are any; those that are forked meanwhile are found the next time."""
    moved: set[int] = set()
    while left := set(in_namespace_of(pid)) - moved:
        for one in left:
            with suppress(ProcessLookupError):
                (group / "cgroup.procs").write_text(str(one))
        moved |= left
    return bool(moved)
