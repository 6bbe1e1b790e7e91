"""Where can nodes live, and which of these can this machine do?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.errors import RuntimeUnavailable, UsageError
from harness.protocols import Progress, Runtime, Topology

NAMES = ("auto", "docker", "local")


def called(
    name: str,
    images: Mapping[str, str],
    progress: Progress,
    client_ports: Sequence[int] = (),
    topology: Topology | None = None,
    later: Sequence[str] = (),
) -> Runtime:
    """The runtime of that name; `images` are the user's own, by server family, `client_ports` what the host may reach there.

    `later` are families of servers that may come while the cluster lives.

    `auto` is local where this machine and the topology allow it, else docker; `progress` is told which, and why.
    Raises RuntimeUnavailable where this machine lacks what it needs, UsageError when there is none of that name.
    """
    if name == "local":
        return _local(images, progress, client_ports, topology, later)
    if name == "docker":
        return _docker(images, progress, client_ports, later)
    if name != "auto":
        raise UsageError(f"no runtime called '{name}'; known: {', '.join(NAMES)}")
    try:
        chosen = _local(images, progress, client_ports, topology, later)
    except (RuntimeUnavailable, UsageError) as problem:
        why = str(problem)
    else:
        progress("runtime local: nodes are namespaces of this machine")
        return chosen
    try:
        engine = _docker(images, progress, client_ports, later)
    except RuntimeUnavailable as problem:
        raise RuntimeUnavailable(f"no runtime can be had; local: {why}; docker: {problem}") from None
    progress(f"runtime docker, since local cannot be had: {why}")
    return engine


def _local(
    images: Mapping[str, str], progress: Progress, client_ports: Sequence[int], topology: Topology | None, later: Sequence[str]
) -> Runtime:
    if images:
        raise UsageError(f"the scenario names images ({', '.join(sorted(images))}), which only docker has")
    try:
        from harness.runtimes.local import Local, unavailable  # noqa: PLC0415 (an optional extra)
    except ImportError as problem:
        raise RuntimeUnavailable(f"the local runtime needs {problem.name}: pip install 'failover-harness[embedded]'") from None
    if why := unavailable(topology, later):
        raise RuntimeUnavailable(why)
    return Local(progress=progress, client_ports=client_ports)


def _docker(images: Mapping[str, str], progress: Progress, client_ports: Sequence[int], later: Sequence[str]) -> Runtime:
    try:
        from harness.runtimes.docker import Docker, engine  # noqa: PLC0415 (an optional extra)
    except ImportError as problem:
        raise RuntimeUnavailable(f"the docker runtime needs {problem.name}: pip install 'failover-harness[docker]'") from None
    engine()
    return Docker(images=images, progress=progress, client_ports=client_ports, later=later)
