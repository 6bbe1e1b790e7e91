"""What can this machine do, what can it not, and which command mends it?"""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from harness.errors import ClusterError, RuntimeUnavailable


@dataclass(frozen=True)
class Examined:
    """One thing that a run needs: whether it is there, what was seen, and what would mend it."""

    what: str
    well: bool
    seen: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{'ok ' if self.well else 'NO '} {self.what}: {self.seen}" + ("" if self.well else f"; {self.mend}")


def doctor() -> Iterator[Examined]:
    """Each thing that the docker runtime needs, examined."""
    yield _kernel()
    missing = [name for name in ("docker", "testcontainers", "toxiproxy") if importlib.util.find_spec(name) is None]
    seen = f"{', '.join(missing)} missing" if missing else "installed"
    yield Examined("docker extra", not missing, seen, "mend it: pip install 'failover-harness[docker]'")
    if not missing:
        yield from _engine()


def _kernel() -> Examined:
    seen = f"{platform.system()} {platform.release()}, {os.cpu_count()} cores"
    return Examined("kernel", platform.system() == "Linux", seen, "nodes need Linux, here or behind DOCKER_HOST")


def _engine() -> Iterator[Examined]:
    from harness.runtimes.docker import engine, trial_rule  # noqa: PLC0415 (an optional extra)
    from harness.runtimes.images import FAMILIES, Images  # noqa: PLC0415

    try:
        client = engine()
    except RuntimeUnavailable as problem:
        yield Examined("engine", False, str(problem), "see https://docs.docker.com/engine/install/")
        return
    about = client.info()
    yield Examined("engine", True, f"Docker {about['ServerVersion']}, {about['MemTotal'] // 2**20} MB")
    images = Images(client, {}, lambda line: None)
    for family in (*FAMILIES, "client", "toxiproxy"):
        yield _tried(f"image {family}", partial(images.of, family), "the first run builds or pulls it")
    yield _tried("packet rules (nftables, bridge family)", trial_rule, "load the kernel's module: modprobe nft_meta_bridge")


def _tried(what: str, try_it: Callable[[], str], mend: str) -> Examined:
    try:
        return Examined(what, True, try_it())
    except (RuntimeUnavailable, ClusterError) as problem:
        return Examined(what, False, str(problem), mend)
