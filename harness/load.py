"""How does Locust carry the load, and how is each of its operations recorded?

`python -m harness.load CONFIG` runs one workload's users in a client node. Locust must be imported first: it makes
the standard library cooperative. Users follow an absolute schedule: what could not begin before its deadline was over
is recorded as not sent, instead of being sent as a burst when the system recovers.
"""

from __future__ import annotations

# isort: off
import locust  # first, for its monkey-patching
from locust.env import Environment
from locust.stats import stats_history

# isort: on
import itertools
import json
import random
import sys
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gevent

from harness import registry
from harness.clock import SECOND_NS, cpu_s, now_ns
from harness.deadline import Deadline, Expired
from harness.locustfile import Failed, OwnUsers
from harness.niceness import give_way
from harness.recording import VALUES_PER_PROCESS, Notes, Outcome, Recorder
from harness.sessions import PAUSING, Done, Driver, Session, driver_of

NICENESS = 10  # under full load, probes must wake up before users do
FIRST_NUMBER = 1000  # processes of load number their values from here, probes from 0


def _shard_of(context: Context) -> Callable[[int], str] | None:
    """Tells which shard a key belongs to, where there are shards and the workload says what its keys are called; else None."""
    shard_of = getattr(context.driver, "shard_of", None)
    name_of = getattr(context.workload, "name_of", None)
    if shard_of is None or name_of is None:
        return None
    return lambda key: str(shard_of(context.login, name_of(key)))


@dataclass
class Context:
    """What the users of one process share; `base` begins its unique values.

    `login` leads to the writer endpoint, `reading` to the reader endpoint, `direct` to each database's own address: node → login.
    `driver` opens sessions for them.
    """

    workload: Any
    recorder: Recorder
    random: random.Random
    base: int
    driver: Driver
    login: dict[str, Any]
    reading: dict[str, Any]
    direct: dict[str, dict[str, Any]]
    users: int
    interval_ns: int
    slot: Callable[[int], int]  # a user's number → its first intended start, ns after the schedule's
    start: Path  # the file that holds the instant at which the schedule begins
    count: int = 0
    connected: int = 0

    def unique(self) -> int:
        self.count += 1
        return self.base + self.count


def is_read(kind: str) -> bool:
    """Whether a kind of operation reads: `read`, or `read …`; all others write."""
    return kind.split(" ", maxsplit=1)[0] == "read"


