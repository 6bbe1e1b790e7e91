"""What does this zone's client node see? The probe process: `python -m harness.probes run CONFIG`.

`clear CONFIG` ({client, host, port}) removes what earlier probes wrote. CONFIG of `run` is a JSON file: `zone`,
`folder` (of the history), `number` (makes written values unique), `client` (protocol and login), `targets`
([{endpoint, kind, host, port, leads, shard, lane, cadence_ms, deadline_ms, unanswered_max, delay_ms, reconnect_ms}]),
`observe` ([{node, shard, host, port, manager: {speaks, host, port}}]); a target, or what is observed, may have a `client` of
its own. Ends when the folder holds a file called `stop`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from harness import registry
from harness.clock import MILLISECOND_NS, cpu_s, now_ns
from harness.members import Manager
from harness.probes.contract import Address, Client
from harness.probes.lanes import Lane, Target, Values
from harness.probes.observer import Observer
from harness.recording import OBSERVE, VALUES_PER_PROCESS, Notes, Recorder, read_lines


def client_of(config: dict[str, Any]) -> Client:
    """The protocol's client, logged in as the probe's user: `harness/probes/<protocol>.py` has it."""
    client: Client = registry.find("probes", config["protocol"])(**config["probe"])
    return client


def clients_of(config: dict[str, Any]) -> Callable[[dict[str, Any]], Client]:
    """Who asks what is described: its own `client`, where it has one, else that of all; what is described alike shares one."""
    made: dict[str, Client] = {}

    def client(asked: dict[str, Any]) -> Client:
        described = asked.get("client") or config["client"]
        key = json.dumps([described["protocol"], described["probe"]], sort_keys=True)
        if key not in made:
            made[key] = client_of(described)
        return made[key]

    return client


def observer_of(seen: dict[str, Any], client: Client, notes: Notes) -> Observer:
    """Who asks a node for its role, and its manager, where it has one."""
    node, address = seen["node"], Address(seen["host"], seen["port"])
    managed, shard = seen.get("manager"), seen.get("shard", "")
    if not managed:
        return Observer(node, address, client, notes, shard=shard)
    manager: Manager = registry.find("members", managed["speaks"])()
    return Observer(node, address, client, notes, manager, Address(managed["host"], managed["port"]), shard)


def run(config: dict[str, Any]) -> None:
    """Probes until the folder holds a file called `stop`."""
    folder, zone = Path(config["folder"]), config["zone"]
    process = f"probe-{zone}"
    recorder, notes = Recorder(folder, process, zone), Notes(folder / f"{process}.events")
    _on_a_loop(probe(config, process, recorder, notes))
    recorder.close()  # not before: a loop that was told to end still gives everything that is due its turn
    notes.write("stopped", now_ns(), process=process, zone=zone)


async def probe(config: dict[str, Any], process: str, recorder: Recorder, notes: Notes) -> None:
    """Runs every lane and the observer until then."""
    folder, zone = Path(config["folder"]), config["zone"]
    client = clients_of(config)
    values = Values((config["number"] + 1) * VALUES_PER_PROCESS)
    lanes = [
        Lane(
            Target(
                target["endpoint"], target["kind"],
                Address(target["host"], target["port"], target.get("leads", ""), target.get("shard", "")), target["lane"],
                target["cadence_ms"], target["deadline_ms"],
                int(target["delay_ms"] * MILLISECOND_NS), target["unanswered_max"], target.get("reconnect_ms", 100),
            ),
            client(target), recorder, values,
        )
        for target in config["targets"]
    ]  # fmt: skip
    await asyncio.gather(*(lane.open() for lane in lanes))
    notes.write("ready", now_ns(), process=process, zone=zone)
    first_at = await started(folder)
    tasks = [asyncio.create_task(lane.run(first_at)) for lane in lanes]
    tasks.append(asyncio.create_task(observe(config, client, notes)))
    tasks.append(asyncio.create_task(watch_itself(recorder, notes, process, zone)))
    stop = asyncio.create_task(stopped(folder))
    done, _ = await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in done - {stop}:  # a lane never ends by itself: whatever ended it is the news
        task.result()


async def observe(config: dict[str, Any], client: Callable[[dict[str, Any]], Client], notes: Notes) -> None:
    """Asks the zone's databases for their roles: those that are there, and those that come, until they go."""
    observers: dict[str, asyncio.Task[None]] = {}

    def begin(seen: dict[str, Any]) -> None:
        observers[seen["node"]] = asyncio.create_task(observer_of(seen, client(seen), notes).run())

    for seen in config.get("observe", ()):
        begin(seen)
    told = Path(config["folder"]) / OBSERVE
    known = 0
    while True:
        lines = list(read_lines(told))
        for line in lines[known:]:
            if line.get("gone"):
                if task := observers.pop(line["node"], None):
                    task.cancel()
                    notes.write("role", now_ns(), node=line["node"], role="removed")
            elif line["zone"] == config["zone"]:
                begin(line)
        known = len(lines)
        for task in observers.values():
            if task.done():  # an observer never ends by itself: whatever ended it is the news
                task.result()
        await asyncio.sleep(0.2)


async def started(folder: Path) -> int:
    """The instant at which all schedules begin, once the harness has written it."""
    while not (folder / "start").exists():
        await asyncio.sleep(0.02)
    return int((folder / "start").read_text())


async def stopped(folder: Path) -> None:
    while not (folder / "stop").exists():
        await asyncio.sleep(0.1)


async def watch_itself(recorder: Recorder, notes: Notes, process: str, zone: str) -> None:
    """Writes an `instrument` event each second: this process's share of a core, how late its loop wakes, and whether

    it wakes before all others (`real_time`).

    Raises DiskError when something could not be recorded.
    """
    last, used = now_ns(), cpu_s()
    while True:
        await asyncio.sleep(1)
        now, cpu = now_ns(), cpu_s()
        elapsed = now - last
        notes.write(
            "instrument", now, process=process, zone=zone,
            cpu_share=round((cpu - used) * 1e9 / elapsed, 4), loop_lag_ms=round(elapsed / 1e6 - 1000, 3),
            real_time=os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO,
        )  # fmt: skip
        last, used = now, cpu
        recorder.check()
        notes.check()


def clear(config: dict[str, Any]) -> None:
    """Removes what earlier probes wrote."""
    _on_a_loop(_cleared(config))


async def _cleared(config: dict[str, Any]) -> None:
    connection = await client_of(config["client"]).connect(Address(config["host"], config["port"]))
    await connection.clear()
    await connection.close()


def _on_a_loop(task: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop  # noqa: PLC0415 (only where it is there)
    except ImportError:
        asyncio.run(task)
    else:
        uvloop.run(task)


def main(argv: list[str]) -> int:
    """`run|clear CONFIG`."""
    what, path = argv
    {"run": run, "clear": clear}[what](json.loads(Path(path).read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
