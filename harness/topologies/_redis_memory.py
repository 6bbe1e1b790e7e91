"""How much memory does a Valkey or a Redis have for data, and how is it filled, and emptied again?

It is filled with keys of its operator's that nobody else asks for. A server that puts keys out when it is full may put these
out, too.
"""

from __future__ import annotations

from functools import partial

from harness.protocols import Memory
from harness.topologies._node_types import Eviction, node_type

BACKLOG_MB = 16  # what replicas that were away can catch up with; one that lags behind that copies everything anew
BACKLOG_SHARE = 1 / 16  # at most, of what data may take: the backlog counts as data when keys are put out

BALLAST = "ballast"  # how these keys begin
_FILL = "redis.call('SET',KEYS[1]..redis.call('INCR',KEYS[1]),string.rep('x',ARGV[1]))"
# A thousand at a time: a server that forgets gigabytes at once answers nobody meanwhile.
_FREE = (
    "local at='0' repeat local found=redis.call('SCAN',at,'MATCH',KEYS[1]..'*','COUNT',1000) at=found[1] "
    "if #found[2]>0 then redis.call('UNLINK',unpack(found[2])) end until at=='0' "
    "return 'ballast is gone'"
)


def settings(type_: str, eviction: Eviction) -> list[str]:
    """What a server's file says of its memory; one without a type has no limit."""
    limit_mb = node_type(type_).maxmemory_mb if type_ else 0
    backlog_mb = max(1, min(BACKLOG_MB, int(limit_mb * BACKLOG_SHARE))) if type_ else BACKLOG_MB
    return [f"maxmemory {limit_mb}mb", f"maxmemory-policy {eviction}", f"repl-backlog-size {backlog_mb}mb"]


def memory(port: int, password: str, eviction: Eviction, ballast: str = BALLAST) -> Memory:
    """That of a server whose operator is `admin` with a password, and which puts out by a policy.

    `ballast` is how the keys begin that fill it: all of them belong to the slot of that beginning, where there are slots.
    """
    said = partial(_said, password)
    return Memory(
        port,
        used=said("INFO memory"),
        share=share,
        fill=lambda size, pieces: said(*[f'EVAL "{_FILL}" 1 {ballast} {size}'] * pieces),
        full="-OOM" if eviction == "noeviction" else "",
        free=said(f'EVAL "{_FREE}" 1 {ballast}'),
        freed="ballast is gone",
    )


def share(said: str) -> float | None:
    """How much of what data may take is taken, by the server's `INFO memory`; None where it has no limit, or is silent."""
    told = dict(line.split(":", 1) for line in said.split("\r\n") if ":" in line)
    limit = int(told.get("maxmemory", 0))
    return int(told["used_memory"]) / limit if limit and "used_memory" in told else None


def _said(password: str, *lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (f"AUTH admin {password}", *lines)).encode()
