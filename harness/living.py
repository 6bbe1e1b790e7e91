"""Which clusters live on, and how does another process find one, use it alone, and leave it whole?

`harness up` writes a folder for each below the user's state folder, by the cluster's name: `cluster.json` holds what is
needed to attach to it (its passwords too, so the folder is the user's alone), `history` and `nodes` are mounted into its
nodes. One process at a time measures; it holds a lock, which the kernel lets go when the process dies.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import interrupts, registry, runtimes
from harness.clock import wait_until
from harness.conditions import ID
from harness.errors import ClusterError, UsageError, suggestion
from harness.protocols import Cluster, Composed, Progress, Runtime, Topology
from harness.supervisor import Supervised, identity, is_alive

STATE = "HARNESS_STATE"  # the environment's word for another state folder


@dataclass(frozen=True)
class Living:
    """A cluster that lives on: how it was made, who keeps it, and the folder (`folder`) in which its nodes write."""

    name: str
    run_id: str
    runtime: str
    topology: str
    options: Mapping[str, Any]
    secrets: Mapping[str, str] = dataclasses.field(repr=False)
    supervisor: str
    began: str
    folder: Path

    @property
    def kept(self) -> bool:
        """Whether its supervisor is there; without one, a cluster only waits to be removed."""
        return is_alive(self.supervisor)

    def attach(self) -> tuple[Topology, Cluster]:
        """The cluster and its topology, passwords put back in. Raises ClusterError when it is not whole."""
        topology: Topology = registry.find("topologies", self.topology)(**self.options)
        put_back(topology, self.secrets)
        return topology, _runtime(self.runtime).attach(self.run_id, topology, self.folder)

    def user(self) -> str:
        """Which process uses it right now, in words; empty when nobody does."""
        with open(self.folder / "lock", "a+", encoding="utf-8") as lock:
            if _locked(lock.fileno()):
                return ""
            lock.seek(0)
            return lock.read().strip() or "another process"

    @contextmanager
    def used_for(self, what: str) -> Iterator[None]:
        """Nobody else measures or breaks it meanwhile. Raises UsageError, naming who does now."""
        with open(self.folder / "lock", "a+", encoding="utf-8") as lock:
            if not _locked(lock.fileno()):
                raise UsageError(f"{self.name} is in use ({self.user()}); wait for it, or stop it with Ctrl-C")
            lock.truncate(0)
            lock.write(f"{what}, process {os.getpid()}")
            lock.flush()
            yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _runtime(name: str) -> Runtime:
    return runtimes.called(name, {}, lambda line: None)


# --- finding -------------------------------------------------------------------------------------------------------


def home() -> Path:
    """The folder that holds one folder for each living cluster of this user."""
    named = os.environ.get(STATE)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(named) if named else Path(base) / "failover-harness"


def clusters() -> list[Living]:
    """Every cluster of this user that was brought up and not taken down, by name."""
    return [living for folder in sorted(home().glob("*")) if (living := _read(folder))]


def find(name: str | None = None) -> Living:
    """The cluster of that name, or the only one there is. Raises UsageError when there is none, or several."""
    known = {living.name: living for living in clusters()}
    if name is None:
        if len(known) != 1:
            which = f"several clusters are up: {', '.join(known)}; name one with --cluster" if known else "no cluster is up"
            raise UsageError(which if known else f"{which}; `harness up rds-multi-az` starts one")
        return next(iter(known.values()))
    if name not in known:
        raise UsageError(f"no cluster called '{name}' is up{suggestion(name, known)}")
    return known[name]


def _read(folder: Path) -> Living | None:
    with suppress(OSError, ValueError, TypeError):
        told = json.loads((folder / "cluster.json").read_text("utf-8"))
        return Living(**told, folder=folder)
    return None  # it is being brought up right now, or was never finished


def put_back(topology: Topology, secrets: Mapping[str, str]) -> None:
    """Gives a topology the passwords that it made when its cluster was laid out."""
    if isinstance(topology, Composed):
        for name, part in topology.parts.items():
            of_part = {key: value for key, value in secrets.items() if key.startswith(f"{name}.")}
            put_back(part, {key.removeprefix(f"{name}."): value for key, value in of_part.items()})
    else:
        topology.secrets.update(secrets)


# --- bringing up and taking down -------------------------------------------------------------------------------------


def up(
    use: str, topology: Topology, runtime: Runtime, progress: Progress, *, options: Mapping[str, Any],
    name: str | None = None, for_s: float | None = None,
) -> Living:  # fmt: skip
    """Starts a topology and leaves it running under its supervisor, for `for_s` seconds at most.

    Raises UsageError when the name is taken. Whatever goes wrong on the way, nothing is left behind.
    """
    folder = _new_folder(name, use)
    try:
        with runtime.launch(topology, folder) as cluster:
            topology.form(cluster, progress)
            living = Living(
                folder.name, cluster.run_id, runtime.name, use, options, dict(topology.secrets), cluster.supervisor,
                datetime.now(UTC).isoformat(timespec="seconds"), folder,
            )  # fmt: skip
            _write(living)
            cluster.keep(folder, for_s)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return living


def _write(living: Living) -> None:
    told = dataclasses.asdict(living)
    del told["folder"]
    fresh = living.folder / "cluster.new"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(told, file, indent=2)
    fresh.rename(living.folder / "cluster.json")


def _new_folder(name: str | None, use: str) -> Path:
    """A folder of its own for the cluster, by the name that was asked for, else the topology's, numbered if need be."""
    if name is not None and not re.fullmatch(ID, name):
        raise UsageError(f"'{name}' is no name for a cluster; use letters, digits, '-' and '_'")
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    for number in range(1, 100):
        folder = home() / (name or (use if number == 1 else f"{use}-{number}"))
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            if name:
                raise UsageError(f"a cluster called '{name}' is up already; take it down, or choose another --name") from None
            continue
        (folder / "maker").write_text(identity(os.getpid()))
        (folder / "history").mkdir()
        return folder
    raise UsageError("a hundred clusters of this topology are up; take some down first")


