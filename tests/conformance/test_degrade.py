"""Is the network between zones as slow, lossy and narrow as was asked for, and only there, and only until it is healed?"""

from __future__ import annotations

import itertools
import json
import re
import signal
import statistics
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from harness.clock import wait_until
from harness.errors import ClusterError
from harness.faults.degrade import Degrade
from harness.faults.partition import Partition
from harness.protocols import Cluster, Group, Node, Runtime, Witness
from harness.witnesses import ECHOES, LOOK
from tests.conformance.echo import PORT, QUESTION, seen
from tests.conformance.test_nodes import all_see, others

BULK_PORT = 7100
# Takes one connection to its end, and says how many bytes came in how many seconds, from the first to the last, and their sum.
SINK = f"""
import socket, time, zlib
with socket.create_server(("0.0.0.0", {BULK_PORT})) as server:
    print("listening", flush=True)
    with server.accept()[0] as taken:
        got = taken.recv(1 << 18)
        size, total, began = len(got), zlib.crc32(got), time.monotonic()
        while got := taken.recv(1 << 18):
            size += len(got)
            total = zlib.crc32(got, total)
        print("took", size, time.monotonic() - began, total, flush=True)
        taken.sendall(b"!")
"""
# No two pieces are alike, so that none passes for another one.
SOURCE = """
import random, socket, sys, zlib
pieces, total = random.Random(1), 0
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as to:
    for _ in range(int(sys.argv[3])):
        piece = pieces.randbytes(100_000)
        total = zlib.crc32(piece, total)
        to.sendall(piece)
    to.shutdown(socket.SHUT_WR)
    to.recv(1)
print(total)
"""
DATAGRAMS = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as to:
    for number in range(int(sys.argv[3])):
        to.sendto(f"{sys.argv[4]}-{number}".encode(), (sys.argv[1], int(sys.argv[2])))
        time.sleep(float(sys.argv[5]))
"""


# A cluster with a shape in force, until it is killed.
SHAPED = """
import pathlib, signal, sys
sys.path.insert(0, {root!r})
from harness import runtimes
from harness.faults.degrade import Degrade
from tests.conformance.echo import Echo
topology = Echo()
with runtimes.called({runtime!r}, {{}}, lambda line: None).launch(topology, pathlib.Path({folder!r})) as cluster:
    topology.form(cluster, lambda line: None)
    with Degrade(delay_ms=10).between(cluster.network, cluster.zone_group("az-a"), cluster.zone_group("az-b")):
        print(cluster.network.carrier.bridge, cluster.network.carrier.path, flush=True)
        signal.pause()
"""


@pytest.fixture
def sides(cluster: Cluster) -> tuple[Group, Group]:
    """Zone az-a, and all the others."""
    return cluster.zone_group("az-a"), others(cluster, "az-a")


SINKS = itertools.count()  # each has a log of its own


def server(cluster: Cluster, zone: str) -> Node:
    return cluster.nodes[f"echo-{zone}"]


def echoes_ms(cluster: Cluster, zone: str, of: str, times: int) -> list[float]:
    """How long each of many packets took there and back."""
    ran = cluster.client(zone).run(*ECHOES, server(cluster, of).spec.address, str(times), "84", "0.01", "1")
    found: list[float] = json.loads(ran.out)["round_trips_ms"]
    return found


def round_trip_ms(cluster: Cluster, zone: str, of: str) -> float:
    """The least time there and back, by the kernels' word: no packet is early, and a busy machine only ever adds to it."""
    return min(echoes_ms(cluster, zone, of, 20))


def first_answers_ms(cluster: Cluster, zone: str, of: str, times: int) -> list[float]:
    """How long after each question over TCP a server's first answer came."""
    question = (*LOOK, "delay", server(cluster, of).spec.address, str(PORT), QUESTION.hex(), str(times))
    return [float(word) for word in cluster.client(zone).run(*question).out.split()]


