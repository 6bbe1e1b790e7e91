"""What does the measuring instrument cost, and how much can it take? Writes the tables of docs/benchmarks.md.

    python -m benchmarks.scale [recording] [judging] [load] [ledger] [session_store] … [--times 3]

The first three, unless parts are named. `load` asks what an operation of each workload costs beside the same operation of plain
Locust users (`benchmarks.plain`), at 10, 100 and 1,000 users and one rate. The name of a workload asks it of that one alone, also
as fast as they can, and of users with `constant_throughput`.

Needs the `client` extra; for how long a report takes to open, a Chromium on PATH; for the load, and for what recording takes from
it, a PostgreSQL (`initdb`, `postgres` and `pgbench`), a Valkey (the `embedded` extra's) and a Memcached. Where costs at one
rate are compared, both ways go on at once, each with a server of its own, so that a machine that does other things does them to
both: one after the other, single ratios differed by half. As fast as they can, they take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import browser
from benchmarks.long_history import Repeated
from benchmarks.servers import Login, NotHereError, postgresql, served
from benchmarks.toxiproxy import PATIENCE_S, Row, postgres_bin, spread
from harness import archive
from harness.history import read
from harness.judging import judge, result
from harness.recording import Outcome, Recorder
from harness.reporters.html import Html

RECORDED = 300_000  # operations, to tell what recording one costs
SIZES = ((1_000_000, 600, 2, None), (10_000_000, 3600, 20, 2000))  # operations, seconds they take, bounds in s and MB
USERS = (10, 100, 1000)
WORKLOADS = {  # → the protocol of the servers that it is asked of
    "ledger": "postgresql", "session_store": "redis", "leaderboard": "redis", "dashboard": "redis", "scattered": "redis",
    "entries": "memcached", "cache_aside": "cached",
}  # fmt: skip
WAYS = {"ours": "ours", "plain": "plain", "in_step": "plain with `constant_throughput`"}
RATE = 1000  # operations per second, where ours and a plain Locust user's are compared
MB = 1_000_000


def machine() -> str:
    return f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, load average {os.getloadavg()[0]:.1f}"


# --- recording -----------------------------------------------------------------------------------------------


def recording(times: int) -> Iterator[Row]:
    costs = [_cost_of(_record) - _cost_of(_do_nothing) for _ in range(times)]
    yield "recording one operation: begin and end, CPU in the load's process", "≤ 0.5 µs", f"{spread(costs, 2)} µs"
    payloads = [_cost_of(_note_payloads) - _cost_of(_do_nothing) for _ in range(times)]
    yield "noting what one number does not say (of the ledger, with every seventh operation)", "", f"{spread(payloads, 2)} µs"
    if not postgres_bin():
        return
    for durable, bound in ((True, "≤ 2 %"), (False, "")):
        with postgresql(durable=durable) as login:
            found = [_asked("switched", "ledger", 10, 0, login) for _ in range(times)]
        asked = [{way: _each(one, f"ledger, {way}") for way, one in ways.items()} for ways in found]
        server = "that syncs each commit, as it does unless told otherwise" if durable else "that syncs nothing"
        fewer = [1 - one["recorded"]["per_s"] / one["unrecorded"]["per_s"] for one in asked]
        more = [one["recorded"]["cpu_us"] / one["unrecorded"]["cpu_us"] - 1 for one in asked]
        each = f"{_shares(fewer)} fewer operations of {_middle(asked, 'unrecorded', 'per_s')}/s"
        cpu = f"{_shares(more)} more CPU in the load's process, of {_middle(asked, 'unrecorded', 'cpu_us')} µs each"
        yield f"the ledger, 10 users as fast as they can, on a server {server}: with a recorder", bound, f"{each}; {cpu}"


def _shares(found: list[float]) -> str:
    return f"{statistics.median(found):.1%} ({', '.join(f'{share:.1%}' for share in sorted(found))})"


def _cost_of(loop: Callable[[Recorder], None]) -> float:
    """CPU in µs of one turn of a loop of RECORDED turns, the least of three."""
    found = []
    for _ in range(3):
        with tempfile.TemporaryDirectory(prefix="harness-benchmark-") as folder:
            recorder = Recorder(Path(folder), "load", "az-a")
            began = time.process_time()
            loop(recorder)
            found.append((time.process_time() - began) / RECORDED * 1e6)
            recorder.close()
    return min(found)


def _record(recorder: Recorder) -> None:
    lane, kind, endpoint = (recorder.name(*word) for word in (("lane", "workload"), ("kind", "write"), ("endpoint", "writer")))
    now, ok, user, key = time.monotonic_ns(), Outcome.OK, 7, 11
    for value in range(RECORDED):
        at = recorder.begin(lane, kind, endpoint, user, now, now, key, value, 0)
        recorder.end(at, ok, now, 0)


def _note_payloads(recorder: Recorder) -> None:
    transfer = {"from": 1, "to": 2, "amount": 3}
    for _ in range(RECORDED):
        recorder.payload(transfer)


def _do_nothing(recorder: Recorder) -> None:
    del recorder
    for _ in range(RECORDED):
        pass


# --- judging -------------------------------------------------------------------------------------------------


def judging(times: int) -> Iterator[Row]:
    for operations, length_s, bound_s, bound_mb in SIZES:
        with tempfile.TemporaryDirectory(prefix="harness-benchmark-") as made:
            folder = Path(made) / "history"
            Repeated.of(operations, length_s).write(folder)
            archived = _in_a_process("archive", folder)
            seen = [_in_a_process("judge", folder, Path(made)) for _ in range(times)]
            count = seen[0]["operations"]
            what = f"{count / 1e6:.1f} million operations of {length_s / 60:g} min"
            size = (folder / archive.OPERATIONS).stat().st_size / count
            yield f"{what}: in the Parquet file", "≤ 40 bytes each", f"{size:.1f} bytes each"
            yield f"{what}: made into it when the run is over", "", f"{archived['s']:.0f} s, at most {archived['mb']:,.0f} MB"
            yield f"{what}: read", "", f"{_of(seen, 'read_s')} s"
            yield f"{what}: judged by all checkers", f"≤ {bound_s} s", f"{_of(seen, 'judged_s')} s"
            most = f"≤ {bound_mb:,} MB" if bound_mb else ""
            yield f"{what}: memory of reading and judging, at most", most, f"{max(one['judged_mb'] for one in seen):,.0f} MB"
            yield f"{what}: report.html", "≤ 3 s, ≤ 0.6 MB", f"{_of(seen, 'report_s')} s, {seen[0]['report_mb']:.2f} MB"
            if browser.chromium():
                yield from _looked_at(what, Path(made) / "report.html", times)


def _of(seen: list[dict[str, float]], name: str) -> str:
    return spread([one[name] for one in seen], 2)


def _looked_at(what: str, page: Path, times: int) -> Iterator[Row]:
    looked = [browser.look(page) for _ in range(times)]
    opened = spread([one.opened / 1000 for one in looked], 2)
    yield f"{what}: opened in a headless Chromium without a GPU, painted", "≤ 1 s", f"{opened} s"
    drawn, painted = ([ms for one in looked for ms in getattr(one, name)] for name in ("drawn", "painted"))
    middle, most = statistics.median(painted), max(painted)
    said = f"{statistics.median(drawn):.0f} ms to draw, painted after {middle:.0f} ms (at most {most:.0f})"
    yield f"{what}: each zoom, all charts drawn anew", "", said


def _in_a_process(what: str, *folders: Path) -> dict[str, float]:
    """In one of its own, for its memory."""
    command = [sys.executable, "-m", "benchmarks.scale", "--alone", what, *map(str, folders)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def _alone(what: str, folders: list[str]) -> dict[str, float]:
    history = Path(folders[0])
    began = time.monotonic()
    if what == "archive":
        archive.write(history)
        return {"s": time.monotonic() - began, "mb": _memory_mb()}
    was = read(history)
    read_at = time.monotonic()
    findings = judge(was)
    judged_at, judged_mb = time.monotonic(), _memory_mb()
    page = Html().write(Path(folders[1]), was, result(was, findings))
    return {
        "operations": len(was.operations), "read_s": read_at - began, "judged_s": judged_at - read_at, "judged_mb": judged_mb,
        "report_s": time.monotonic() - judged_at, "report_mb": page.stat().st_size / MB,
    }  # fmt: skip


def _memory_mb() -> float:
    """The most that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB


