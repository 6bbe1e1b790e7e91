"""What does an operation cost the process that makes the load: our users', and a plain Locust user's with psycopg?

    python -m benchmarks.users WAY USERS RATE PORT

prints operations, CPU seconds and seconds as JSON. WAY is one of

- `ours`: the ledger's users, as `harness.load` runs them;
- `switched`: the same, with a recorder that keeps nothing every second quarter of a second; told are both, one as `unrecorded`;
- `plain`: users that ask at the same moments as ours;
- `in_step`: users with Locust's `constant_throughput`, who soon ask at the same moments as each other.

A RATE of 0 asks as fast as it can. `benchmarks.scale` runs it.
"""

from __future__ import annotations

# isort: off
import locust  # first, for its monkey-patching
from locust.env import Environment

# isort: on
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import gevent
import psycopg

from harness.clock import now_ns
from harness.load import ScheduledUsers
from harness.recording import Recorder
from harness.sessions.postgresql import Postgresql
from harness.workloads.ledger import Ledger

HOST = "127.0.0.1"
ACCOUNTS = 1000
WARM_UP_S, MEASURED_S = 3, 4
SWITCHED_S, TURN_S = 20, 0.25
CONNECTED_WITHIN_S = 120
FASTER_THAN_ANY = 1_000_000  # operations per second, all of which are late from the beginning


def login(port: int) -> dict[str, Any]:
    return {
        "protocol": "postgresql",
        "host": HOST,
        "port": port,
        "user": "postgres",
        "dbname": "postgres",
        "options": "-c search_path=workload",
    }


def prepare(port: int) -> None:
    driver = Postgresql()
    with driver.opened(login(port)) as connection:
        driver.clear(connection)
        Ledger(accounts=ACCOUNTS).prepare(connection)


def ours(users: int, rate: float, port: int, folder: Path, recorder: Recorder) -> tuple[Any, Any]:
    options = {"users": users, "rate_per_s": rate or FASTER_THAN_ANY, "accounts": ACCOUNTS, "deadline_s": 1 if rate else 3600}
    config = {
        "workload": "ledger", "options": options, "users": users, "rate_per_s": options["rate_per_s"], "processes": 1, "place": 0,
        "number": 0, "seed": 1, "start": str(folder / "start"),
        "login": login(port), "reading": login(port), "direct": login(port),
    }  # fmt: skip
    scheduled = ScheduledUsers(config, recorder)
    runner = scheduled.environment.create_local_runner()
    scheduled.start(runner)
    _await(scheduled.ready)
    begin = folder / "begin"
    begin.write_text(str(now_ns()))
    begin.rename(folder / "start")
    return scheduled.environment, runner


def plain(users: int, rate: float, port: int, in_step: bool) -> tuple[Any, Any]:
    """What one writes after reading Locust's manual: the same statements, in the same shares, at the same rate."""
    connected: list[psycopg.Connection[Any]] = []
    values = iter(range(sys.maxsize))
    interval_s = users / rate if rate else 0

    class Plain(locust.User):
        def wait_time(self) -> float:
            self.due += interval_s
            return max(0, self.due - time.monotonic())

        def on_start(self) -> None:
            to = {name: value for name, value in login(port).items() if name != "protocol"}
            self.connection = psycopg.connect(**to, autocommit=True, sslmode="disable", gssencmode="disable")
            self.due = time.monotonic() // (interval_s or 1) * interval_s + interval_s * len(connected) / users
            connected.append(self.connection)

        def on_stop(self) -> None:
            self.connection.close()

        def ask(self, kind: str, statement: str, parameters: tuple[Any, ...]) -> None:
            began, error = time.perf_counter(), None
            try:
                self.connection.execute(statement, parameters, prepare=True)
            except psycopg.Error as problem:
                error = problem
            self.environment.events.request.fire(
                request_type=kind, name="writer", response_time=(time.perf_counter() - began) * 1000, response_length=0,
                exception=error, context={},
            )  # fmt: skip

        @locust.task(60)
        def write(self) -> None:
            self.ask("write", "INSERT INTO ledger (value) VALUES (%s)", (next(values),))

        @locust.task(15)
        def transfer(self) -> None:
            source, target = sorted(random.sample(range(ACCOUNTS), 2))
            amount = random.randint(1, 5)
            self.ask(
                "transfer",
                "UPDATE accounts SET balance = balance + CASE id WHEN %s THEN -%s::bigint ELSE %s::bigint END"
                " WHERE id IN (%s, %s)",
                (source, amount, amount, source, target),
            )

        @locust.task(25)
        def read(self) -> None:
            self.ask("read", "SELECT balance FROM accounts WHERE id = %s", (random.randrange(ACCOUNTS),))

    class InStep(Plain):
        wait_time = locust.constant_throughput(rate / users) if rate else locust.constant(0)

    environment = Environment(user_classes=[InStep if in_step else Plain], stop_timeout=2)
    runner = environment.create_local_runner()
    runner.start(users, spawn_rate=users)
    _await(lambda: len(connected) >= users)
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
    return Counter(operations=stats.num_requests - asked, failed=stats.num_failures - failed, cpu_s=cpu_s, lasted_s=lasted_s)  # type: ignore[arg-type]  # it counts seconds, too


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
    way, users, rate, port = argv[0], int(argv[1]), float(argv[2]), int(argv[3])
    prepare(port)
    with tempfile.TemporaryDirectory(prefix="harness-benchmark-") as folder:
        recorder = Recorder(Path(folder), "load", "az-a")
        if way in {"ours", "switched"}:
            environment, runner = ours(users, rate, port, Path(folder), recorder)
        else:
            environment, runner = plain(users, rate, port, in_step=way == "in_step")
        gevent.sleep(WARM_UP_S)
        found = switched(environment, recorder) if way == "switched" else measured(environment, MEASURED_S)
        print(json.dumps(found), flush=True)
        runner.quit()


if __name__ == "__main__":
    main(sys.argv[1:])