def retransmitted(node: Node) -> tuple[int, int]:
    """How many TCP segments a node has sent so far, and how many of them again."""
    names, values = (line.split() for line in node.run("cat", "/proc/net/snmp").out.splitlines() if line.startswith("Tcp:"))
    counts = dict(zip(names, values, strict=True))
    return int(counts["OutSegs"]), int(counts["RetransSegs"])


def bulk(cluster: Cluster, zone: str, to: str, megabytes: float) -> float:
    """Bytes per second that arrive, just as they were sent, when a client sends as fast as it can."""
    sink, log = server(cluster, to), f"sink-{next(SINKS)}"
    sink.spawn("python3", "-c", SINK, log=log)
    wait_until(lambda: "listening" in sink.logs(log), 10, "the sink to listen")
    amount = str(int(megabytes * 10))
    sent = cluster.client(zone).run("python3", "-c", SOURCE, sink.spec.address, str(BULK_PORT), amount)
    took = re.search(r"took (\d+) (\S+) (\d+)", sink.logs(log))
    assert took
    assert (sent.status, took[1], took[3]) == (0, str(int(amount) * 100_000), sent.out.strip()), "not all of it arrived as it was"
    return int(took[1]) / float(took[2])


def datagrams(cluster: Cluster, zone: str, to: str, times: int, word: str, every_s: float) -> list[int]:
    """The numbers of those datagrams that arrived, in the order in which they did."""
    target = server(cluster, to)

    def send(count: int, called: str) -> None:
        sent = (target.spec.address, str(PORT), str(count), called, str(every_s))
        assert cluster.client(zone).run("python3", "-c", DATAGRAMS, *sent).status == 0

    def ended() -> bool:
        """On the same way, behind all the others: from elsewhere it would overtake those that are still delayed."""
        send(1, f"{word}-end")
        return f"{word}-end" in target.logs()

    send(times, word)
    wait_until(ended, 10, "the last datagram to be noted")
    return [int(number) for number in re.findall(rf"datagram {word}-(\d+)", target.logs())]


def test_ten_milliseconds_each_way_are_a_round_trip_of_twenty(cluster: Cluster, sides: tuple[Group, Group]) -> None:
    with Degrade(delay_ms=10).between(cluster.network, *sides):
        assert round_trip_ms(cluster, "az-a", "az-b") == pytest.approx(20, abs=1)
        assert round_trip_ms(cluster, "az-c", "az-a") == pytest.approx(20, abs=1)
        assert round_trip_ms(cluster, "az-a", "az-a") < 5
        assert round_trip_ms(cluster, "az-b", "az-c") < 5
        assert min(first_answers_ms(cluster, "az-a", "az-b", 10)) >= 20
    assert round_trip_ms(cluster, "az-a", "az-b") < 5
    assert cluster.network.carried(*sides) is None


@pytest.mark.parametrize("direction", ["out", "in"])
def test_one_way_delays_half_of_the_round_trip(cluster: Cluster, sides: tuple[Group, Group], direction: str) -> None:
    fault = Degrade(delay_ms=10, direction=direction)  # type: ignore[arg-type]
    with fault.between(cluster.network, *sides):
        assert round_trip_ms(cluster, "az-a", "az-b") == pytest.approx(10, abs=1)
        assert all_see(list(fault.witnesses_between(cluster, *sides)), normal=False)


def test_jitter_spreads_packets_and_none_overtakes_another(cluster: Cluster, sides: tuple[Group, Group]) -> None:
    with Degrade(delay_ms=20, jitter_ms=15, direction="out").between(cluster.network, *sides):
        took = echoes_ms(cluster, "az-a", "az-b", 100)
        arrived = datagrams(cluster, "az-a", "az-b", 500, "jitter", 0.001)
    assert 4 < min(took) < 20 < max(took)
    assert statistics.stdev(took) > 2
    assert arrived == list(range(500))


