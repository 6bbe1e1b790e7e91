"""Who can reach a cluster: this machine alone, by its loopback ports and its bridge, or a neighbour in the LAN, too?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from harness.protocols import Cluster
from harness.runtimes.docker import Docker, DockerCluster, DockerNode
from harness.topologies.rds_multi_az import RdsMultiAz

TABLES = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}  # the state of a socket that takes what comes
TRY = """
import socket, sys
for pair in sys.argv[1:]:
    host, port = pair.split(":")
    with socket.socket() as tried:
        tried.settimeout(1)
        print(pair, "reached" if tried.connect_ex((host, int(port))) == 0 else "not reached")
"""
# Of the third range that is kept for documentation (RFC 5737).
HERE, NEIGHBOUR = "203.0.113.1", "203.0.113.2"


def listening() -> set[tuple[str, str, int]]:
    """Every socket of the host that takes connections or datagrams: protocol, address, port."""
    found = set()
    for protocol, state in TABLES.items():
        for line in Path(f"/proc/net/{protocol}").read_text().splitlines()[1:]:
            local, _, is_in = line.split()[1:4]
            if is_in == state:
                address, _, port = local.partition(":")
                # Words of four bytes, each in the machine's order.
                words = [int.from_bytes(bytes.fromhex(address[at : at + 8]), sys.byteorder) for at in range(0, len(address), 8)]
                found.add((protocol, str(ip_address(b"".join(word.to_bytes(4, "big") for word in words))), int(port, 16)))
    return found


@contextmanager
def rds(folder: Path) -> Iterator[Cluster]:
    """PostgreSQL, Patroni, etcd and HAProxy, all serving."""
    (folder / "history").mkdir(parents=True)
    topology = RdsMultiAz()
    with Docker(progress=lambda line: None).launch(topology, folder) as cluster:
        topology.form(cluster, lambda line: None)
        yield cluster


@pytest.fixture(scope="module")
def before() -> set[tuple[str, str, int]]:
    return listening()


@pytest.fixture(scope="module")
def cluster(before: set[tuple[str, str, int]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with rds(tmp_path_factory.mktemp("reachable")) as made:
        yield made


def ports(cluster: Cluster) -> set[int]:
    """The ports at which the cluster can be reached from the host."""
    return {
        int(binding["HostPort"])
        for node in cluster.nodes.values()
        if isinstance(node, DockerNode)
        for bindings in node.container.ports.values()
        for binding in bindings or ()
    }


def test_what_listens_on_the_host_listens_on_loopback_alone(before: set[tuple[str, str, int]], cluster: Cluster) -> None:
    fresh = listening() - before
    mine = ports(cluster)
    assert len(mine) == 3 * len(cluster.zones), "the API, the writer and the reader of each zone's Toxiproxy"
    assert mine <= {port for _, address, port in fresh if address == "127.0.0.1"}
    assert {found for found in fresh if not ip_address(found[1]).is_loopback} == set()


def served(cluster: Cluster) -> list[str]:
    """Every address and port at which a server of the cluster listens within its network."""
    toxiproxy = [f"{cluster.nodes[f'toxiproxy-{zone}'].spec.address}:{port}" for zone in cluster.zones for port in (8474, 15000)]
    database = [f"{cluster.nodes[f'pg-{zone}'].spec.address}:{port}" for zone in cluster.zones for port in (5432, 8008)]
    others = [
        f"{cluster.nodes[f'{name}-{zone}'].spec.address}:{port}"
        for zone in cluster.zones
        for name, port in (("manager", 2379), ("haproxy", 5000))
    ]
    return toxiproxy + database + others


def test_this_machine_reaches_every_server_by_its_address(cluster: Cluster) -> None:
    tried = subprocess.run([sys.executable, "-c", TRY, *served(cluster)], capture_output=True, text=True, check=True)
    assert [line for line in tried.stdout.splitlines() if "not reached" in line] == []


@pytest.fixture
def neighbour() -> Iterator[list[str]]:
    """The command prefix that runs something as another machine of the LAN, which sends what is for 198.18.0.0/15 here."""
    if os.geteuid() or not shutil.which("ip"):
        if os.environ.get("HARNESS_REQUIRE_DOCKER") == "1":
            pytest.fail("needs root and iproute2 (HARNESS_REQUIRE_DOCKER=1)")
        pytest.skip("playing a neighbour needs root and iproute2")
    name, link = f"harness-{os.getpid()}", f"hn{os.getpid()}"

    def ip(words: str) -> None:
        subprocess.run(["ip", *words.split()], check=True, capture_output=True)

    ip(f"netns add {name}")
    try:
        ip(f"link add {link} type veth peer name {link}p netns {name}")
        ip(f"addr add {HERE}/30 dev {link}")
        ip(f"link set {link} up")
        ip(f"-n {name} addr add {NEIGHBOUR}/30 dev {link}p")
        ip(f"-n {name} link set {link}p up")
        ip(f"-n {name} route add 198.18.0.0/15 via {HERE}")
        yield ["ip", "netns", "exec", name]
    finally:
        ip(f"netns del {name}")  # takes the link with it


def test_a_neighbour_who_routes_to_the_cluster_reaches_no_server_of_it(cluster: Cluster, neighbour: list[str]) -> None:
    assert isinstance(cluster, DockerCluster)
    dropped = cluster.network.kept_out()
    pairs = [*served(cluster), *(f"{HERE}:{port}" for port in ports(cluster))]
    tried = subprocess.run([*neighbour, sys.executable, "-c", TRY, *pairs], capture_output=True, text=True, check=True)
    assert [line for line in tried.stdout.splitlines() if "not reached" not in line] == []
    assert cluster.network.kept_out() >= dropped + len(served(cluster)), "its packets did arrive here, and were dropped"


def test_healing_every_cut_lets_no_neighbour_in(cluster: Cluster, neighbour: list[str]) -> None:
    assert isinstance(cluster, DockerCluster)
    cluster.network.heal()
    pair = served(cluster)[0]
    tried = subprocess.run([*neighbour, sys.executable, "-c", TRY, pair], capture_output=True, text=True, check=True)
    assert tried.stdout == f"{pair} not reached\n"
