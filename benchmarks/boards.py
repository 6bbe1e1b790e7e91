"""What do a leaderboard's and a dashboard's operations cost, and how long does it take to fill, to read and to judge a million?

One server on loopback, one client, no cluster: `python -m benchmarks.boards --members 1000000`. Medians of several rounds.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.servers import valkey
from harness import archive
from harness.checkers import leaderboard as judge
from harness.history import NUMBERS, WORDS, Event, FinalReads, History, Operations, Outcome
from harness.sessions.redis import Redis, RedisSession
from harness.workloads.dashboard import Dashboard
from harness.workloads.leaderboard import KEY, OF_RANK, RANKS, SCORES, Leaderboard, score_of

ROUNDS, OPERATIONS = 5, 2000
FIRST = 1000 << 40  # the number of a process's first write


def timed(what: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def cost(workload: Any, kind: str, session: RedisSession, context: Any) -> str:
    """Microseconds an operation, its round trip included, over some rounds."""

    def once() -> None:
        for _ in range(OPERATIONS):
            done = workload.perform(kind, session, *workload.plan(kind, context))
            assert done.outcome is Outcome.OK, done

    rounds = [timed(once) / OPERATIONS * 1e6 for _ in range(ROUNDS)]
    return f"{statistics.median(rounds):.0f} us ({min(rounds):.0f} … {max(rounds):.0f})"


def counting(board: Dashboard, session: RedisSession, context: Any) -> str:
    """Microseconds an event that is counted in a full batch."""
    rounds = []
    for _ in range(ROUNDS):
        for _ in range(board.batch * 10):
            board.perform("write", session, *board.plan("write", context))
        rounds.append(timed(lambda: [board.perform("count", session, *board.plan("count", context)) for _ in range(10)]))
    per_event = [each / board.batch / 10 * 1e6 for each in rounds]
    return f"{statistics.median(per_event):.1f} us ({min(per_event):.1f} … {max(per_event):.1f})"


def judged(members: int, updates: int) -> tuple[float, float]:
    """Seconds to judge a board with so many updates of a thousand clients, and to read its final reads from the archive."""
    rng = np.random.default_rng(1)
    began = np.sort(rng.integers(0, 60 * 10**9, updates))
    columns: dict[str, Any] = {name: np.full(updates, -1, dtype=np.int64) for name in NUMBERS}
    columns |= {"key": rng.integers(0, members, updates), "value": FIRST + np.arange(1, updates + 1), "intended": began}
    columns |= {"started": began, "ended": began + 10**6, "outcome": np.ones(updates, dtype=np.uint8)}
    columns |= {"client": rng.integers(0, 1000, updates).astype(np.uint32)}
    columns |= {word: np.zeros(updates, dtype=np.int32) for word in WORDS}
    names = dict.fromkeys(WORDS, ("",)) | {"lane": ("workload",), "kind": ("update",)}
    held = np.arange(members)
    held[columns["key"]] = columns["value"]  # in the order of their beginning: the last one stays
    scores = np.array([score_of(number) for number in held.tolist()], dtype=np.int64)
    ranks = np.arange(members) * OF_RANK + np.argsort(-scores)
    final = FinalReads(
        {node: {RANKS: ranks, SCORES: np.sort(scores)} for node in ("a", "b", "c")}, {"a": {}, "b": {}, "c": {}}, {}
    )
    run = {"workloads": [{"name": "leaderboard", "members": members}], "topology": {"nodes": []}, "expect": []}
    history = History(run, Operations(columns, names), [Event(10**11, "authority", {"node": "a"})], final)
    finding = judge.Leaderboard().check(history)
    assert finding.verdict.value == "pass", finding
    judging = statistics.median(timed(lambda: judge.Leaderboard().check(history)) for _ in range(ROUNDS))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / archive.FINAL_READS
        archive._write_final_reads(path, final)
        reading = statistics.median(timed(lambda: archive._read_final_table(path)) for _ in range(3))
    return judging, reading


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.boards")
    parser.add_argument("--members", type=int, default=1_000_000)
    members = parser.parse_args(argv).members
    numbers = count(FIRST)
    context = SimpleNamespace(random=random.Random(1), unique=lambda: next(numbers))
    with valkey() as login, Redis().opened(login) as connection:
        session = Redis().session(login, 0)
        assert session.connect() is None
        board, screen = Leaderboard(members=members), Dashboard()
        filled = []
        for _ in range(3):
            connection.unlink(KEY)
            filled.append(timed(lambda: board.prepare(connection)))
        print(f"{members} members are put on the board in {statistics.median(filled):.1f} s")
        read = timed(lambda: sum(len(values) for _, values in board.final_reads(connection)))
        print(f"and read in {read:.1f} s")
        screen.prepare(connection)
        for workload in (board, screen):
            for kind in workload.mix:
                print(f"{type(workload).__name__.lower()} {kind}: {cost(workload, kind, session, context)}")
        print(f"dashboard, an event of a full batch: {counting(screen, session, context)}")
    judging, reading = judged(members, 300_000)
    print(
        f"300000 updates of 1000 clients on {members} members are judged in {judging:.2f} s;"
        f" their final reads are read in {reading:.2f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