def down(living: Living, *, force: bool = False) -> None:
    """Removes a cluster and returns when nothing of it is left.

    Raises UsageError when somebody uses it, unless `force`.
    """
    if (user := living.user()) and not force:
        raise UsageError(f"{living.name} is in use ({user}); wait for it, or take it down all the same with --force")
    if living.kept:
        os.kill(int(living.supervisor.partition(":")[0]), signal.SIGTERM)
        wait_until(lambda: not living.kept, 60, f"the supervisor of {living.name} to remove it")
    else:
        _runtime(living.runtime).remove(living.run_id)
    shutil.rmtree(living.folder, ignore_errors=True)


def forget() -> Iterator[str]:
    """Removes the folders of clusters that nobody keeps and nobody is making, a line for each; not their nodes."""
    for folder in sorted(home().glob("*")):
        living, maker = _read(folder), folder / "maker"
        if not (living.kept if living else maker.exists() and is_alive(maker.read_text())):
            shutil.rmtree(folder, ignore_errors=True)
            yield f"cluster {folder.name}, which nobody kept any more, is forgotten"


# --- measurements on a cluster that lives on ---------------------------------------------------------------------------


@contextmanager
def measured(living: Living, what: str, session: str, report: Path) -> Iterator[tuple[Topology, Cluster]]:
    """Attaches for one measurement, whose history moves into `report` in the end; whatever happens, the cluster is healed.

    When this process dies in the middle, a guardian heals the cluster and saves the history.
    """
    with living.used_for(what), open(report / "supervisor.log", "ab") as log:
        topology, cluster = living.attach()
        (living.folder / "history" / session).mkdir()
        logged = {path: path.stat().st_size for path in living.folder.glob("nodes/*/*.log")}
        with Supervised("heal", living.name, session, str(report.resolve()), log=log) as guardian:
            try:
                yield topology, cluster
            finally:
                with interrupts.shielded():
                    with suppress(ClusterError):  # a cluster that cannot be healed is seen by whoever uses it next
                        cluster.restore()
                    save(living.name, session, report)
                    copy_logs(living.folder / "nodes", report / "nodes", logged)
                    guardian.done()


def heal(name: str) -> None:
    """Heals whatever any fault left in a cluster."""
    find(name).attach()[1].restore()


def save(name: str, session: str, report: Path) -> None:
    """Moves a measurement's history into its report's folder, if it is not there already."""
    source = home() / name / "history" / session
    if not source.exists():
        return
    target = report / "history"
    with suppress(OSError):
        target.rmdir()  # there is an empty one where a report's folder was just made
    if target.exists():
        raise ClusterError(f"{target} is there already; the history stays in {source}")
    shutil.move(source, target)


def copy_logs(nodes: Path, report: Path, logged: Mapping[Path, int]) -> None:
    """What the nodes have logged since the measurement began."""
    for path in nodes.glob("*/*.log"):
        copy = report / path.relative_to(nodes)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "rb") as source, open(copy, "wb") as target:
            source.seek(logged.get(path, 0))
            shutil.copyfileobj(source, target)