# --- the load ------------------------------------------------------------------------------------------------


def _asked(way: str, workload: str, users: int, rate: float, login: Login) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.users", way, workload, str(users), str(rate), json.dumps(login)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_S * 10)
    if ran.returncode:
        sys.exit(ran.stderr or f"{way}, {workload}, {users} users: ended with {ran.returncode}")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def _each(found: dict[str, float], whose: str) -> dict[str, float]:
    """What one operation cost, and how many there were a second."""
    if not found["operations"] or found["failed"] > found["operations"] / 1000:
        sys.exit(f"{whose}: {found['failed']} of {found['operations']} operations failed")
    return {"cpu_us": found["cpu_s"] / found["operations"] * 1e6, "per_s": found["operations"] / found["lasted_s"]}


def _cost(workload: str, users: int, rate: float, way: str, login: Login) -> dict[str, float]:
    return _each(_asked(way, workload, users, rate, login), f"{workload}, {users} users, {way}")


def load(times: int) -> Iterator[Row]:
    for workload in WORKLOADS:
        yield from _costs(workload, times, {RATE: ("ours", "plain")})


def in_full(workload: str, times: int) -> Iterator[Row]:
    yield from _costs(workload, times, {RATE: ("ours", "plain", "in_step"), 0: ("ours", "plain")})


