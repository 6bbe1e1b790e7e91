"""What the documentation says is so: pages are fresh, examples are valid, links lead somewhere."""

from __future__ import annotations

import dataclasses
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import duckdb
import pytest
import yaml

from docs import generate
from harness import cli, protocols, registry, scenario, sessions
from harness.probes.contract import Client, Connection

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def blocks(*languages: str) -> Iterator[tuple[str, str]]:
    """The code blocks of all pages in one of the languages: (where, text)."""
    for page in PAGES:
        for number, block in enumerate(BLOCK.finditer(page.read_text("utf-8"))):
            if block["language"] in languages:
                yield f"{page.relative_to(ROOT)} block {number + 1}", block["text"]


def locust_files() -> dict[str, str]:
    """The Locust files of the how-to, by the names that stand above them; tests/systems runs them."""
    page = (ROOT / "docs" / "how-to" / "use-your-locustfile.md").read_text("utf-8")
    return dict(re.findall(r"^<!-- (\S+\.py) -->\n```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))


LOCUST_FILES = locust_files()


def params(found: Iterator[tuple[str, str]]) -> list[object]:
    return [pytest.param(text, id=where) for where, text in found]


def anchors(page: Path) -> set[str]:
    """The names under which a page's headings can be linked to."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(group: click.Group, *words: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it, those below a group too."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *words, name)


def options(command: click.Command) -> list[str]:
    return [word for param in command.params if isinstance(param, click.Option) for word in param.opts]


def test_the_reference_pages_are_what_the_code_says() -> None:
    assert generate.stale() == [], "run python -m docs.generate"


@pytest.mark.parametrize("kind", ["faults", "changes", "topologies", "workloads"])
def test_every_word_and_option_of_a_scenario_is_in_the_reference(kind: str) -> None:
    page = generate.pages()["scenario.md"]
    for word in registry.names(kind):
        section = re.split(rf"^#+ {re.escape(word)}$", page, flags=re.MULTILINE)[1].split("\n#")[0]
        missing = [option for option in scenario.options(registry.find(kind, word)) if f"`{option}`" not in section]
        assert not missing, f"{word}: {missing}"


def test_every_metric_and_checker_is_in_the_reference() -> None:
    page = generate.pages()["metrics.md"]
    assert [metric for metric in scenario.metrics() if f"| `{metric}` |" not in page] == []
    assert [word for word in registry.names("checkers") if f"\n### {word}\n" not in page] == []


def test_every_command_and_option_is_in_the_reference() -> None:
    page = generate.pages()["commands.md"]
    for words, command in commands(cli.cli):
        heading = f"{'#' * (len(words) + 1)} harness {' '.join(words)}"
        section = re.split(rf"^{heading}(?: .*)?$", page, flags=re.MULTILINE)[1].split("\n##")[0]
        assert [word for word in options(command) if f"`{word}`" not in section] == []


def test_a_metric_without_a_meaning_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(generate.METRICS, "write_outage")
    with pytest.raises(LookupError, match="write_outage"):
        generate.pages()


def test_a_page_that_was_changed_by_hand_is_stale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in generate.pages().items():
        (tmp_path / name).write_text(text + ("by hand\n" if name == "metrics.md" else ""), "utf-8")
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    assert generate.stale() == ["metrics.md"]


@pytest.mark.parametrize("text", params(blocks("yaml")))
def test_yaml_examples_are_valid(text: str, tmp_path: Path) -> None:
    parsed = yaml.safe_load(text)
    if "jobs" in parsed:  # a workflow of a CI service, not a scenario
        return
    file = tmp_path / "example.yaml"
    file.write_text(text, "utf-8")
    for name, example in LOCUST_FILES.items():
        (tmp_path / name).write_text(example, "utf-8")
    scenario.load(file)


@pytest.mark.parametrize("text", params(blocks("sh")))
def test_shell_examples_call_commands_and_options_that_exist(text: str) -> None:
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        for part in re.split(r"&&|\|\||;|\|", line):
            words = shlex.split(part, comments=True)
            if not words or Path(words[0]).name != "harness" or len(words) == 1:
                continue
            known = dict(commands(cli.cli))
            assert (words[1],) in known or words[1].startswith("--"), line
            called = known.get(tuple(words[1:3]), known.get((words[1],)))
            if called:
                assert {word for word in words if word.startswith("--")} <= {*options(called), "--help"}, line


# Importing Locust changes the interpreter: its files are run by test_locustfile and by tests/systems, in their own.
@pytest.mark.parametrize("text", params((where, text) for where, text in blocks("python") if text not in LOCUST_FILES.values()))
def test_python_examples_run_and_their_options_can_be_written(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", example)
    exec(compile(text, str(tmp_path / "example.py"), "exec"), vars(example))
    for thing in vars(example).values():
        if dataclasses.is_dataclass(thing) and thing.__module__ == "example" and isinstance(thing, type):
            scenario.options(thing)


@pytest.mark.parametrize("text", params(blocks("sql")))
def test_queries_answer_from_a_history_without_our_code(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "tests" / "recorded" / "zone_outage_asynchronous")
    rows = duckdb.connect().execute(text).fetchall()
    assert len(rows) > 10  # seconds of load; writes that only the cut-off zone saw
    assert all(value is not None for row in rows for value in row[:2])


TYPES = {"BIGINT": "int64", "UINTEGER": "uint32", "UTINYINT": "uint8", "VARCHAR": "text"}


def test_every_column_of_a_history_is_in_the_how_to_with_its_type() -> None:
    page = (ROOT / "docs" / "how-to" / "query-a-history.md").read_text("utf-8")
    documented: dict[str, str] = {}
    for names, types in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ([\w, ]+) \|", page, re.MULTILINE):
        columns, listed = re.findall(r"`(\w+)`", names), types.split(", ")
        documented |= zip(columns, listed * len(columns) if len(listed) == 1 else listed, strict=False)
    history = ROOT / "tests" / "recorded" / "writer_crash" / "history"
    there: dict[str, str] = {}
    for name in ("operations", "final_reads"):
        described = duckdb.connect().execute(f"DESCRIBE SELECT * FROM '{history / name}.parquet'").fetchall()
        there |= {column: TYPES[type_] for column, type_, *_ in described}
    assert documented == there


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in (link["target"] for link in LINK.finditer(page.read_text("utf-8"))):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize(
    ("page", "contracts"),
    [
        ("add-a-fault", (protocols.NodeFault, protocols.HostFault, protocols.LinkFault, protocols.NetworkFault)),
        ("add-a-change", (protocols.Change,)),
        ("add-a-topology", (protocols.Topology,)),
        ("add-a-checker", (protocols.Checker,)),
        ("add-a-protocol", (sessions.Driver, Client, Connection)),
    ],
)
def test_a_how_to_names_all_that_its_contract_asks_for(page: str, contracts: tuple[type, ...]) -> None:
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text("utf-8")
    for contract in contracts:
        asked = [name for name, _ in inspect.getmembers(contract, inspect.isfunction) if not name.startswith("_")]
        asked += [name for name in inspect.get_annotations(contract) if not name.startswith("_")]
        assert [name for name in asked if name not in text] == []


@pytest.mark.parametrize(("page", "shown"), [("add-a-fault", "faults/pause.py"), ("add-a-change", "changes/switchover.py")])
def test_a_how_to_shows_its_example_as_it_is(page: str, shown: str) -> None:
    code = (ROOT / "harness" / shown).read_text("utf-8")
    assert f"```python\n{code}```" in (ROOT / "docs" / "how-to" / f"{page}.md").read_text("utf-8")


def test_continuous_integration_calls_the_test_command_of_the_readme() -> None:
    commands = [line for where, text in blocks("sh") if where.startswith("README") for line in text.splitlines()]
    tests = [line for line in commands if line.endswith("/tox")]
    assert tests
    assert all(line in (ROOT / ".ci" / "run").read_text("utf-8") for line in tests)


def test_every_decision_says_why_and_what_follows() -> None:
    for page in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        assert re.match(r"\d{4}-", page.name)
        text = page.read_text("utf-8")
        assert [title for title in ("Context", "Decision", "Consequences") if f"\n## {title}\n" not in text] == [], page.name
