"""Does a run end in one clear line, with nothing left behind, when an address or a port that it wants is taken?"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from docker.types import IPAMConfig, IPAMPool
from testcontainers.core.container import DockerContainer

from harness.errors import ClusterError
from harness.runtimes import docker
from tests.conformance.echo import Echo
from tests.conformance.leftovers import on_docker as left

SCENARIO = "title: Nothing is free\ntopology: rds-multi-az\nworkload: ledger\n"
BY_A_NETWORK, BY_A_ROUTE = "10.213.16.0/20", "10.213.32.0/20"


@contextmanager
def network_on(subnet: str) -> Iterator[None]:
    """Another program's network of the engine."""
    ipam = IPAMConfig(pool_configs=[IPAMPool(subnet)])
    network = docker.engine().networks.create(f"taken-{subnet.partition('/')[0]}-{os.getpid()}", driver="bridge", ipam=ipam)
    try:
        yield
    finally:
        network.remove()


@contextmanager
def route_to(subnet: str) -> Iterator[None]:
    """A route such as a VPN's."""
    if os.geteuid() or not shutil.which("ip"):
        if os.environ.get("HARNESS_REQUIRE_DOCKER") == "1":
            pytest.fail("needs root and iproute2 (HARNESS_REQUIRE_DOCKER=1)")
        pytest.skip("making a route needs root and iproute2")
    subprocess.run(["ip", "route", "add", subnet, "dev", "lo"], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "route", "del", subnet, "dev", "lo"], check=True)


def run(folder: Path, network: str, *options: str) -> tuple[int, str, str]:
    """`harness run` where clusters may take their addresses from this range alone."""
    (folder / "taken.yaml").write_text(SCENARIO)
    ran = subprocess.run(
        [sys.executable, "-m", "harness", "run", "taken.yaml", "--runtime", "docker", *options],
        capture_output=True, text=True, check=False, cwd=folder, env=os.environ | {docker.RANGE: network},
    )  # fmt: skip
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize(
    ("taken", "subnet"),
    [pytest.param(network_on, BY_A_NETWORK, marks=pytest.mark.slow), (route_to, BY_A_ROUTE)],
    ids=["network", "route"],
)
def test_where_every_range_of_addresses_is_taken_it_is_said_in_one_line(tmp_path: Path, taken: object, subnet: str) -> None:
    assert callable(taken)
    with taken(subnet):
        code, out, err = run(tmp_path, subnet)
    assert code == 3
    [said] = [line for line in out.splitlines() if line.startswith("UNKNOWN")]
    assert f"every subnet of {subnet} is in use" in said
    assert f"{docker.RANGE}=" in said, "what mends it"
    assert "Traceback" not in out + err


def test_ranges_that_others_have_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(docker.RANGE, "10.213.0.0/18")  # four subnets, of which two are taken
    (tmp_path / "history").mkdir()
    free = IPv4Network("10.213.32.0/20")
    with (
        network_on("10.213.0.0/20"),
        network_on(BY_A_NETWORK),
        docker.Docker(progress=lambda line: None).launch(Echo(), tmp_path) as made,
    ):
        run_id = made.run_id
        assert all(IPv4Address(node.spec.address) in free for node in made.nodes.values())
    assert left(run_id) == []


def test_a_port_that_is_taken_ends_the_start_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "history").mkdir()
    seen: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        def publish(container: DockerContainer, *ports: int) -> DockerContainer:
            return container.with_bind_ports(ports[0], port) if ports else container

        monkeypatch.setattr(DockerContainer, "with_exposed_ports", publish)
        real = docker._network

        def network(run_id: str, owner: str) -> tuple[str, IPv4Network]:
            seen.append(run_id)
            return real(run_id, owner)

        monkeypatch.setattr(docker, "_network", network)
        said = "toxiproxy-az-. could not be started: .*address already in use"
        launched = docker.Docker(progress=lambda line: None).launch(Echo(), tmp_path)
        with pytest.raises(ClusterError, match=said) as refused, launched:
            pass
    assert "\n" not in str(refused.value)
    assert left(*seen) == []


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("10.0.0.0/24", "HARNESS_NETWORK=10.0.0.0/24: too small for a cluster, which takes a /20"),
        ("10.0.0.1/16", "HARNESS_NETWORK=10.0.0.1/16: 10.0.0.1/16 has host bits set"),
        ("fd00::/64", "HARNESS_NETWORK=fd00::/64: "),
        ("lan", "HARNESS_NETWORK=lan: "),
    ],
)
def test_a_range_that_is_none_is_a_usage_error(tmp_path: Path, told: str, said: str) -> None:
    code, out, err = run(tmp_path, told)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(said)
    assert not (tmp_path / "reports").exists()


def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    code, out, err = run(tmp_path, docker.RANGE_UNLESS_TOLD, "--reports", "taken.yaml/reports")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == "taken.yaml/reports/taken: no report can be written there: Not a directory"
