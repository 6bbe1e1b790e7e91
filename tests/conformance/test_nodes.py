"""Does a node do what every topology and fault relies on, whatever runtime it lives on?"""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest

from harness import witnesses
from harness.clock import wait_until
from harness.errors import ClusterError
from harness.faults.crash import Crash
from harness.faults.latency import Latency
from harness.faults.lose_host import LoseHost
from harness.faults.partition import Partition
from harness.faults.pause import Pause
from harness.faults.restart import Restart
from harness.namespaces.limits import unavailable
from harness.protocols import Cluster, Group, Limits, Node, NodeSpec, Runtime, Witness
from harness.runtimes.laid_out import MEMBERS
from tests.conformance.echo import ENDED, PORT, QUESTION, Echo, seen, send_datagram

ZONES = ("az-a", "az-b", "az-c")
# Holds a connection, asks on it once a file is there, and says what it hears.
HELD = """
import pathlib, socket, time
with socket.create_connection(("{address}", {port})) as held:
    held.sendall(b"?")
    held.recv(1)
    print("connected", flush=True)
    while not pathlib.Path("/run/harness/ask").exists():
        time.sleep(0.05)
    try:
        held.sendall(b"?")
        held.settimeout(1)
        print("answered" if held.recv(1) else "closed", flush=True)
    except TimeoutError:
        print("nothing", flush=True)
    try:
        held.settimeout(None)
        print("answered" if held.recv(1) else "closed", flush=True)
    except ConnectionResetError:
        print("reset", flush=True)
"""


@dataclass
class _Described:
    """A node that is not there yet, or no more."""

    spec: NodeSpec


def others(cluster: Cluster, zone: str) -> Group:
    far = [cluster.zone_group(name) for name in cluster.zones if name != zone]
    return Group("the other zones", tuple(range_ for group in far for range_ in group.ranges))


def all_see(witnesses: list[Witness], *, normal: bool) -> bool:
    return all(witness.look() == (witness.normal if normal else witness.expected) for witness in witnesses)


def test_every_zone_reaches_every_server(cluster: Cluster) -> None:
    assert {seen(cluster, zone, of) for zone in ZONES for of in ZONES} == {"answers"}


def test_a_killed_server_refuses_and_comes_back_at_its_address(cluster: Cluster) -> None:
    node = cluster.nodes["echo-az-b"]
    node.kill()
    assert not node.running()
    assert seen(cluster, "az-a", "az-b") == "refused"
    node.start()
    wait_until(lambda: seen(cluster, "az-a", "az-b") == "answers", 10, "the server to answer again")
    assert node.running()


def test_a_stopped_server_ends_within_its_grace(cluster: Cluster) -> None:
    node = cluster.nodes["echo-az-b"]
    node.stop(grace_s=5)
    assert not node.running()
    node.start()
    wait_until(lambda: seen(cluster, "az-a", "az-b") == "answers", 10, "the server to answer again")


def test_a_crash_is_witnessed_from_every_zone_and_healed(cluster: Cluster) -> None:
    node = cluster.nodes["echo-az-c"]
    witnesses = list(Crash().witnesses_on_node(cluster, node))
    with Crash().on_node(node):
        assert all_see(witnesses, normal=False)
    wait_until(lambda: all_see(witnesses, normal=True), 10, "the crash to be healed")


def test_a_restarted_server_was_asked_to_end(cluster: Cluster) -> None:
    node = cluster.nodes["echo-az-c"]
    witnesses = list(Restart().witnesses_on_node(cluster, node))
    before = node.logs().count(ENDED)
    with Restart().on_node(node):
        assert node.logs().count(ENDED) == before + 1
        assert all_see(witnesses, normal=False)
    wait_until(lambda: all_see(witnesses, normal=True), 10, "the server to answer again")


def test_a_server_that_does_not_end_within_its_grace_is_started_again_and_said(cluster: Cluster) -> None:
    node = cluster.nodes["echo-az-c"]
    node.run("sh", "-c", "kill -STOP -1")  # it is asked, and cannot answer
    with pytest.raises(ClusterError, match=r"echo-az-c's server did not end within 0.5 s"), Restart(grace_s=0.5).on_node(node):
        pass
    wait_until(lambda: seen(cluster, "az-a", "az-c") == "answers", 10, "the server to answer again")


