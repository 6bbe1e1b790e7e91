"""Does the doctor say what is missing, in a line that says what mends it, whatever is broken?"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import cli, doctor
from harness.doctor import Examined


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)


def harness(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], str]:
    """The exit code, the lines on stdout, and what is on stderr."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out.splitlines(), err


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], int]]:
    """Starts a server that answers every connection with these bytes, and then keeps it open; gives its port."""
    servers = []

    def start(said: bytes) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)
        taken = []

        def serve() -> None:
            try:
                while True:
                    taken.append(server.accept()[0])
                    taken[-1].sendall(said)
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()
        port = server.getsockname()[1]
        assert isinstance(port, int)
        return port

    yield start
    for server in servers:
        server.close()


BROKEN = ("no socket", "no port", "silent", "no http", "no api", "no address", "no certificate")


@pytest.fixture(params=BROKEN)
def broken_engine(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, answering: Callable[[bytes], int], tmp_path: Path
) -> None:
    """Every way in which no engine answers where DOCKER_HOST says that there is one."""
    from harness.runtimes import engine

    monkeypatch.setattr(engine, "CONNECT_WITHIN_S", 1)
    refusal = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
    hosts: dict[str, Callable[[], str]] = {
        "no socket": lambda: f"unix://{tmp_path}/nowhere.sock",
        "no port": lambda: "tcp://127.0.0.1:1",
        "silent": lambda: f"tcp://127.0.0.1:{answering(b'')}",
        "no http": lambda: f"tcp://127.0.0.1:{answering(b'SSH-2.0-OpenSSH')}",
        "no api": lambda: f"tcp://127.0.0.1:{answering(refusal)}",
        "no address": lambda: "nonsense://[",
        "no certificate": lambda: "tcp://127.0.0.1:1",
    }
    monkeypatch.setenv("DOCKER_HOST", hosts[request.param]())
    if request.param == "no certificate":
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path / "nowhere"))


@pytest.fixture(autouse=True)
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine is all that this machine could have."""
    refused = Examined("local runtime", False, "user.max_user_namespaces is 0", "allow what it names", "--runtime local")
    monkeypatch.setattr(doctor, "_local", lambda: refused)


@pytest.mark.usefixtures("broken_engine")
def test_no_engine_is_needed_where_nodes_can_be_namespaces(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_local", lambda: Examined("local runtime", True, "namespaces can be made"))
    code, out, _ = harness(capsys, "doctor")
    assert code == 0
    assert out[-1].startswith("--  not here: engine: no Docker engine answers (")
    assert out[-1].endswith("; needed by --runtime docker")


@pytest.mark.usefixtures("broken_engine")
def test_an_engine_that_does_not_answer_is_one_line_that_says_what_mends_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = harness(capsys, "doctor")
    assert (code, err) == (3, "")
    [line] = [line for line in out if line.startswith("NO ")]
    assert line.startswith("NO  engine: no Docker engine answers (")
    assert line.endswith("see https://docs.docker.com/engine/install/")
    assert out[-1] == line, "nothing is examined that needs an engine"


@pytest.mark.usefixtures("broken_engine")
@pytest.mark.parametrize("command", ["run", "clean"])
def test_without_an_engine_a_command_ends_in_one_line(capsys: pytest.CaptureFixture[str], command: str, tmp_path: Path) -> None:
    Path("one.yaml").write_text("title: One\ntopology: rds-multi-az\nworkload: ledger\n")
    code, out, err = harness(capsys, command, *(["one.yaml", "--runtime", "docker"] if command == "run" else []))
    assert (code, out) == (3, [])
    assert err.splitlines()[-1].startswith("this machine cannot run it: no Docker engine answers (")
    assert not Path("reports").exists()


@pytest.mark.usefixtures("broken_engine")
def test_another_program_reads_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = harness(capsys, "doctor", "--json")
    found = {line["what"]: line for line in json.loads("\n".join(out))}
    assert code == 3
    assert found["engine"]["well"] is False
    assert "docs.docker.com" in found["engine"]["mend"]
    assert found["docker extra"] == {
        "what": "docker extra", "well": True, "seen": "installed", "mend": "", "needed_by": "every run",
    }  # fmt: skip


def test_without_the_docker_extra_nothing_of_an_engine_is_examined(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "testcontainers", None)
    code, out, _ = harness(capsys, "doctor")
    assert code == 3
    assert out[-1] == "NO  docker extra: testcontainers missing; pip install 'failover-harness[docker]'"


def test_what_only_some_faults_need_fails_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        Examined("engine", True, "Docker 1"),
        Examined("netem", False, "refused", "modprobe sch_netem", "faults that delay packets"),
    ]
    monkeypatch.setattr(doctor, "doctor", lambda progress: iter(found))
    code, out, _ = harness(capsys, "doctor")
    assert code == 0
    assert out == [
        "ok  engine: Docker 1",
        "--  not here: netem: refused; modprobe sch_netem; needed by faults that delay packets",
    ]
    found.append(Examined("memory", False, "0.1 GiB free", "free some"))
    assert harness(capsys, "doctor")[0] == 3


@pytest.mark.parametrize(("free_kb", "well"), [(1024 * 1024, False), (4 * 1024 * 1024, True)])
def test_too_little_memory_is_said_before_a_node_is_killed_for_it(tmp_path: Path, free_kb: int, well: bool) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal:       16000000 kB\nMemAvailable:   {free_kb} kB\nHugePages_Total:       0\n")
    assert doctor._memory(meminfo).well is well
    assert not doctor._memory(tmp_path / "nowhere").well


def test_a_clock_that_is_slow_to_read_spoils_only_small_figures(tmp_path: Path) -> None:
    source = tmp_path / "current_clocksource"
    for name, well in (("tsc\n", True), ("hpet\n", False), ("acpi_pm\n", False)):
        source.write_text(name)
        examined = doctor._clock(source)
        assert (examined.well, examined.allows_runs) == (well, True)
