"""Does every command end with the words and the exit code that its help promises?"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import jsonschema  # type: ignore[import-untyped]
import pytest

from harness import cli, doctor, judging, registry, runner, runtimes, shell
from harness.clock import wait_until
from harness.errors import ClusterError, RuntimeUnavailable, UsageError
from harness.namespaces import processes
from tests.plugin import recorded

PASSES = "title: It holds\ntopology: rds-multi-az\nworkload: ledger\nexpect: {write_outage: {max: 1s}}\n"
FAILS = PASSES.replace("It holds", "It breaks").replace("1s", "100ms")
UNKNOWN = PASSES + "faults: [{inject: crash, target: writer, at: 1s, for: 1s}]\n"
BAD = PASSES.replace("title", "titel")

Command = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture
def harness(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs a command in an empty folder: its exit code, the lines on stdout, those on stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "run", recorded.run)

    def command(*arguments: str) -> tuple[int, list[str], list[str]]:
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out.splitlines(), err.splitlines()

    return command


def write(**files: str) -> None:
    for name, text in files.items():
        file = Path("scenarios") / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")


# --- validate ---


def test_a_valid_file_is_said_to_be_valid(harness: Command) -> None:
    write(good=PASSES)
    assert harness("validate", "scenarios/good.yaml") == (0, ["scenarios/good.yaml: valid: It holds"], [])


def test_all_files_of_a_folder_are_checked_whatever_the_first_ones_are(harness: Command) -> None:
    write(a_bad=BAD, good=PASSES, z_bad=BAD)
    code, out, err = harness("validate", "scenarios")
    assert code == 2
    assert out == ["scenarios/good.yaml: valid: It holds"]
    assert err == [f"scenarios/{name}_bad.yaml:1:1: unknown key 'titel'; did you mean 'title'?" for name in ("a", "z")]


@pytest.mark.parametrize(
    ("path", "said"), [("nowhere.yaml", "cannot be read: No such file"), (".", "no scenario below this folder")]
)
def test_a_path_without_scenarios_cannot_be_used(harness: Command, path: str, said: str) -> None:
    code, _, [line] = harness("validate", path)
    assert code == 2
    assert said in line


# --- run ---


@pytest.mark.parametrize(
    ("text", "code", "verdict"),
    [(PASSES, 0, "PASS: every expectation held"), (FAILS, 1, "FAIL: write_outage 510"), (UNKNOWN, 3, "UNKNOWN: crash of writer")],
)
def test_a_run_ends_with_verdict_reason_and_the_path_of_its_page(harness: Command, text: str, code: int, verdict: str) -> None:
    write(one=text)
    ended, out, _ = harness("run", "scenarios/one.yaml", "--reports", "out", "--seed", "7")
    assert ended == code
    assert out[-2].startswith(verdict)
    assert out[-1] == "out/one/recorded/report.html"
    assert Path(out[-1]).is_file()
    assert json.loads(Path("out/one/recorded/result.json").read_text())["seed"] == 7


def test_progress_goes_to_stderr(harness: Command) -> None:
    write(one=PASSES)
    _, out, err = harness("run", "scenarios/one.yaml", "--runtime", "docker")
    assert any(line.endswith("recording one on docker") for line in err)
    assert not any("recording" in line for line in out)


@pytest.mark.parametrize(
    ("texts", "code"),
    [((PASSES, PASSES), 0), ((PASSES, UNKNOWN), 3), ((FAILS, UNKNOWN), 1), ((UNKNOWN, FAILS, PASSES), 1)],
)
def test_of_several_runs_the_worst_one_counts(harness: Command, texts: tuple[str, ...], code: int) -> None:
    write(**{f"s{number}": text for number, text in enumerate(texts)})
    ended, out, _ = harness("run", "scenarios")
    assert ended == code
    table = "\n".join(out[out.index(next(line for line in out if f"{len(texts)} scenarios" in line)) :])
    assert all(f"s{number}" in table for number in range(len(texts)))


def test_nothing_runs_when_one_of_the_files_is_bad(harness: Command) -> None:
    write(a=PASSES, b=BAD)
    code, out, err = harness("run", "scenarios")
    assert (code, out) == (2, [])
    assert err == ["scenarios/b.yaml:1:1: unknown key 'titel'; did you mean 'title'?"]
    assert not Path("reports").exists()


@pytest.mark.parametrize(
    ("problem", "code", "said"),
    [
        (RuntimeUnavailable("no engine answers"), 3, "this machine cannot run it: no engine answers"),
        (ClusterError("pg-az-a did not start"), 3, "UNKNOWN: pg-az-a did not start"),
        (UsageError("reports: no report can be written there"), 2, "reports: no report can be written there"),
    ],
)
def test_a_run_that_could_not_be_carried_out_is_no_pass(
    harness: Command, monkeypatch: pytest.MonkeyPatch, problem: Exception, code: int, said: str
) -> None:
    write(one=PASSES)
    monkeypatch.setattr(runner, "run", raising(problem))
    ended, _, err = harness("run", "scenarios/one.yaml")
    assert (ended, err[-1]) == (code, said)


def test_a_crash_is_one_line_and_leaves_its_traceback(harness: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    write(one=PASSES)
    monkeypatch.setattr(runner, "run", raising(KeyError("surprise\nand more")))
    code, _, err = harness("run", "scenarios/one.yaml")
    assert code == 4
    said, _, file = err[-1].rpartition(" ")
    assert said == "the harness crashed: KeyError: 'surprise\\nand more'; its traceback is in"
    assert "raise problem" in Path(file).read_text()
    Path(file).unlink()
    assert not any(line.startswith("Traceback") for line in err)


def test_a_crash_is_shown_in_full_when_asked_for(harness: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    write(one=PASSES)
    monkeypatch.setattr(runner, "run", raising(KeyError("surprise")))
    _, _, err = harness("run", "scenarios/one.yaml", "--traceback")
    assert any(line.startswith("Traceback") for line in err)
    Path(err[-1].rpartition(" ")[2]).unlink()


def test_a_crash_does_not_take_the_next_scenarios_along(harness: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    write(a=PASSES, b=PASSES)

    def first_crashes(scenario: Any, **options: Any) -> Any:
        if scenario.name == "a":
            raise ClusterError("a node was lost")
        return recorded.run(scenario, **options)

    monkeypatch.setattr(runner, "run", first_crashes)
    code, out, _ = harness("run", "scenarios")
    assert code == 3
    assert "reports/b/recorded/report.html" in out


def test_ctrl_c_is_no_crash(harness: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    write(one=PASSES)
    monkeypatch.setattr(runner, "run", raising(KeyboardInterrupt()))
    code, _, err = harness("run", "scenarios/one.yaml")
    assert (code, err[-1]) == (130, "interrupted")


def test_a_terminal_that_was_closed_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.shell.click.echo", raising(OSError(5, "Input/output error")))
    shell.complain("what is going on")


def test_after_an_interrupted_run_no_other_is_begun(harness: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    write(a=PASSES, b=PASSES, c=PASSES)
    monkeypatch.setattr(runner, "run", lambda *a, **more: dataclasses.replace(recorded.run(*a, **more), interrupted=True))
    _, out, err = harness("run", "scenarios")
    assert "reports/a/recorded/report.html" in out
    assert err[-1] == "interrupted: 2 scenarios were not run"
    assert not Path("reports/b").exists()


def raising(problem: BaseException) -> Callable[..., Any]:
    def fails(*_: Any, **__: Any) -> Any:
        raise problem

    return fails


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "x.yaml", "--runtime", "moon"),
        ("run", "x.yaml", "--seed", "lucky"),
        ("rnu", "x.yaml"),
        ("list", "nodes"),
        ("judge", "nowhere"),
        ("judge", "."),
        ("report", "."),
    ],
)
def test_a_command_that_cannot_be_used_ends_with_two(harness: Command, arguments: tuple[str, ...]) -> None:
    code, _, err = harness(*arguments)
    assert code == 2
    assert err[-1].startswith("Error: ")


# --- judge, report ---


def test_judging_again_agrees_figure_by_figure_without_the_result(harness: Command) -> None:
    write(one=FAILS)
    harness("run", "scenarios/one.yaml")
    folder = Path("reports/one/recorded")
    first = json.loads((folder / "result.json").read_text())
    for file in ("result.json", "report.html"):
        (folder / file).unlink()
    code, out, _ = harness("judge", str(folder))
    assert code == 1
    assert out[-2].startswith("FAIL: write_outage 510")
    assert out[-1] == str(folder / "report.html")
    assert json.loads((folder / "result.json").read_text()) == first


def test_a_report_is_made_of_the_result_that_is_there(harness: Command) -> None:
    write(one=PASSES)
    harness("run", "scenarios/one.yaml")
    folder = Path("reports/one/recorded")
    told = json.loads((folder / "result.json").read_text()) | {"title": "Told differently"}
    (folder / "result.json").write_text(json.dumps(told))
    assert harness("report", str(folder))[:2] == (0, [str(folder / "report.html")])
    assert "Told differently" in (folder / "summary.md").read_text()
    (folder / "result.json").unlink()
    assert harness("report", str(folder))[0] == 0
    assert "It holds" in (folder / "summary.md").read_text()


def test_a_result_that_is_no_json_is_refused(harness: Command) -> None:
    write(one=PASSES)
    harness("run", "scenarios/one.yaml")
    Path("reports/one/recorded/result.json").write_text("{")
    code, _, [line] = harness("report", "reports/one/recorded")
    assert code == 2
    assert line.startswith("reports/one/recorded/result.json: no JSON")


def test_judging_needs_no_engine_and_no_driver(harness: Command) -> None:
    """Where none of them can be imported, in a process of its own."""
    write(one=PASSES)
    harness("run", "scenarios/one.yaml")
    script = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"docker", "psycopg", "redis", "locust", "gevent", "testcontainers", "toxiproxy", "uvloop"}:
            raise ImportError(f"{name} is not there")
sys.meta_path.insert(0, Refuse())
from harness.cli import main
main(["judge", "reports/one/recorded"])
"""
    judged = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (judged.returncode, judged.stderr) == (0, "")
    assert judged.stdout.endswith("reports/one/recorded/report.html\n")