def user_class(context: Context) -> type[locust.User]:
    """A Locust user that carries out the workload's operations on an absolute schedule."""
    recorder, workload = context.recorder, context.workload
    lane = recorder.name("lane", "workload")
    kinds = {kind: recorder.name("kind", kind) for kind in workload.mix}
    reads_from = getattr(workload, "reads_from", "writer")  # a workload's option, where it may be the reader
    leads = {kind: reads_from if is_read(kind) else "writer" for kind in workload.mix}  # kind → endpoint
    endpoints = {name: recorder.name("endpoint", name) for name in sorted(set(leads.values()))}
    unanswered = {kind: Done(Outcome.FAILED if is_read(kind) else Outcome.UNKNOWN, "deadline") for kind in workload.mix}
    mix, shares = list(workload.mix), list(itertools.accumulate(workload.mix.values()))
    shard_of = _shard_of(context)
    numbers = itertools.count()  # whoever is started anew, by Locust's web UI, is a client of its own
    deadline_ns = int(workload.deadline_s * SECOND_NS)

    class ScheduledUser(locust.User):
        wait_time = locust.constant(0)  # between its one task and the next one, which is where an error that nobody foresaw leads
        waiting = stopping = False

        def on_start(self) -> None:
            logins = {"writer": context.login, "reader": context.reading}
            self.sessions = {name: context.driver.session(logins[name], workload.reconnect_s) for name in endpoints}
            self.number = next(numbers)
            self.deadline = Deadline()
            anew = context.start.exists()
            for session in self.sessions.values():
                gevent.with_timeout(workload.deadline_s * 5, session.connect, timeout_value="deadline")
            context.connected += 1
            while not context.start.exists():
                gevent.sleep(0.05)
            self.intended = int(context.start.read_text()) + context.slot(self.number)
            if anew and (missed := now_ns() - self.intended) > 0:  # nobody meant to ask while there was no such user
                self.intended += -(-missed // context.interval_ns) * context.interval_ns

        def on_stop(self) -> None:
            for session in self.sessions.values():
                session.drop()

        def stop(self, force: bool = False) -> Any:
            """As Locust's own: whoever only waits for its time ends at once, whoever asks does so first."""
            self.stopping = True
            return super().stop(force=force or self.waiting)

        @locust.task
        def act(self) -> None:
            """Everything that it ever asks, as one task: what Locust does between two tasks, and to wait, costs CPU."""
            while not self.stopping:
                self._ask()

        def _ask(self) -> None:
            intended, self.intended = self.intended, self.intended + context.interval_ns
            kind = mix[bisect(shares, context.random.random() * shares[-1], 0, len(mix) - 1)]
            self.waiting = True
            gevent.sleep(max(0, intended - now_ns()) / 1e9)  # others go on also while this one is late
            self.waiting = False
            if self.stopping:  # its time came when it had been taken for one who waits, and is about to be killed
                return None
            began = now_ns()
            if began > intended + deadline_ns:
                return self._not_sent(kind, intended, "deadline before it was sent")
            session = self.sessions[leads[kind]]
            if not session.connected and (why := self._reconnect(session, intended)):
                if why != PAUSING:  # whoever tries to connect and cannot has asked, as Locust counts
                    self._tell_locust(kind, began, now_ns(), why)
                return self._not_sent(kind, intended, why)
            return self._perform(kind, session, intended)

        def _reconnect(self, session: Session, intended: int) -> str | None:
            left = max(0.001, (intended + deadline_ns - now_ns()) / 1e9)
            why: str | None = gevent.with_timeout(left, session.connect, timeout_value="deadline while connecting")
            return why

        def _not_sent(self, kind: str, intended: int, why: str) -> None:
            recorder.not_sent(
                lane, kinds[kind], endpoints[leads[kind]],
                client=self.number, intended=intended, error=recorder.name("error", why), ended=now_ns(),
            )  # fmt: skip

        def _perform(self, kind: str, session: Session, intended: int) -> None:
            key, value, payload = workload.plan(kind, context)
            reference = recorder.payload(payload) if payload is not None else 0
            started = now_ns()
            endpoint = endpoints[leads[kind]]
            if shard_of is not None and (shard := shard_of(key)):
                endpoint = recorder.name("endpoint", f"{leads[kind]}:{shard}")
            at = recorder.begin(lane, kinds[kind], endpoint, self.number, intended, started, key, value, reference)
            done = unanswered[kind]
            try:
                with self.deadline.at(intended + deadline_ns):
                    done = workload.perform(kind, session, key, value, payload)
            except Expired:
                session.drop()
            ended = now_ns()
            recorder.end(at, done.outcome, ended, recorder.name("error", done.error) if done.error else 0, done.seen)
            self._tell_locust(kind, started, ended, "" if done.outcome is Outcome.OK else done.error)

        def _tell_locust(self, kind: str, started: int, ended: int, error: str) -> None:
            """As any Locust user does: from when it really began. What it meant to ask and did not, it cannot tell."""
            self.environment.events.request.fire(
                request_type=kind, name=leads[kind], response_time=(ended - started) / 1e6, response_length=0,
                exception=RuntimeError(error) if error else None, context={},
            )  # fmt: skip

    return ScheduledUser


class ScheduledUsers:
    """The users of one of the harness's own workloads, nearly all of which keep a schedule."""

    about: ClassVar[dict[str, str]] = {}

    def __init__(self, config: dict[str, Any], recorder: Recorder) -> None:
        workload = registry.find("workloads", config["workload"])(**config["options"])
        interval_ns = int(config["users"] * SECOND_NS / config["rate_per_s"])
        apart = config["users"] * config["processes"]
        self._context = Context(
            workload, recorder, random.Random(config["seed"]), (FIRST_NUMBER + config["number"]) * VALUES_PER_PROCESS,
            driver_of(config["login"]), config["login"], config["reading"], config["direct"], config["users"], interval_ns,
            # Evenly over the interval, the zones' users between each other's: no bursts of our own making.
            slot=lambda user: interval_ns * (user * config["processes"] + config["place"]) // apart,
            start=Path(config["start"]),
        )  # fmt: skip
        own = getattr(workload, "user_class", user_class)  # a workload may bring users that keep no schedule of ours
        self.environment = Environment(user_classes=[own(self._context)], stop_timeout=2)

    def start(self, runner: Any) -> None:
        runner.start(self._context.users, spawn_rate=self._context.users)

    def ready(self) -> bool:
        return self._context.connected >= self._context.users

    def tick(self) -> None:
        """Nothing: each of its operations is recorded when it begins."""

    def stop(self, runner: Any) -> None:
        runner.quit()


def run(config: dict[str, Any]) -> None:
    """Runs the users until the history's folder holds a file called `stop`. Raises Failed for a file that cannot be run."""
    give_way(NICENESS)
    folder, process, zone = Path(config["folder"]), config["process"], config["zone"]
    recorder, notes = Recorder(folder, process, zone), Notes(folder / f"{process}.events")
    try:
        users = OwnUsers(config, recorder, notes) if config["files"] else ScheduledUsers(config, recorder)
        runner = users.environment.create_local_runner()
        if config["ui_port"]:
            users.environment.create_web_ui("0.0.0.0", config["ui_port"])
            gevent.spawn(stats_history, runner)
        users.start(runner)
        while not users.ready():
            gevent.sleep(0.05)
    except Failed as failed:
        notes.write("failed", now_ns(), process=process, reason=str(failed))
        raise
    notes.write("ready", now_ns(), process=process, zone=zone, **users.about)

    def tick() -> None:
        users.tick()
        recorder.check()  # Locust only logs what its users raise
        notes.check()

    _watch(runner, tick, folder, notes, process, zone)
    users.stop(runner)
    notes.write("locust", now_ns(), process=process, zone=zone, statistics=_statistics(users.environment))
    recorder.close()
    notes.write("stopped", now_ns(), process=process, zone=zone)


def _watch(runner: Any, tick: Callable[[], None], folder: Path, notes: Notes, process: str, zone: str) -> None:
    last, used = now_ns(), cpu_s()
    while not (folder / "stop").exists():
        gevent.sleep(0.1)
        tick()
        now = now_ns()
        if now - last >= SECOND_NS:
            cpu = cpu_s()
            share = (cpu - used) * 1e9 / (now - last)
            notes.write("instrument", now, process=process, zone=zone, cpu_share=round(share, 4), users=runner.user_count)
            last, used = now, cpu


def _statistics(environment: Environment) -> list[dict[str, Any]]:
    """What Locust itself measured of each kind of request, as one of its workers would tell its master.

    `response_times_ms` are rounded as Locust rounds them, with how often each occurred: percentiles of several processes
    can be told from them, and from nothing less.
    """
    return [
        {
            "kind": entry.method, "name": entry.name, "requests": entry.num_requests, "failures": entry.num_failures,
            "response_times_ms": dict(sorted(entry.response_times.items())),
        }
        for entry in environment.stats.entries.values()
    ]  # fmt: skip


def prepare(config: dict[str, Any]) -> None:
    """Makes what the workload needs, once, on the writer; what workloads had there before is removed when asked."""
    workload = registry.find("workloads", config["workload"])(**config["options"])
    driver = driver_of(config["login"])
    with driver.opened(config["login"]) as connection:
        if config["anew"]:
            driver.clear(connection)
        workload.prepare(connection)


def final_reads(config: dict[str, Any]) -> None:
    """Reads everything that one node holds, into `final-<node>.jsonl`."""
    driver = driver_of(config["login"])
    with open(Path(config["folder"]) / f"final-{config['node']}.jsonl", "w", encoding="utf-8") as lines:

        def write(line: dict[str, Any]) -> None:
            lines.write(json.dumps(line) + "\n")

        try:
            with driver.reading(config["login"]) as connection:
                for values in driver.probed(connection):
                    write({"set": "probe", "values": values})
                for chosen in config["workloads"]:
                    workload = registry.find("workloads", chosen["workload"])(**chosen["options"])
                    for name, values in workload.final_reads(connection):
                        write({"set": name, "values": values})
                    write({"facts": workload.facts(connection)})
            write({"complete": True})
        except driver.errors as error:
            write({"error": driver.told(error)[0]})


def main(argv: list[str]) -> int:
    """`run|prepare|final_reads CONFIG`."""
    what, path = argv
    {"run": run, "prepare": prepare, "final_reads": final_reads}[what](json.loads(Path(path).read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
