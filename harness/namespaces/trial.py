"""Can this user make namespaces, links and packet rules on this machine? All of it is done once, and ends with this process.

python -m harness.namespaces.trial
"""

from __future__ import annotations

import os
import subprocess
import sys

from harness.errors import RuntimeUnavailable
from harness.namespaces import kernel

WITHIN_S = 20


def refused() -> str | None:
    """Why nodes cannot be namespaces here, and what mends it; None where they can."""
    tried = subprocess.run(
        [sys.executable, "-m", "harness.namespaces.trial"], capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    if not tried.returncode:
        return None
    return (tried.stdout.strip().splitlines() or tried.stderr.strip().splitlines() or ["it was killed"])[-1]


def main() -> int:
    """Prints the reason and returns 1 when something is refused."""
    try:
        # After this import there must still be one thread: who has more cannot leave a user namespace.
        from harness.namespaces.bridge import Chain, Rules, Way, make_bridge  # noqa: PLC0415 (an optional extra)

        kernel.enter_user_namespace(also=kernel.NODE)
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        kernel.mount("none", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
        kernel.mount("proc", "/proc", "proc", kernel.NO_SETUID | kernel.NO_DEVICES | kernel.NO_PROGRAMS)
        kernel.mount("tmpfs", "/run", "tmpfs")
        make_bridge()
        ways = [Way(["192.0.2.0/24"], ["198.51.100.0/24"], "drop", drop=True)]  # RFC 5737
        ways.append(Way(["192.0.2.0/24"], ["198.51.100.0/24"], "readdress", to="02:00:00:00:00:01"))
        Rules().make([Chain("trial", "forward"), Chain("shaped", "prerouting", -300)], ways)
    except ImportError as problem:
        print(f"the Python package {problem.name} is missing: pip install 'failover-harness[embedded]'")  # noqa: T201
        return 1
    except RuntimeUnavailable as problem:
        print(problem)  # noqa: T201
        return 1
    except OSError as problem:
        print(f"nodes cannot be made on this machine: {kernel.forbidden(problem)}")  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