def test_one_packet_in_ten_is_lost_and_tcp_sends_each_again(cluster: Cluster, sides: tuple[Group, Group]) -> None:
    client = cluster.client("az-a")
    with Degrade(loss_share=0.1, direction="out").between(cluster.network, *sides):
        arrived = datagrams(cluster, "az-a", "az-b", 2000, "lost", 0.0005)
        _, before = retransmitted(client)
        first = cluster.network.carried(*sides)
        bulk(cluster, "az-a", "az-b", 4)
        again = retransmitted(client)[1] - before
        carried = cluster.network.carried(*sides)
    assert 1 - len(arrived) / 2000 == pytest.approx(0.1, abs=0.03)
    assert first
    assert carried
    assert carried.lost / carried.taken == pytest.approx(0.1, abs=0.02)
    # How much TCP sends again beside it is its own affair: on a busy machine it takes for lost what is only late.
    assert again >= 0.9 * (carried.lost - first.lost)
    assert (carried.unreachable, carried.missed) == (0, 0)


def test_a_rate_is_what_arrives(cluster: Cluster, sides: tuple[Group, Group]) -> None:
    with Degrade(rate_bytes_per_s=2e6).between(cluster.network, *sides):
        assert bulk(cluster, "az-a", "az-b", 4) == pytest.approx(2e6, rel=0.1)
    assert bulk(cluster, "az-a", "az-b", 20) > 20e6


def test_bulk_keeps_thirty_megabytes_a_second_under_a_delay(cluster: Cluster, sides: tuple[Group, Group]) -> None:
    with Degrade(delay_ms=10).between(cluster.network, *sides):
        assert max(bulk(cluster, "az-a", "az-b", 100) for _ in range(3)) > 30e6


@pytest.mark.parametrize(
    "fault",
    [Degrade(delay_ms=50, jitter_ms=10), Degrade(loss_share=0.02), Degrade(rate_bytes_per_s=1e6), Degrade(loss_share=0.3)],
    ids=["delay", "loss", "rate", "heavy loss"],
)
def test_what_is_degraded_is_witnessed_from_both_sides_and_healed(
    cluster: Cluster, sides: tuple[Group, Group], fault: Degrade
) -> None:
    witnesses = list(fault.witnesses_between(cluster, *sides))
    assert all_see(witnesses, normal=True)
    with fault.between(cluster.network, *sides):
        wait_until(lambda: all_see(witnesses, normal=False), 5, "the effect to be witnessed")
    assert all_see(witnesses, normal=True)


def test_two_shapes_of_overlapping_groups_add_up(cluster: Cluster, sides: tuple[Group, Group]) -> None:
    with ExitStack() as both:
        both.enter_context(Degrade(delay_ms=10).between(cluster.network, *sides))
        second = ExitStack()
        with second:
            b = cluster.zone_group("az-b")
            second.enter_context(Degrade(delay_ms=20).between(cluster.network, b, others(cluster, "az-b")))
            assert round_trip_ms(cluster, "az-a", "az-b") == pytest.approx(60, abs=2)
            assert round_trip_ms(cluster, "az-b", "az-c") == pytest.approx(40, abs=2)
        assert round_trip_ms(cluster, "az-a", "az-b") == pytest.approx(20, abs=1)
        both.enter_context(Degrade(delay_ms=5).between(cluster.network, *sides))
        assert round_trip_ms(cluster, "az-a", "az-c") == pytest.approx(30, abs=1)


def test_a_cut_is_a_cut_for_shaped_packets_too(cluster: Cluster, sides: tuple[Group, Group]) -> None:
    cut: list[Witness] = list(Partition().witnesses_between(cluster, *sides))
    with Degrade(delay_ms=10).between(cluster.network, *sides):
        with Partition().between(cluster.network, *sides):
            assert seen(cluster, "az-a", "az-b") == seen(cluster, "az-b", "az-a") == "silent"
            assert all_see(cut, normal=False)
        assert round_trip_ms(cluster, "az-a", "az-b") == pytest.approx(20, abs=1)
    with Partition(direction="out").between(cluster.network, *sides), Degrade(delay_ms=10).between(cluster.network, *sides):
        one_way = list(Partition(direction="out").witnesses_between(cluster, *sides))
        assert all_see(one_way, normal=False)
    assert all_see(cut, normal=True)