def test_a_lost_host_is_silent_and_boots(cluster: Cluster) -> None:
    node = cluster.nodes["echo-az-b"]
    witnesses = list(LoseHost().witnesses_on_host(cluster, node))
    assert all_see(witnesses, normal=True)
    with LoseHost().on_host(cluster, node):
        assert {seen(cluster, zone, "az-b") for zone in ZONES} == {"silent"}
        assert not node.running()
        assert all_see(witnesses, normal=False)
    wait_until(lambda: all_see(witnesses, normal=True), 10, "the host to be there again")


def test_no_connection_of_a_lost_host_is_reset(cluster: Cluster) -> None:
    node, client = cluster.nodes["echo-az-b"], cluster.client("az-a")
    client.put("/run/harness/held.py", HELD.format(address=node.spec.address, port=PORT))
    client.spawn("python3", "/run/harness/held.py", log="held")

    def said() -> str:
        return client.logs("held")

    wait_until(lambda: "connected" in said(), 10, "a client to be connected")
    with LoseHost().on_host(cluster, node):
        client.put("/run/harness/ask", "")
        wait_until(lambda: len(said().split()) > 1, 10, "the client to have asked")
        assert said().split() == ["connected", "nothing"]
    # The kernel of a host that booted knows no old connection, and says so to whoever goes on asking.
    wait_until(lambda: said().split()[2:] == ["reset"], 30, "the client to hear of it")
    wait_until(lambda: seen(cluster, "az-a", "az-b") == "answers", 10, "the server to answer again")


def test_a_paused_server_takes_connections_and_is_silent(cluster: Cluster) -> None:
    node = cluster.nodes["echo-az-c"]
    witnesses = list(Pause().witnesses_on_node(cluster, node))
    with Pause().on_node(node):
        assert all_see(witnesses, normal=False)
    assert all_see(witnesses, normal=True)


def test_a_partition_silences_across_it_and_nothing_else(cluster: Cluster) -> None:
    a, b = cluster.zone_group("az-a"), others(cluster, "az-a")
    witnesses = list(Partition().witnesses_between(cluster, a, b))
    assert all_see(witnesses, normal=True)
    with Partition().between(cluster.network, a, b):
        assert seen(cluster, "az-a", "az-b") == seen(cluster, "az-b", "az-a") == seen(cluster, "az-c", "az-a") == "silent"
        assert seen(cluster, "az-a", "az-a") == seen(cluster, "az-b", "az-c") == "answers"
        assert all_see(witnesses, normal=False)
    assert all_see(witnesses, normal=True)


def test_a_partition_that_rejects_refuses_across_it_and_nothing_else(cluster: Cluster) -> None:
    a, b = cluster.zone_group("az-a"), others(cluster, "az-a")
    rejecting = Partition(how="reject")
    witnesses = list(rejecting.witnesses_between(cluster, a, b))
    assert all_see(witnesses, normal=True)
    with rejecting.between(cluster.network, a, b):
        assert seen(cluster, "az-a", "az-b") == seen(cluster, "az-b", "az-a") == seen(cluster, "az-c", "az-a") == "refused"
        assert seen(cluster, "az-a", "az-a") == seen(cluster, "az-b", "az-c") == "answers"
        assert all_see(witnesses, normal=False)
    assert all_see(witnesses, normal=True)


@pytest.mark.parametrize(("direction", "inside", "outside"), [("out", "refused", "silent"), ("in", "silent", "refused")])
def test_a_one_way_reject_tells_only_who_sends(cluster: Cluster, direction: str, inside: str, outside: str) -> None:
    a, b = cluster.zone_group("az-a"), others(cluster, "az-a")
    one_way = Partition(direction=direction, how="reject")  # type: ignore[arg-type]
    witnesses = list(one_way.witnesses_between(cluster, a, b))
    with one_way.between(cluster.network, a, b):
        assert (seen(cluster, "az-a", "az-b"), seen(cluster, "az-b", "az-a")) == (inside, outside)
        assert all_see(witnesses, normal=False)
    assert all_see(witnesses, normal=True)