# --- schema, list, doctor, clean ---


def test_the_schemas_are_printed_as_json(harness: Command) -> None:
    for arguments in (("schema",), ("schema", "--result")):
        code, out, _ = harness(*arguments)
        assert code == 0
        jsonschema.Draft202012Validator.check_schema(json.loads("\n".join(out)))
    assert json.loads("\n".join(out)) == json.loads(judging.SCHEMA.read_text())


def test_what_there_is_is_listed_with_its_options(harness: Command) -> None:
    write(one=PASSES, two=BAD)
    code, out, _ = harness("list")
    assert code == 0
    for kind in ("faults", "changes", "topologies", "workloads", "checkers", "reporters"):
        for word in registry.names(kind):
            assert any(line.startswith(f"  {word}: ") for line in out)
    for line in (
        "      delay: required, such as 100ms",
        "      direction: both (both | out | in)",
        "      rate: 300/s",
        "      write_outage [s]",
        "  one: It holds",
        "  scenarios/two.yaml:1:1: unknown key 'titel'; did you mean 'title'?",
    ):
        assert line in out


def test_one_kind_is_listed_alone(harness: Command) -> None:
    _, out, _ = harness("list", "workloads")
    assert [line for line in out if not line.startswith(" ")] == ["workloads"]


def test_what_is_left_behind_is_the_runtimes_matter(harness: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, clean in (("namespaces", lambda reports: [f"below {reports}"]), ("runtimes", lambda: ["one", "two"])):
        monkeypatch.setitem(sys.modules, f"harness.{module}.leftovers", SimpleNamespace(clean=clean))
    assert harness("clean") == (0, ["below reports", "one", "two"], [])


def test_nodes_data_that_nobody_keeps_is_removed(harness: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "harness.runtimes.leftovers", SimpleNamespace(clean=lambda: iter(())))
    kept, left = (Path("out", "writer_crash", time, "local") for time in ("kept", "left"))
    for folder in (kept, left):
        folder.mkdir(parents=True)
        (folder / "keeper.sock").touch()
    keeper = subprocess.Popen([sys.executable, "-c", "input()", processes.MODULE, "cafecafe", str(kept)], stdin=subprocess.PIPE)
    try:
        wait_until(lambda: "cafecafe" in processes.runs(), 10, "the keeper's command line")
        code, out, _ = harness("clean", "--reports", "out")
        assert code == 0
        assert f"{left} removed: nobody keeps its nodes any more" in out
    finally:
        keeper.communicate(b"\n")
    assert (kept.exists(), left.exists(), left.parent.exists()) == (True, False, True)


def without_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    for name in ("docker", "leftovers"):
        monkeypatch.delitem(sys.modules, f"harness.runtimes.{name}", raising=False)
        monkeypatch.delattr(runtimes, name, raising=False)


@pytest.mark.parametrize(("local", "code"), [(True, 0), (False, 3)])
def test_without_docker_support_it_is_said_what_mends_it(
    harness: Command, monkeypatch: pytest.MonkeyPatch, local: bool, code: int
) -> None:
    without_docker(monkeypatch)
    monkeypatch.setattr(doctor, "_local", lambda: doctor.Examined("local runtime", local, "tried", "", "--runtime local"))
    ended, out, said = harness("doctor")
    assert ended == code
    assert "pip install 'failover-harness[docker]'" in "".join([*out, *said])


def test_what_an_engine_may_have_left_is_not_looked_at_without_docker_support(
    harness: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_docker(monkeypatch)
    code, out, _ = harness("clean")
    assert code == 0
    assert out[-1] == "not looked at, since docker is not installed: what containers have left"


# --- help, and what starting costs ---


def test_every_command_and_option_says_what_it_does() -> None:
    for name, command in cli.cli.commands.items():
        assert command.help, name
        for parameter in command.params:
            assert isinstance(parameter, click.Argument) or getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_starting_imports_nothing_heavy() -> None:
    script = "import sys, harness.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"docker", "locust", "gevent", "numpy", "duckdb", "pydantic", "yaml", "rich", "testcontainers", "psycopg"}
    assert "harness.cli" in loaded
    assert not heavy & {name.split(".")[0] for name in loaded}


def test_the_module_is_the_command() -> None:
    shown = subprocess.run([sys.executable, "-m", "harness", "--version"], capture_output=True, text=True, check=True).stdout
    assert shown == f"harness, version {judging.version()}\n"
