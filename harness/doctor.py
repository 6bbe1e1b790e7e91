"""What can this machine do, what can it not, and which command mends it?

What every run needs decides; what only some faults need is said, too. Wherever it can be, a thing is tried rather than
looked up: a kernel may list what its engine forbids.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, RuntimeUnavailable

GIB = 2**30
# Under load, the 16 containers of rds-multi-az held 1.2 GiB (`docker stats`) and had written 0.4 GiB a minute after their
# start (`docker ps -s`); the images, built once, share layers and take about a GiB.
MEMORY_AT_LEAST_GIB = 1.5
DISK_AT_LEAST_GIB = 2
CORES_AT_LEAST = 2
EXACT_CLOCKS = ("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "xen")
RUN = "every run"


@dataclass(frozen=True)
class Examined:
    """One thing: whether it is there, what was seen, what would mend it, and who needs it (`every run`, or some faults)."""

    what: str
    well: bool
    seen: str
    mend: str = ""
    needed_by: str = RUN

    @property
    def allows_runs(self) -> bool:
        return self.well or self.needed_by != RUN

    def __str__(self) -> str:
        if self.well:
            return f"ok  {self.what}: {self.seen}"
        said = f"{self.what}: {self.seen}; {self.mend}"
        return f"NO  {said}" if self.needed_by == RUN else f"--  not here: {said}; needed by {self.needed_by}"

    def as_json(self) -> dict[str, Any]:
        """Plain values: what, well, seen, mend (empty when well) and needed_by."""
        return asdict(self) | {"mend": "" if self.well else self.mend}


def doctor(progress: Callable[[str], None] = lambda line: None) -> Iterator[Examined]:
    """Each thing that runs need, examined; images that are missing are built or pulled."""
    yield from _machine()
    local = _local()
    yield local
    yield _limits()
    yield from _servers()
    for one in _docker(progress):  # one of the two is enough
        yield replace(one, needed_by="--runtime docker") if local.well and one.needed_by == RUN else one


def _docker(progress: Callable[[str], None]) -> Iterator[Examined]:
    missing = [name for name in ("docker", "testcontainers", "toxiproxy") if importlib.util.find_spec(name) is None]
    seen = f"{', '.join(missing)} missing" if missing else "installed"
    yield Examined("docker extra", not missing, seen, "pip install 'failover-harness[docker]'")
    if not missing:
        yield from _engine(progress)


# --- the machine itself ----------------------------------------------------------------------------------------------


def _machine() -> Iterator[Examined]:
    seen = f"{platform.system()} {platform.release()}"
    yield Examined("kernel", platform.system() == "Linux", seen, "run the harness on Linux, or in a Linux virtual machine")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    mend = f"give the machine {CORES_AT_LEAST} cores, or use small workloads"
    yield Examined("cores", cores >= CORES_AT_LEAST, str(cores), mend, "runs with the default workload, which one core delays")
    yield _memory(Path("/proc/meminfo"))
    yield _disk("disk of the working folder", Path.cwd())
    yield _clock(Path("/sys/devices/system/clocksource/clocksource0/current_clocksource"))


def _local() -> Examined:
    """Whether nodes can be namespaces of this machine, which needs no engine."""
    try:
        from harness.runtimes.local import unavailable  # noqa: PLC0415 (an optional extra)

        why = unavailable(None)
    except ImportError as problem:
        why = f"{problem.name} is missing"
    mend = "pip install 'failover-harness[embedded]', or allow what it names"
    return Examined(
        "local runtime", why is None, why or "namespaces, links and packet rules can be made", mend, "--runtime local"
    )


def _limits() -> Examined:
    """Whether local nodes can be kept to a share of the CPU and to some memory."""
    from harness.namespaces import limits  # noqa: PLC0415 (as the runtime that needs them)

    why = limits.unavailable()
    needed_by = "a node_type on --runtime local"
    return Examined("limits of local nodes", why is None, why or "control groups can be made", "run it as root", needed_by)


def _servers() -> Iterator[Examined]:
    """Those that only the distribution has; the others come with the extra."""
    from harness.namespaces import servers  # noqa: PLC0415 (as the runtime that needs them)

    for family, (package, user) in servers.FROM_DISTRIBUTION.items():
        found = shutil.which(package, path=servers.path())
        yield Examined(
            family, found is not None, found or "not on PATH", f"apt-get install {package}", f"{user} on --runtime local"
        )


def _memory(meminfo: Path) -> Examined:
    lines = dict(line.split(":") for line in meminfo.read_text().splitlines()) if meminfo.exists() else {}
    free = int(lines.get("MemAvailable", "0 kB").split()[0]) * 1024 / GIB
    mend = f"free some: rds-multi-az wants {MEMORY_AT_LEAST_GIB:g} GiB"
    return Examined("memory", free >= MEMORY_AT_LEAST_GIB, f"{free:.1f} GiB free", mend)


def _disk(what: str, folder: Path) -> Examined:
    free = shutil.disk_usage(folder).free / GIB
    mend = f"free some, to {DISK_AT_LEAST_GIB} GiB: old reports, `docker image prune`"
    return Examined(what, free >= DISK_AT_LEAST_GIB, f"{free:.1f} GiB free at {folder}", mend)


def _clock(source: Path) -> Examined:
    name = source.read_text().strip() if source.exists() else "unknown"
    mend = f"echo tsc | sudo tee {source}"
    return Examined(
        "clock source", name in EXACT_CLOCKS, name, mend, "figures of less than some milliseconds: it is slow to read"
    )


# --- the engine, and what its containers can do ------------------------------------------------------------------------


def _engine(progress: Callable[[str], None]) -> Iterator[Examined]:
    from harness.runtimes.docker import engine, trial_rule  # noqa: PLC0415 (an optional extra)
    from harness.runtimes.images import FAMILIES, Images  # noqa: PLC0415
    from harness.runtimes.trials import shaping  # noqa: PLC0415

    try:
        client = engine()
    except RuntimeUnavailable as problem:
        yield Examined("engine", False, str(problem), "see https://docs.docker.com/engine/install/")
        return
    about = client.info()
    yield Examined("engine", True, f"Docker {about['ServerVersion']}, {about['MemTotal'] / GIB:.1f} GiB, {about['NCPU']} cores")
    root = Path(about["DockerRootDir"])
    if root.exists():
        yield _disk("disk of the engine", root)
    images = Images(client, {}, progress)
    mend = "images are built from Debian's packages and Python's: allow the engine to reach them, or name your own in `images:`"
    there = True
    for family in (*FAMILIES, "client", "toxiproxy"):
        image = _tried(f"image {family}", partial(images.of, family), mend)
        there &= image.well or family not in ("packets", "client")
        yield image
    if not there:
        yield Examined("containers", False, "could not be tried without the images packets and client", mend)
        return
    yield _tried(
        "packet rules (nftables, bridge and inet)", trial_rule, "load the kernel's modules: modprobe -a nf_tables nft_ct bridge"
    )
    mend = "allow containers on the host's network NET_ADMIN and NET_RAW; an image of your own for `packets` needs python3"
    yield _tried("packet delay, loss and rate", partial(shaping, images.of("packets")), mend, "the fault degrade")
    yield from _node(images.of("client"))


def _node(image: str) -> Iterator[Examined]:
    from harness.runtimes.trials import trial_node  # noqa: PLC0415 (an optional extra)

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".harness-doctor-")))
        try:
            node = stack.enter_context(trial_node(image, folder))
        except HarnessError as problem:
            yield Examined("containers", False, str(problem), "see the engine's own log")
            return
        yield Examined("containers", True, "start, each with an address of its own")
        here = (
            "use an engine on this machine: its containers must see the folders, the clock and the loopback ports of the harness"
        )
        yield _tried("folders of this machine in containers", partial(node.shares, folder), here)
        yield _tried("one clock for all processes", node.clock, here)
        yield _tried("published loopback ports", node.answers_on_loopback, here)
        yield _tried("pausing a container", node.pauses, "mount the freezer cgroup", "the fault pause")
        yield _tried(
            "CPU shares", node.has_shares, "mount the cpu cgroup", "exact figures beside busy servers: probes go first by it"
        )
        yield _tried("limits of memory and CPU", node.limits, "mount the memory and cpu cgroups", "nodes with limits")


def _tried(what: str, try_it: Callable[[], str], mend: str, needed_by: str = RUN) -> Examined:
    try:
        return Examined(what, True, try_it())
    except HarnessError as problem:
        return Examined(what, False, str(problem), mend, needed_by)
