"""How is a Redis with Sentinels given nodes, and rid of them, while clients use it?

Everything is asked of the servers and Sentinels themselves, as an operator would; each step that fails says which it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise

from harness.clock import SECOND_NS, now_ns, wait_until
from harness.errors import ClusterError
from harness.protocols import Cluster, NodeSpec
from harness.talk import Question, talk

PORT, SENTINEL_PORT = 6379, 26379
NAME = "cache"  # by which Sentinels know the primary
PAUSED_S = 10  # for which writes wait at most, while another node takes over with all of them
# Every key that lives beyond a moment, with its value and its end, in order, as one number: two nodes that differ, differ in it.
# What ends before may have ended at one of them only while the other was asked.
_DIGEST = (
    "local keys = redis.call('KEYS', '*') table.sort(keys) local sum, count = '', 0 "
    "for _, key in ipairs(keys) do local ends = redis.call('PEXPIRETIME', key) "
    "if ends == -1 or ends > tonumber(ARGV[1]) then count = count + 1 "
    "sum = redis.sha1hex(sum .. key .. ends .. redis.call('DUMP', key)) end end return {count, sum}"
)


def question(spec: NodeSpec, port: int, commands: str) -> Question:
    """Commands for a server, one a line."""
    return Question(spec, port, f"{commands}\r\n".encode())


def said_by(cluster: Cluster, spec: NodeSpec, port: int, commands: str) -> str:
    """What a node answers to commands, one a line; empty where it is silent."""
    return talk(cluster, [question(spec, port, commands)])[0]


def of_role(cluster: Cluster, role: str) -> list[NodeSpec]:
    return [node.spec for node in cluster.nodes.values() if node.spec.role == role]


def pairs(text: str) -> Iterable[tuple[str, str]]:
    """`key:value` lines."""
    return ((key, value) for key, _, value in (line.partition(":") for line in text.split("\r\n")) if key and value)


def strings(text: str) -> list[str]:
    """The strings of a RESP reply, without their lengths."""
    return [line for line in text.split("\r\n") if line and line[0] not in "*$"]


def command(cluster: Cluster, name: str, password: str, words: str) -> str:
    """Has a server carry out a command as its operator. Raises ClusterError with what it said instead."""
    said = said_by(cluster, cluster.nodes[name].spec, PORT, f"AUTH admin {password}\r\n{words}")
    ok, _, answer = said.partition("\r\n")
    if ok != "+OK" or not answer or answer.startswith("-"):
        raise ClusterError(f"{name} did not {' '.join(words.split()[:2])}: {(answer or said).strip() or 'it said nothing'}")
    return answer


def sentinel(cluster: Cluster, spec: NodeSpec, words: str) -> str:
    """Has a Sentinel carry out a command. Raises ClusterError with what it said instead."""
    said = said_by(cluster, spec, SENTINEL_PORT, f"SENTINEL {words}")
    if not said or said.startswith("-"):
        raise ClusterError(f"{spec.name} did not {words.partition(' ')[0]}: {said.strip() or 'it said nothing'}")
    return said


def sentinels(cluster: Cluster) -> list[NodeSpec]:
    return of_role(cluster, "manager")


@contextmanager
def passed_over(cluster: Cluster, names: Sequence[str], password: str) -> Iterator[None]:
    """For as long as the context lasts, a Sentinel that is asked for a failover chooses none of these replicas."""
    one = sentinels(cluster)[0]

    def knows() -> bool:
        known = _priorities(cluster, one)
        return all(known.get(cluster.nodes[name].spec.address) == "0" for name in names)

    try:
        for name in names:
            command(cluster, name, password, "CONFIG SET replica-priority 0")
        if names:  # Sentinels read priorities once in 10 s
            wait_until(knows, 15, f"{one.name} to know whom not to choose")
        yield
    finally:
        for name in names:
            command(cluster, name, password, "CONFIG SET replica-priority 100")


def fail_over(cluster: Cluster, primary: str) -> None:
    """Asks a Sentinel for a failover, and waits until it names another primary.

    Raises ClusterError, in the Sentinel's own words, when it will not.
    """
    one = sentinels(cluster)[0]
    address = cluster.nodes[primary].spec.address

    def names_another() -> bool:
        said = strings(said_by(cluster, one, SENTINEL_PORT, f"SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}"))
        return bool(said) and address not in said

    sentinel(cluster, one, f"FAILOVER {NAME}")
    wait_until(names_another, 60, f"{one.name} to name another primary than {primary}")


def _priorities(cluster: Cluster, one: NodeSpec) -> Mapping[str, str]:
    """The priority of each replica, by address, as a Sentinel knows it."""
    found: dict[str, str] = {}
    address = ""
    for key, value in pairwise(strings(said_by(cluster, one, SENTINEL_PORT, f"SENTINEL REPLICAS {NAME}"))):
        address = value if key == "ip" else address
        if key == "slave-priority":
            found[address] = value
    return found


def forget(cluster: Cluster, healthy: Callable[[], str | None]) -> None:
    """Has Sentinels forget replicas that are gone, one Sentinel after the other: two of them always know all there is to know."""
    for one in sentinels(cluster):
        sentinel(cluster, one, f"RESET {NAME}")
        wait_until(lambda one=one: knows_others(cluster, one), 30, f"{one.name} to find the others again")  # type: ignore[misc]
    last = [""]

    def well() -> bool:
        last[0] = healthy() or ""
        return not last[0]

    wait_until(well, 60, "every member to be healthy", told=lambda: last[0])


def knows_others(cluster: Cluster, one: NodeSpec) -> bool:
    known = dict(pairwise(strings(said_by(cluster, one, SENTINEL_PORT, f"SENTINEL MASTER {NAME}"))))
    return known.get("num-other-sentinels") == str(len(sentinels(cluster)) - 1) and known.get("flags") == "master"


@contextmanager
def writes_held(cluster: Cluster, name: str, password: str) -> Iterator[Callable[[], None]]:
    """Lets writes wait at a primary, for some seconds at most: whoever catches up then has all that it ever acknowledged.

    What it yields raises ClusterError once they may wait no more.
    """
    limit = now_ns() + PAUSED_S * SECOND_NS

    def still() -> None:
        if now_ns() > limit:
            raise ClusterError(f"writes wait for {PAUSED_S} s only, and it took longer: what was written since may be lost")

    command(cluster, name, password, f"CLIENT PAUSE {PAUSED_S * 1000} WRITE")
    try:
        yield still
    finally:
        if name in cluster.nodes:
            command(cluster, name, password, "CLIENT UNPAUSE")


def digest(cluster: Cluster, name: str, password: str, beyond: float) -> tuple[int, str]:
    """How many keys of a node live beyond a moment (Unix time), and a number that tells whether another holds the same."""
    asked_for = f'EVAL_RO "{_DIGEST}" 0 {int(beyond * 1000)}'
    count, total = strings(command(cluster, name, password, asked_for))[:2]
    return int(count.lstrip(":")), total