def test_a_shape_is_in_force_over_a_restart_of_the_node(cluster: Cluster, sides: tuple[Group, Group]) -> None:
    node = server(cluster, "az-a")
    with Degrade(delay_ms=10).between(cluster.network, *sides):
        node.kill()
        assert seen(cluster, "az-b", "az-a") == "refused"
        node.start()
        wait_until(lambda: seen(cluster, "az-b", "az-a") == "answers", 10, "the server to answer again")
        assert round_trip_ms(cluster, "az-b", "az-a") == pytest.approx(20, abs=1)


def test_nothing_is_lost_when_a_shape_begins_or_ends(cluster: Cluster, sides: tuple[Group, Group]) -> None:
    """Each packet is bridged or carried: none falls between the two, and none goes both ways."""
    target, client = server(cluster, "az-b"), cluster.client("az-a")
    sent = (target.spec.address, str(PORT), "3000", "handed", "0.001")
    client.spawn("python3", "-c", DATAGRAMS, *sent, log="handed")
    wait_until(lambda: "handed-" in target.logs(), 10, "the first datagram")
    for _ in range(3):
        with Degrade(delay_ms=5).between(cluster.network, *sides):
            assert seen(cluster, "az-a", "az-b") == "answers"
    wait_until(lambda: "handed-2999" in target.logs(), 20, "the last datagram")
    assert sorted(int(number) for number in re.findall(r"handed-(\d+)", target.logs())) == list(range(3000))


def test_nothing_passes_when_the_carrier_has_died(cluster: Cluster, sides: tuple[Group, Group]) -> None:
    fault = Degrade(delay_ms=10)
    carrier = cluster.network.carrier  # type: ignore[attr-defined]  # of the runtimes' own networks
    with fault.between(cluster.network, *sides):
        process = carrier._tell({"begin": []})["process"]
        carrier.run(["kill", "-KILL", str(process)])
        wait_until(lambda: seen(cluster, "az-a", "az-b") == "silent", 5, "packets to be held up")
        assert cluster.network.carried(*sides) is None
        assert not all_see(list(fault.witnesses_between(cluster, *sides)), normal=False)
    assert seen(cluster, "az-a", "az-b") == "answers"
    with fault.between(cluster.network, *sides):
        assert round_trip_ms(cluster, "az-a", "az-b") == pytest.approx(20, abs=1)


def test_restoring_ends_every_shape(cluster: Cluster, sides: tuple[Group, Group]) -> None:
    shaped = Degrade(delay_ms=100).between(cluster.network, *sides)
    shaped.__enter__()
    cluster.network.heal()  # type: ignore[attr-defined]  # of the runtimes' own networks
    assert round_trip_ms(cluster, "az-a", "az-b") < 5
    assert cluster.network.carried(*sides) is None
    with pytest.raises(ClusterError):  # its rules are gone already
        shaped.__exit__(None, None, None)


def carriers(*words: str) -> list[str]:
    """The processes of this machine that carry packets for the bridge and the path that are named."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            argv = file.read_bytes().decode().split("\0")
            found += [file.parent.name] if "tell" in argv and set(words) <= set(argv) else []
    return found


def test_no_carrier_outlives_a_harness_that_is_killed(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    script = SHAPED.format(root=str(Path(__file__).parents[2]), runtime=runtime.name, folder=str(tmp_path))
    harness = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert harness.stdout is not None
    words = harness.stdout.readline().split()
    assert len(words) == 2, "the harness never said that packets are shaped"
    assert carriers(*words)
    harness.send_signal(signal.SIGKILL)
    harness.wait(timeout=30)
    harness.stdout.close()
    wait_until(lambda: not carriers(*words), 10, "the carrier to be gone", every_s=0.5)