@pytest.mark.parametrize("direction", ["out", "in"])
@pytest.mark.parametrize("whole_zone", [True, False], ids=["zone", "node"])
def test_the_witnesses_of_a_one_way_cut_see_which_way_it_goes(cluster: Cluster, direction: str, whole_zone: bool) -> None:
    node = cluster.nodes["echo-az-a"]
    a = cluster.zone_group("az-a") if whole_zone else Group(node.spec.name, (node.spec.address,))
    b = others(cluster, "az-a")
    one_way = Partition(direction=direction)  # type: ignore[arg-type]
    witnesses = list(one_way.witnesses_between(cluster, a, b))
    reverse = list(Partition(direction="in" if direction == "out" else "out").witnesses_between(cluster, a, b))
    assert all_see(witnesses, normal=True)
    with one_way.between(cluster.network, a, b):
        if not whole_zone:  # as every real server would, it says something unasked
            send_datagram(cluster, "az-a", "az-b", "unasked")
        assert all_see(witnesses, normal=False)
        assert not any(all_see([witness], normal=False) for witness in reverse if "packet counter" in witness.vantage)
    assert all_see(witnesses, normal=True)


@pytest.mark.parametrize(("direction", "arrives"), [("out", {"to"}), ("in", {"from"}), ("both", set())])
def test_a_cut_can_be_one_way(cluster: Cluster, direction: str, arrives: set[str]) -> None:
    a, b = cluster.zone_group("az-a"), others(cluster, "az-a")
    with Partition(direction=direction).between(cluster.network, a, b):  # type: ignore[arg-type]
        send_datagram(cluster, "az-b", "az-a", f"to-{direction}")
        send_datagram(cluster, "az-a", "az-b", f"from-{direction}")
        # What follows the same way within its own zone was sent later: once it is there, nothing is on its way any more.
        for zone in ("az-a", "az-b"):
            send_datagram(cluster, zone, zone, f"after-{direction}")
            wait_until(lambda zone=zone: f"after-{direction}" in cluster.nodes[f"echo-{zone}"].logs(), 10, "the last datagram")  # type: ignore[misc]
    heard = {"to": "az-a", "from": "az-b"}
    assert {way for way, at in heard.items() if f"{way}-{direction}" in cluster.nodes[f"echo-{at}"].logs()} == arrives


def test_a_cut_stays_in_force_when_the_server_restarts(cluster: Cluster) -> None:
    node = cluster.nodes["echo-az-a"]
    a, b = cluster.zone_group("az-a"), others(cluster, "az-a")
    with cluster.network.drop(a, b):
        node.kill()
        node.start()
        wait_until(lambda: seen(cluster, "az-a", "az-a") == "answers", 10, "the server to answer inside")
        assert seen(cluster, "az-b", "az-a") == "silent"
    assert seen(cluster, "az-b", "az-a") == "answers"


def test_the_same_place_is_not_cut_twice(cluster: Cluster) -> None:
    a, b = cluster.zone_group("az-a"), others(cluster, "az-a")
    with cluster.network.drop(a, b):
        with pytest.raises(ClusterError), cluster.network.drop(a, b):
            pass
        assert seen(cluster, "az-b", "az-a") == "silent"


def test_latency_slows_its_link_and_no_other(cluster: Cluster) -> None:
    slow, other = cluster.link("az-a", "writer"), cluster.link("az-b", "writer")
    fault = Latency(delay_ms=100, jitter_ms=20)
    [witness], [untouched] = fault.witnesses_on_link(cluster, slow), fault.witnesses_on_link(cluster, other)
    with fault.on_link(slow):
        assert witness.look() == witness.expected
        assert untouched.look() == untouched.normal
    assert witness.look() == witness.normal


def test_what_a_server_prints_is_in_its_log_and_in_the_report(cluster: Cluster, folder: Path) -> None:
    node = cluster.nodes["echo-az-a"]
    assert "listening" in node.logs()
    assert "listening" in (folder / "nodes" / node.spec.name / "server.log").read_text()


@pytest.fixture
def limits(runtime: Runtime) -> None:
    """A machine whose nodes can be limited, or a skip with the reason."""
    if runtime.name == "local" and (why := unavailable()):
        pytest.skip(why)


@pytest.mark.usefixtures("limits")
def test_a_node_that_comes_with_limits_is_kept_to_them(runtime: Runtime, cluster: Cluster, folder: Path) -> None:
    attached, name = runtime.attach(cluster.run_id, Echo(), folder), "echo-small"
    spec = NodeSpec(name, "az-a", "client", "other", attached.address("az-a"), None, limits=Limits(cpus=0.2, memory_mb=64))
    node = attached.add(spec)
    try:
        assert node.run("python3", "-c", "bytearray(300 << 20)").status != 0
        assert float(node.run("python3", "-c", BUSY).out) < 0.4
    finally:
        attached.remove(name)
        (folder / MEMBERS).unlink()


