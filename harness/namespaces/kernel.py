"""Which calls of Linux make a namespace, and what does it mean when one of them is refused?

Python 3.11 has no names for these, so they go through the C library.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from harness.errors import RuntimeUnavailable

# <sched.h>
NEW_MOUNTS, NEW_NAME, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NETWORK = (
    0x0002_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000,
)  # fmt: skip
NODE = NEW_MOUNTS | NEW_NAME | NEW_IPC | NEW_PIDS | NEW_NETWORK  # what every node has of its own
# <sys/mount.h>
READ_ONLY, NO_SETUID, NO_DEVICES, NO_PROGRAMS, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
_DIE_WITH_PARENT, _NAME = 1, 15  # <sys/prctl.h>

# <linux/capability.h>
_RIGHTS_VERSION, _AMBIENT, _AMBIENT_RAISE = 0x2008_0522, 47, 2
_HANDED_ON = (12, 13, 23)  # CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_NICE

# PostgreSQL refuses to run as uid 0, also where that is only what a namespace calls it.
NOT_ROOT = 1000

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(namespaces: int) -> None:
    """Leaves those namespaces for new ones; a new one of processes is entered by children only. Raises OSError."""
    _checked(_libc.unshare(namespaces))


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Raises OSError, naming the target."""
    _checked(_libc.mount(source.encode(), target.encode(), kind.encode() or None, flags, options.encode() or None), target)


def die_with_parent() -> None:
    """SIGKILL for this process when the thread that forked it ends."""
    _checked(_libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0))


def keep_rights() -> None:
    """What this process may do to networks and priorities, a program that it becomes may do, too. Raises OSError."""
    held = (_Rights * 2)()
    header = (ctypes.c_uint32 * 2)(_RIGHTS_VERSION, 0)
    _checked(_libc.capget(header, held))
    for right in _HANDED_ON:
        held[right // 32].inheritable |= held[right // 32].permitted & (1 << right % 32)
    _checked(_libc.capset(header, held))
    for right in _HANDED_ON:
        if held[right // 32].inheritable & (1 << right % 32):
            _checked(_libc.prctl(_AMBIENT, _AMBIENT_RAISE, right, 0, 0))


class _Rights(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def reaped() -> Iterator[tuple[int, int]]:
    """Each child that has ended by now, and its exit status; minus a signal's number where that ended it."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended[0], os.waitstatus_to_exitcode(ended[1])


def call_process(name: str) -> None:
    """What `ps` and `top` show, in 15 bytes at most."""
    _checked(_libc.prctl(_NAME, name.encode(), 0, 0, 0))


def call_host(name: str) -> None:
    """What `hostname` says from now on. Raises OSError."""
    encoded = name.encode()
    _checked(_libc.sethostname(encoded, len(encoded)))


def _checked(result: int, what: str | None = None) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def enter_user_namespace(also: int) -> None:
    """Becomes the owner of new namespaces; files belong to who called all the same.

    Only one user exists inside: this one, or, for root, one that is not called root. Raises RuntimeUnavailable with the
    setting that forbids it.
    """
    user, group = os.getuid(), os.getgid()
    try:
        unshare(NEW_USER | also)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user or NOT_ROOT} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group or NOT_ROOT} {group} 1")
    except OSError as problem:
        raise RuntimeUnavailable(f"this machine lets nobody make namespaces here: {forbidden(problem)}") from None


# Each setting that is known to forbid user namespaces: where it is, whether its value does, and what to do.
_SETTINGS: tuple[tuple[str, Callable[[str], bool], str], ...] = (
    ("/proc/sys/user/max_user_namespaces", lambda value: value == "0", "sysctl -w user.max_user_namespaces=15000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", lambda value: value == "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        lambda value: value != "0" and os.getuid() != 0,
        "run as root, or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


def forbidden(problem: OSError) -> str:
    """Which setting refuses namespaces, and the command that mends it; else the kernel's own words."""
    for place, forbids, mend in _SETTINGS:
        try:
            value = Path(place).read_text().strip()
        except OSError:
            continue
        if forbids(value):
            return f"{place.removeprefix('/proc/sys/').replace('/', '.')} is {value}; {mend}"
    where = f" ({problem.filename})" if problem.filename else ""
    hint = "; a container's own restrictions, such as seccomp, can do that too" if problem.errno == errno.EPERM else ""
    return f"{problem.strerror}{where}{hint}"
