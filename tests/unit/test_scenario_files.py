"""Is every bad scenario file refused in one clear line per problem, and told apart by the editors' schema, too?

Each file of `bad_scenarios` begins with the lines that it must be refused with, `# LINE:COLUMN: what is wrong`;
`{faults}` stands for the words of all faults there are.
"""

from __future__ import annotations

from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from harness import registry, scenario
from harness.errors import UsageError

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "scenarios").rglob("*.yaml"))
BAD = sorted((Path(__file__).parent / "bad_scenarios").glob("*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(scenario.schema())

# What a schema cannot say: how parts of a file go together, what a topology has, and how YAML is written.
BEYOND_A_SCHEMA = {
    "repeat_fewer_than_least",
    "repeat_that_breaks_nothing",
    "repeat_until_a_misspelt_metric",
    "repeat_until_nothing_is_open",
    "repeat_without_an_interval",
    "abort_before_what_is_expected",
    "after_names_nothing",
    "after_the_end",
    "bounds_that_exclude_each_other",
    "change_is_healed",
    "change_is_never_half_way",
    "change_that_takes_the_id_of_a_fault",
    "change_to_a_node_that_is_not_there",
    "change_to_no_database",
    "claim_made_twice",
    "claim_of_a_metric_without_a_bound",
    "claim_that_nobody_makes",
    "claim_that_nothing_can_refute",
    "condition_names_nothing",
    "duplicate_id",
    "duplicate_key",
    "fault_and_change_wait_for_each_other",
    "fault_is_done",
    "fewer_users_than_zones",
    "fill_memory_without_limit",
    "locustfile_of_another_type",
    "during_of_a_metric_without_phases",
    "link_fault_on_no_link",
    "locustfile_spawned_too_slowly",
    "locustfile_that_is_not_there",
    "locustfile_with_files_from_elsewhere",
    "locustfile_without_its_files",
    "locustfile_without_users",
    "merge_key",
    "node_that_is_not_there",
    "memcached_of_0_nodes",
    "memcached_of_41_nodes",
    "cluster_of_0_shards",
    "cluster_with_more_replicas_than_zones",
    "cluster_of_unknown_type",
    "writer_of_no_shard",
    "memcached_of_unknown_type",
    "refused_by_the_topology",
    "strict_without_waiting",
    "target_of_the_wrong_sort",
    "unknown_image",
    "waiting_for_itself",
    "waiting_in_a_circle",
    "workload_in_no_zone",
    "workload_zones_as_word",
    "zero_duration",
    "zone_that_is_not_there",
}
NO_YAML = {"tab", "tag", "two_documents", "yaml_error"}


def name(path: Path) -> str:
    return path.stem


def problems(path: Path) -> list[str]:
    """The lines that a file is refused with, without its name."""
    with pytest.raises(UsageError) as refused:
        scenario.load(path)
    lines = str(refused.value).splitlines()
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


@pytest.mark.parametrize("path", BAD, ids=name)
def test_a_bad_file_is_refused_with_the_lines_it_begins_with(path: Path) -> None:
    said = problems(path)
    header = path.read_text("utf-8").replace("{faults}", ", ".join(registry.names("faults"))).splitlines()
    assert [f"# {line}" for line in said] == header[: len(said)]


@pytest.mark.parametrize("path", [path for path in BAD if path.stem not in NO_YAML], ids=name)
def test_editors_see_what_a_schema_can_say(path: Path) -> None:
    document = yaml.safe_load(path.read_text("utf-8"))
    assert VALIDATOR.is_valid(document) == (path.stem in BEYOND_A_SCHEMA)


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_a_shipped_scenario_is_valid_here_and_in_editors(path: Path) -> None:
    scenario.load(path)
    VALIDATOR.validate(yaml.safe_load(path.read_text("utf-8")))
    assert path.read_text("utf-8").startswith("# "), "each file begins with the question it asks"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(scenario.schema())


def refused(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "scenario.yaml"
    path.write_bytes(content)
    [line] = problems(path)
    return line


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "1:1: the file is empty"),
        (b"# nothing but a comment\n", "1:1: the file is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "1:1: byte 0x89 is not UTF-8"),
        (b"title: x\nname: caf\xe9\n", "2:10: byte 0xe9 is not UTF-8"),
        ("title: x\n".encode("utf-16"), "1:1: byte 0xff is not UTF-8"),
        ("title: x\n".encode("utf-16-be"), "1:1: character #x0000 may not be in a text file"),
        (b"title: a\x07b\n", "1:9: character #x0007 may not be in a text file"),
        (b"[" * 5000, "1:21: nested more than 20 levels deep"),
        (b"title: " + b"[" * 5000 + b"]" * 5000, "1:27: nested more than 20 levels deep"),
        (b"- " * 5000, "1:41: nested more than 20 levels deep"),
        (b"{a: " * 5000, "1:81: nested more than 20 levels deep"),
        (b"just words", "1:1: expected a mapping, not 'just words'"),
        (b"title: " + b"x" * 300_000, "1:1: 300007 bytes are too many for a scenario"),
        (b"title: " + b"9" * 5000, "is no number"),
        (b"title: *nowhere", "1:8: no valid YAML: found undefined alias 'nowhere'"),
        (b"? [a, b]\n: c", "1:3: a key must be a word"),
    ],
)
def test_what_is_no_scenario_at_all_is_refused_in_one_line(tmp_path: Path, content: bytes, expected: str) -> None:
    assert expected in refused(tmp_path, content)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.yaml: cannot be read: No such file"):
        scenario.load(tmp_path / "nowhere.yaml")
    with pytest.raises(UsageError, match="cannot be read: it is a folder, not a file"):
        scenario.load(tmp_path)
