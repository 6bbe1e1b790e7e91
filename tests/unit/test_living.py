"""Clusters that live on are found by name, used by one process at a time, and keep their secrets to their user."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from harness import living
from harness.errors import UsageError
from harness.living import Living
from harness.supervisor import identity


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(living.STATE, str(tmp_path / "state"))
    return tmp_path / "state"


def noted(home: Path, name: str, supervisor: str = "") -> Living:
    """A cluster as `up` leaves its notes."""
    folder = home / name
    (folder / "history").mkdir(parents=True)
    one = Living(name, "1234abcd", "docker", "rds-multi-az", {"ttl_s": 30}, {"probe": "s3cret"}, supervisor, "2026-11-23", folder)
    living._write(one)
    return one


def test_what_up_noted_is_found_again(home: Path) -> None:
    one = noted(home, "rds-multi-az")
    assert living.find() == living.find("rds-multi-az") == one


def test_the_notes_with_the_passwords_are_the_users_alone(home: Path) -> None:
    one = noted(home, "rds-multi-az")
    assert stat.S_IMODE((one.folder / "cluster.json").stat().st_mode) == 0o600
    assert "s3cret" not in repr(one)


def test_without_a_name_there_must_be_one_cluster(home: Path) -> None:
    with pytest.raises(UsageError, match=r"no cluster is up; `harness up rds-multi-az` starts one"):
        living.find()
    noted(home, "one")
    noted(home, "two")
    with pytest.raises(UsageError, match=r"several clusters are up: one, two; name one"):
        living.find()


def test_a_misspelt_name_gets_a_suggestion(home: Path) -> None:
    noted(home, "rds-multi-az")
    with pytest.raises(UsageError, match=r"no cluster called 'rds-multi' is up; did you mean 'rds-multi-az'\?"):
        living.find("rds-multi")


def test_a_cluster_that_is_being_brought_up_is_not_listed(home: Path) -> None:
    (home / "half").mkdir(parents=True)
    (home / "broken").mkdir()
    (home / "broken" / "cluster.json").write_text("{")
    assert living.clusters() == []


def test_a_name_is_taken_once(home: Path) -> None:
    assert [living._new_folder(None, "rds-multi-az").name for _ in range(2)] == ["rds-multi-az", "rds-multi-az-2"]
    living._new_folder("mine", "rds-multi-az")
    with pytest.raises(UsageError, match="a cluster called 'mine' is up already"):
        living._new_folder("mine", "rds-multi-az")


@pytest.mark.parametrize("name", ["../mine", "a/b", "", ".hidden", "with space"])
def test_a_name_is_one_word(home: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a cluster; use letters, digits"):
        living._new_folder(name, "rds-multi-az")


def test_one_process_at_a_time_measures_on_a_cluster(home: Path) -> None:
    one = noted(home, "rds-multi-az")
    with one.used_for("crash of writer"):
        assert one.user() == f"crash of writer, process {os.getpid()}"
        with (
            pytest.raises(UsageError, match=rf"rds-multi-az is in use \(crash of writer, process {os.getpid()}\)"),
            one.used_for("x"),
        ):
            pass
        with pytest.raises(UsageError, match="take it down all the same with --force"):
            living.down(one)
    assert one.user() == ""


def test_a_lock_ends_with_its_process(home: Path) -> None:
    one = noted(home, "rds-multi-az")
    script = (
        "import os, signal; from harness import living\nwith living.find().used_for('it'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert one.user() == ""


def test_a_cluster_is_kept_as_long_as_its_supervisor_lives(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        one = noted(home, "kept", identity(process.pid))
        assert one.kept
    assert not one.kept


def test_a_process_that_took_over_a_number_is_another_one(home: Path) -> None:
    assert not noted(home, "kept", f"{os.getpid()}:1").kept


def test_only_clusters_that_nobody_keeps_or_makes_are_forgotten(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        noted(home, "kept", identity(process.pid))
        noted(home, "dead", f"{os.getpid()}:1")
        living._new_folder("being-made", "rds-multi-az")
        (living._new_folder("half-made", "rds-multi-az") / "maker").write_text(f"{os.getpid()}:1")
        said = list(living.forget())
        assert [line.split(",")[0] for line in said] == ["cluster dead", "cluster half-made"]
        assert sorted(path.name for path in home.iterdir()) == ["being-made", "kept"]


def test_a_history_is_moved_into_its_report_once(home: Path, tmp_path: Path) -> None:
    one, report = noted(home, "rds-multi-az"), tmp_path / "report"
    session = one.folder / "history" / "5e55"
    session.mkdir()
    (session / "events.jsonl").write_text("{}\n")
    (report / "history").mkdir(parents=True)
    living.save(one.name, "5e55", report)
    living.save(one.name, "5e55", report)  # the guardian of a process that had saved it already
    assert (report / "history" / "events.jsonl").read_text() == "{}\n"
    assert not session.exists()


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        (["--for", "5s", "--until", "cluster is healthy"], "either after a time (for) or on a condition"),
        (["--at-most", "5s"], "at_most bounds an until, which is missing"),
    ],
)
def test_an_end_that_contradicts_another_is_refused_and_not_passed_over(home: Path, ends: list[str], said: str) -> None:
    noted(home, "rds-multi-az")
    command = [sys.executable, "-m", "harness", "inject", "crash", *ends]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert said in ended.stderr