def _costs(workload: str, times: int, asked: dict[int, tuple[str, ...]]) -> Iterator[Row]:
    """Of one workload; `asked` says at which rates, and whose."""
    with contextlib.ExitStack() as stack:
        try:
            logins = {way: stack.enter_context(served(WORKLOADS[workload])) for way in asked[RATE]}
        except NotHereError as missing:
            yield f"{workload}: what an operation costs the load", "", f"not measured: there is no {missing} here"
            return
        for users in USERS:
            for rate, ways in asked.items():
                cost, servers = functools.partial(_cost, workload, users, rate), [logins[way] for way in ways]
                with ThreadPoolExecutor(len(ways) if rate else 1) as pool:
                    rounds = [dict(zip(ways, pool.map(cost, ways, servers), strict=True)) for _ in range(times)]
                ratios = [one["ours"]["cpu_us"] / one["plain"]["cpu_us"] for one in rounds]
                each = ", ".join(f"{WAYS[way]} {_middle(rounds, way, 'cpu_us')} µs" for way in ways)
                rates = ", ".join(f"{_middle(rounds, way, 'per_s')}/s" for way in ways)
                how = f"{rate:,}/s" if rate else "as fast as they can"
                what = f"{workload}, {users:,} users, {how}: CPU per operation, ours ÷ a plain Locust user's"
                yield what, "≤ 1", f"{spread(ratios, 2)}; {each} ({rates})"


def _middle(rounds: list[dict[str, dict[str, float]]], way: str, figure: str) -> str:
    return f"{statistics.median(one[way][figure] for one in rounds):,.0f}"


PARTS: dict[str, Callable[[int], Iterator[Row]]] = {"recording": recording, "judging": judging, "load": load}
NAMED = PARTS | {workload: functools.partial(in_full, workload) for workload in WORKLOADS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", help=", ".join(NAMED))
    parser.add_argument("--times", type=int, default=3, help="how often each figure is measured")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)  # one step, in this process
    asked = parser.parse_args()
    if asked.alone:
        print(json.dumps(_alone(asked.parts[0], asked.parts[1:])))
        return
    if unknown := set(asked.parts) - set(NAMED):
        parser.error(f"no part called {', '.join(sorted(unknown))}; there are {', '.join(NAMED)}")
    print(f"{machine()}\n\n| figure | to reach | measured |\n| --- | --- | --- |")
    for name in asked.parts or PARTS:
        for row in NAMED[name](asked.times):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
