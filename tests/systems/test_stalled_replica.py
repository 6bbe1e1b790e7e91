"""A minute in which no commit returns is no reason for the probes to use up the server's connections."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from harness import runner, runtimes, scenario
from harness.clients import PROBES
from harness.errors import HarnessError, RuntimeUnavailable
from harness.history import read
from harness.protocols import Cluster
from harness.topologies.rds_multi_az import RdsMultiAz
from harness.verdict import Verdict

SCENARIO = Path(__file__).parents[2] / "scenarios" / "instrument" / "commit_stall.yaml"
MAX_CONNECTIONS = 400  # as the topology sets it
TOO_MANY = "53300"  # PostgreSQL's too_many_connections
BACKENDS = """
SELECT usename, count(*), count(*) FILTER (WHERE wait_event = 'SyncRep')
FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename IS NOT NULL GROUP BY usename
"""


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Skips with the reason where neither runtime can be had; the folder's own asks for an engine, which this test does not."""
    try:
        runtimes.called("auto", {}, lambda line: None, (), RdsMultiAz())
    except RuntimeUnavailable as problem:
        pytest.skip(str(problem))


@dataclass(frozen=True)
class Watched(RdsMultiAz):
    """Asks the primary, once it is formed, who is connected, every second."""

    seen: list[dict[str, tuple[int, int]]] = field(default_factory=list, init=False, repr=False, compare=False)
    over: threading.Event = field(default_factory=threading.Event, init=False, repr=False, compare=False)

    def form(self, cluster: Cluster, progress: Callable[[str], None]) -> None:
        super().form(cluster, progress)
        primary = next(name for name, role in self.roles(cluster).items() if role == "primary")
        threading.Thread(target=self._watch, args=(cluster, primary), daemon=True).start()

    def _watch(self, cluster: Cluster, primary: str) -> None:
        node = cluster.nodes[primary]
        login = {"PGHOST": node.spec.address, "PGUSER": "postgres", "PGPASSWORD": self.secrets["superuser"]}
        with suppress(HarnessError):  # the nodes are gone in the end; whoever looks counts what was seen until then
            while not self.over.wait(1):
                said = node.run("psql", "-X", "-A", "-t", "-F", " ", "-d", "postgres", "-c", BACKENDS, environment=login)
                if not said.status:
                    rows = [line.split() for line in said.out.splitlines() if line.strip()]
                    self.seen.append({name: (int(all_), int(waiting)) for name, all_, waiting in rows})


@pytest.mark.slow
def test_probes_cause_no_too_many_clients_while_no_commit_returns(tmp_path: Path) -> None:
    asked = scenario.load(SCENARIO)
    watched = Watched(strict=True)
    try:
        ran = runner.run(
            replace(asked, topology=replace(asked.topology, options=watched)), reports=tmp_path, seed=5, progress=print
        )  # fmt: skip
    finally:
        watched.over.set()
    assert ran.verdict is Verdict.PASS, ran.reason
    stalled = [one for one in watched.seen if one.get("probe", (0, 0))[1]]
    assert len(stalled) >= 40, "commits waited for a replica, by the server's own word, for most of the minute"
    connected = [sum(all_ for all_, _ in one.values()) for one in watched.seen]
    print("connected to the primary at most:", max(connected), "of them probes:", max(one["probe"][0] for one in stalled))
    assert max(connected) < MAX_CONNECTIONS
    # What waits for its commit, the unanswered writes of each zone, is capped; the direct lane, the observer, and who logs in
    # just now come on top.
    most = 3 * sum(int(lane["unanswered_max"]) for lane in PROBES["writer"].values())
    assert max(one["probe"][0] for one in stalled) <= 2 * most
    told = next(finding for finding in ran.findings if finding["checker"] == "errors")
    assert TOO_MANY not in str(told)
    errors = read(ran.folder / "history").operations.names["error"]
    assert not [error for error in errors if error.startswith(TOO_MANY)], "neither of probes nor of load"
