"""What does an operation cost the process that makes the load: our users', and those of plain Locust users?

    python -m benchmarks.users WAY WORKLOAD USERS RATE LOGIN

prints operations, CPU seconds and seconds as JSON. WAY is one of

- `ours`: the workload's users, as `harness.load` runs them;
- `switched`: the same, with a recorder that keeps nothing every second quarter of a second; told are both, one as `unrecorded`;
- `plain`: users of `benchmarks.plain`, who ask at the same moments as ours;
- `in_step`: the same with Locust's `constant_throughput`, who soon ask at the same moments as each other.

A RATE of 0 asks as fast as it can. LOGIN leads to the server, as JSON. `benchmarks.scale` runs it.
"""

from __future__ import annotations

# isort: off
import locust  # first, for its monkey-patching
from locust.env import Environment

# isort: on
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import gevent

from benchmarks.plain import twin_of
from harness import load
from harness.clock import now_ns
from harness.load import ScheduledUsers
from harness.recording import Recorder

WARM_UP_S, MEASURED_S = 1, 2.5
SWITCHED_S, TURN_S = 20, 0.25
CONNECTED_WITHIN_S = 120
FASTER_THAN_ANY = 1_000_000  # operations per second, all of which are late from the beginning


def ours(workload: str, users: int, rate: float, login: dict[str, Any], folder: Path, recorder: Recorder) -> tuple[Any, Any]:
    options = {"users": users, "rate_per_s": rate or FASTER_THAN_ANY, "deadline_s": 1 if rate else 3600}
    config = {
        "workload": workload, "options": options, "users": users, "rate_per_s": options["rate_per_s"], "processes": 1, "place": 0,
        "number": 0, "seed": 1, "start": str(folder / "start"), "login": login, "reading": login, "direct": login,
    }  # fmt: skip
    scheduled = ScheduledUsers(config, recorder)
    runner = scheduled.environment.create_local_runner()
    scheduled.start(runner)
    _await(scheduled.ready)
    begin = folder / "begin"
    begin.write_text(str(now_ns()))
    begin.rename(folder / "start")
    return scheduled.environment, runner


def plain(workload: str, users: int, rate: float, login: dict[str, Any], *, in_step: bool) -> tuple[Any, Any]:
    asked: dict[str, Any] = {"login": login, "users": users, "interval_s": users / rate if rate else 0, "connected": []}
    if in_step:
        asked["wait_time"] = locust.constant_throughput(rate / users) if rate else locust.constant(0)
    environment = Environment(user_classes=[type("Asked", (twin_of(workload, login["protocol"]),), asked)], stop_timeout=2)
    runner = environment.create_local_runner()
    runner.start(users, spawn_rate=users)
    _await(lambda: len(asked["connected"]) >= users)
    return environment, runner


def _await(condition: Any) -> None:
    with gevent.Timeout(CONNECTED_WITHIN_S):
        while not condition():
            gevent.sleep(0.05)


def measured(environment: Environment, for_s: float) -> Counter[str]:
    stats, at, cpu_s = environment.stats.total, time.monotonic(), time.process_time()
    asked, failed = stats.num_requests, stats.num_failures
    gevent.sleep(for_s)
    cpu_s, lasted_s = time.process_time() - cpu_s, time.monotonic() - at
    done: Any = {"operations": stats.num_requests - asked, "failed": stats.num_failures - failed, "cpu_s": cpu_s}
    return Counter(done | {"lasted_s": lasted_s})  # it counts seconds, too


class Silent(Recorder):
    """Keeps nothing."""

    def begin(self, *_: Any, **__: Any) -> int:
        return 0

    def end(self, *_: Any, **__: Any) -> None: ...

    def payload(self, _: object) -> int:
        return 0


def switched(environment: Environment, recorder: Recorder) -> dict[str, Counter[str]]:
    """By turns, since a machine that does other things changes by the second."""
    ways: dict[str, type[Recorder]] = {"recorded": Recorder, "unrecorded": Silent}
    found: dict[str, Counter[str]] = {way: Counter() for way in ways}
    for _ in range(round(SWITCHED_S / TURN_S / 2)):
        for way, kind in ways.items():
            recorder.__class__ = kind
            found[way].update(measured(environment, TURN_S))
    recorder.__class__ = Recorder
    return found


def main(argv: list[str]) -> None:
    way, workload, users, rate, login = argv[0], argv[1], int(argv[2]), float(argv[3]), json.loads(argv[4])
    load.prepare({"workload": workload, "options": {}, "login": login, "anew": True})
    with tempfile.TemporaryDirectory(prefix="harness-benchmark-") as folder:
        recorder = Recorder(Path(folder), "load", "az-a")
        if way in {"ours", "switched"}:
            environment, runner = ours(workload, users, rate, login, Path(folder), recorder)
        else:
            environment, runner = plain(workload, users, rate, login, in_step=way == "in_step")
        raised: list[Exception] = []  # Locust would only log it
        environment.events.user_error.add_listener(lambda exception, **_: raised.append(exception))
        gevent.sleep(WARM_UP_S)
        found = switched(environment, recorder) if way == "switched" else measured(environment, MEASURED_S)
        runner.quit()
    if raised:
        sys.exit(f"{way}, {workload}: a user raised {raised[0]!r}")
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
