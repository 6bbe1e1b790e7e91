"""Is the runtime taken that this machine can have, and is it said which, why, and what would mend it?"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from harness import runtimes
from harness.errors import ClusterError, RuntimeUnavailable, UsageError
from harness.namespaces import kernel, limits, servers
from harness.protocols import Limits, Runtime

NOBODY: dict[str, str] = {}
LOCAL, DOCKER = cast("Runtime", object()), cast("Runtime", object())


def raising(problem: Exception) -> Callable[..., object]:
    def refuse(*_: object) -> object:
        raise problem

    return refuse


@pytest.fixture
def told() -> list[str]:
    return []


# --- auto ----------------------------------------------------------------------------------------------------


def test_auto_takes_local_and_says_so(monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    monkeypatch.setattr(runtimes, "_local", lambda *_: LOCAL)
    assert runtimes.called("auto", NOBODY, told.append) is LOCAL
    assert told == ["runtime local: nodes are namespaces of this machine"]


def test_auto_takes_docker_where_local_cannot_be_had_and_says_why(monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    monkeypatch.setattr(runtimes, "_local", raising(RuntimeUnavailable("user.max_user_namespaces is 0")))
    monkeypatch.setattr(runtimes, "_docker", lambda *_: DOCKER)
    assert runtimes.called("auto", NOBODY, told.append) is DOCKER
    assert told == ["runtime docker, since local cannot be had: user.max_user_namespaces is 0"]


def test_a_scenario_that_names_images_wants_containers(monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    monkeypatch.setattr(runtimes, "_docker", lambda *_: DOCKER)
    assert runtimes.called("auto", {"postgres": "mine:1"}, told.append) is DOCKER
    assert told == ["runtime docker, since local cannot be had: the scenario names images (postgres), which only docker has"]
    with pytest.raises(UsageError, match=r"images \(postgres\)"):
        runtimes.called("local", {"postgres": "mine:1"}, told.append)


def test_where_neither_can_be_had_both_reasons_are_given(monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    monkeypatch.setattr(runtimes, "_local", raising(RuntimeUnavailable("no namespaces")))
    monkeypatch.setattr(runtimes, "_docker", raising(RuntimeUnavailable("no engine")))
    with pytest.raises(RuntimeUnavailable, match="no runtime can be had; local: no namespaces; docker: no engine"):
        runtimes.called("auto", NOBODY, told.append)


def test_an_unknown_runtime_is_refused(told: list[str]) -> None:
    with pytest.raises(UsageError, match="no runtime called 'podman'; known: auto, docker, local"):
        runtimes.called("podman", NOBODY, told.append)


# --- what forbids namespaces ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "said"), [("0", "is 0; sysctl -w it=1"), ("1", "Operation not permitted; a container's own")])
def test_the_setting_that_forbids_namespaces_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, said: str
) -> None:
    (tmp_path / "setting").write_text(f"{value}\n")
    monkeypatch.setattr(kernel, "_SETTINGS", ((str(tmp_path / "setting"), lambda found: found == "0", "sysctl -w it=1"),))
    assert said in kernel.forbidden(PermissionError(1, "Operation not permitted"))


# --- servers -------------------------------------------------------------------------------------------------


def test_a_family_that_nobody_knows_is_missing() -> None:
    assert servers.missing("oracle") == ["oracle"]
    assert "oracle" not in servers.Families()


def test_programs_that_are_not_on_path_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("postgres", "psql"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(servers, "path", lambda: str(tmp_path))
    assert servers.missing("postgres") == ["initdb", "pg_ctl", "pg_basebackup", "pg_rewind", "patroni"]


# --- limits --------------------------------------------------------------------------------------------------


def test_limits_are_for_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with pytest.raises(ClusterError, match="pg-az-a could not be limited: only root may limit nodes' CPU and memory"):
        limits.apply("0123", "pg-az-a", 1, Limits(cpus=1), tmp_path)


def test_limits_of_a_node_that_has_ended_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    for tree in ("cpu", "memory"):
        (tmp_path / tree).mkdir()
        (tmp_path / tree / "cgroup.procs").touch()
    with pytest.raises(ClusterError, match="pg-az-a could not be limited: its process 1 has ended"):
        limits.apply("0123", "pg-az-a", 1 << 30, Limits(cpus=1), tmp_path)


def test_a_machine_without_control_groups_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert limits.unavailable(tmp_path) == f"{tmp_path} has no control group of CPU and memory that could be divided"


@pytest.mark.parametrize("version", [1, 2])
def test_limits_are_written_as_each_version_of_control_groups_takes_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: int
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    if version == 1:
        trees = {"cpu": tmp_path / "cpu", "memory": tmp_path / "memory"}
        for tree in trees.values():
            tree.mkdir()
            (tree / "cgroup.procs").touch()
    else:
        trees = {"cpu": tmp_path, "memory": tmp_path}
        (tmp_path / "cgroup.controllers").touch()
        (tmp_path / "cgroup.subtree_control").write_text("cpu io memory\n")
    limits.apply("0123", "pg-az-a", os.getpid(), Limits(cpus=0.5, memory_mb=64), tmp_path)
    written = {
        file.name: file.read_text() for tree in trees.values() for file in (tree / "harness-0123-pg-az-a").iterdir()
    }  # fmt: skip
    assert written.pop("cgroup.procs").isdecimal()
    one = {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000", "memory.limit_in_bytes": str(64 << 20)}
    assert written == (one if version == 1 else {"cpu.max": "50000 100000", "memory.max": str(64 << 20)})
