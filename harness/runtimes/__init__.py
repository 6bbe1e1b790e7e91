"""Where can nodes live, and which of these can this machine do?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.errors import RuntimeUnavailable, UsageError
from harness.protocols import Progress, Runtime

NAMES = ("auto", "docker", "local")


def called(name: str, images: Mapping[str, str], progress: Progress, client_ports: Sequence[int] = ()) -> Runtime:
    """The runtime of that name; `images` are the user's own, by server family, `client_ports` what the host may reach there.

    Raises RuntimeUnavailable where this machine lacks what it needs, UsageError when there is none of that name.
    """
    if name == "local":
        from harness.runtimes.local import Local

        return Local(progress=progress, client_ports=client_ports)
    if name not in NAMES:
        raise UsageError(f"no runtime called '{name}'; known: {', '.join(NAMES)}")
    try:
        from harness.runtimes.docker import Docker, engine  # noqa: PLC0415 (an optional extra)
    except ImportError as problem:
        raise RuntimeUnavailable(f"the docker runtime needs {problem.name}: pip install 'failover-harness[docker]'") from None
    engine()
    return Docker(images=images, progress=progress, client_ports=client_ports)