@pytest.mark.usefixtures("limits")
def test_a_memory_limit_is_in_force(cluster: Cluster) -> None:
    node = cluster.nodes["echo-az-b"]
    take = ("python3", "-c", "bytearray(300 << 20)")
    assert node.run(*take).status == 0
    node.limit(Limits(memory_mb=256))
    try:
        assert node.run(*take).status != 0
    finally:
        node.limit(Limits(memory_mb=4096))


BUSY = "import time; wall = time.monotonic()\nwhile time.monotonic() < wall + 1: pass\nprint(time.process_time())"


@pytest.mark.usefixtures("limits")
def test_a_cpu_limit_is_in_force(cluster: Cluster) -> None:
    client = cluster.client("az-c")
    client.limit(Limits(cpus=0.2))
    try:
        used = float(client.run("python3", "-c", BUSY).out)
    finally:
        client.limit(Limits(cpus=2))
    assert used < 0.4  # a period's length more, and what it was given before it began


def test_a_command_that_fails_says_so(cluster: Cluster) -> None:
    ran = cluster.nodes["echo-az-b"].run("sh", "-c", "echo no; exit 3")
    assert (ran.status, ran.out) == (3, "no\n")


def test_a_file_that_is_put_is_for_its_user_alone(cluster: Cluster) -> None:
    node = cluster.nodes["echo-az-b"]
    node.put("/run/harness/secret", 'it\'s "quoted"\n$HOME')
    assert node.run("cat", "/run/harness/secret").out == 'it\'s "quoted"\n$HOME'
    assert node.run("stat", "-c", "%a", "/run/harness/secret").out.strip() == "600"


def test_programs_of_this_machine_enter_through_toxiproxies_alone_on_loopback(cluster: Cluster) -> None:
    for node in cluster.nodes.values():
        assert bool(node.spec.published) == (node.spec.server == "toxiproxy"), node.spec.name
    for port in cluster.nodes["toxiproxy-az-a"].spec.published:
        assert cluster.published("toxiproxy-az-a", port)[0] == "127.0.0.1"
    with pytest.raises(ClusterError, match="not published"):
        cluster.published("echo-az-a", PORT)
    assert listening_beyond_loopback(cluster) == set()
    with socket.create_connection(cluster.entrance("az-b", "writer"), timeout=5) as entered:
        entered.sendall(QUESTION)
        assert entered.recv(1) == b"!"


def listening_beyond_loopback(cluster: Cluster) -> set[tuple[str, int]]:
    """Where this machine listens at one of the cluster's entrances, on another address than loopback's."""
    entrances = {cluster.entrance(zone, "writer")[1] for zone in ZONES}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    found = [(words[1].split(":")[0], int(words[1].split(":")[1], 16)) for words in lines if words[3] == "0A"]
    return {(address, port) for address, port in found if port in entrances and address != "0100007F"}


def test_a_node_comes_to_a_living_cluster_and_goes_and_neither_is_an_accident(cluster: Cluster) -> None:
    like = cluster.nodes["echo-az-b"].spec
    spec = replace(like, name="echo-az-b-2", address=cluster.address("az-b"))
    assert spec.address not in {node.spec.address for node in cluster.nodes.values()}
    asks = witnesses.Answer(cluster, cluster.client("az-a"), cast("Node", _Described(spec)), "answers")
    with cluster.watched() as accidents:
        node = cluster.add(spec)
        node.start()
        wait_until(lambda: asks.look() == "answers", 10, "the new server to answer")
        assert cluster.nodes["echo-az-b-2"] is node
        with pytest.raises(ClusterError, match="there is a node called echo-az-b-2 already"):
            cluster.add(spec)
        cluster.remove("echo-az-b-2")
        assert "echo-az-b-2" not in cluster.nodes
        wait_until(lambda: asks.look() == "silent", 10, "nobody to be at that address any more")
        with pytest.raises(ClusterError, match="there is no node called echo-az-b-2"):
            cluster.remove("echo-az-b-2")
        assert not [accident for accident in accidents.all() if accident.node in (None, *cluster.nodes)]
    assert Echo().healthy(cluster) is None
