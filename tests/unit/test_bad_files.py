"""Is whatever a file may hold refused in one clear line, at once, by every command that takes scenarios?"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import cli, runner, scenario
from harness.errors import UsageError

VALID = b"""\
title: The writer's server is killed under load
topology: rds-multi-az
workload: {use: ledger, users: 60, rate: 300/s}
faults:
  - {inject: crash, target: writer, at: 5s, for: 10s}
expect:
  write_outage: {max: 35s}
"""
ALIASES = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (name, name, b",".join([b"*%c" % before] * 9))
    for before, name in zip(b"abcdefgh", b"bcdefghi", strict=True)
)

# What the issue asks for, and what else was seen to crash, hang or fill the memory.
BAD = {
    "unknown_key": VALID.replace(b"expect:", b"expects:"),
    "unknown_fault": VALID.replace(b"inject: crash", b"inject: crahs"),
    "missing_topology": VALID.replace(b"topology: rds-multi-az\n", b""),
    "negative_duration": VALID.replace(b"10s", b"-10s"),
    "fault_without_end": VALID.replace(b", for: 10s", b""),
    "target_that_can_never_match": VALID.replace(b"writer, at", b"node(pg-az-x), at"),
    "yaml_error": VALID.replace(b"10s}", b"10s"),
    "wrong_unit": VALID.replace(b"300/s", b"300ms"),
    "duplicate_id": VALID.replace(b"expect", b"  - {inject: crash, id: one, target: writer, at: 9s, for: 1s}\n" * 2 + b"expect"),
    "unmeasured_metric": VALID.replace(b"write_outage", b"happiness"),
    "empty": b"",
    "binary": b"\x89PNG\r\n\x1a\n\x00\x00\xff",
    "program": b"\x7fELF\x02\x01\x01\x00\x00",
    "latin_1": VALID + "# café".encode("latin-1"),
    "utf_16": VALID.decode().encode("utf-16"),
    "utf_16_without_mark": VALID.decode().encode("utf-16-le"),
    "utf_32": VALID.decode().encode("utf-32"),
    "half_a_surrogate": VALID + b"# \xed\xa0\x80",
    "nul": VALID.replace(b"killed", b"kil\0led"),
    "escaped_nul": VALID.replace(b"The writer's server", b'"\\0"'.ljust(19)).replace(b"is killed under load", b""),
    "escape_sequence": b'title: "\\e[31m"\n',
    "escaped_surrogate": VALID + b'"\\ud800": 1\n',
    "escaped_beyond_unicode": VALID + b'"\\U00110000": 1\n',
    "escaped_beyond_an_int": VALID + b'"\\UFFFFFFFF": 1\n',
    "version_of_5000_digits": b"%YAML 1." + b"9" * 5000 + b"\n---\n" + VALID,
    "key_of_two_lines": VALID + b'"a\\nb": 1\n',
    "nested_lists": b"[" * 5000,
    "nested_lists_that_end": b"title: " + b"[" * 5000 + b"]" * 5000,
    "nested_mappings": b"{a: " * 5000,
    "nested_dashes": b"- " * 5000,
    "nested_keys": b"? " * 5000,
    "nested_lines": b"".join(b" " * depth + b"a:\n" for depth in range(650)),
    "bomb_of_aliases": ALIASES,
    "bomb_of_mappings": b"a: &a0 {x: 1}\n" + b"".join(b"b%d: &a%d {x: *a%d, y: *a%d}\n" % (n, n + 1, n, n) for n in range(40)),
    "bomb_of_one_long_list": b"a: &a [" + b"x," * 9000 + b"]\nb: [" + b"*a," * 900 + b"]",
    "alias_of_itself": b"a: &a [*a]\n",
    "many_values": b"[" + b"a," * 120_000 + b"]",
    "many_anchors": b"".join(b"- &a%d x\n" % n for n in range(20_000)),
    "long_number": b"title: " + b"9" * 5000,
    "long_number_base_2": b"title: 0b" + b"1" * 200_000,
    "long_number_base_16": b"title: 0x" + b"f" * 200_000,
    "long_number_base_60": b"title: " + b"1:" * 100_000 + b"1",
    "long_tag": b"!" * 200_000,
    "long_word": VALID.replace(b"crash", b"c" * 200_000),
    "long_anchor": b"&" * 200_000,
    "long_quote": b'"' + b"\\" * 200_000,
}  # fmt: skip
TAKEN = {"crlf": VALID.replace(b"\n", b"\r\n"), "byte_order_mark": b"\xef\xbb\xbf" + VALID}


def never(*_: object, **__: object) -> None:
    raise AssertionError("a bad file was run")


@pytest.fixture(autouse=True)
def _nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "run", never)
    scenario.schema()  # imports every extension, which no file is to blame for


@pytest.fixture(scope="module")
def long_list_s(tmp_path_factory: pytest.TempPathFactory) -> float:
    """CPU seconds that this machine takes to read a list of ten thousand words, in which nothing is a trap."""
    path = tmp_path_factory.mktemp("long") / "long.yaml"
    path.write_bytes(b"title: [" + b"x, " * 10_000 + b"]")
    scenario.schema()
    began = time.process_time()
    with pytest.raises(UsageError):
        scenario.load(path)
    return time.process_time() - began


@pytest.mark.parametrize("command", ["validate", "run"])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line_and_exit_code_2_without_delay(
    name: str, command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, long_list_s: float
) -> None:
    Path("bad.yaml").write_bytes(BAD[name])
    began = time.process_time()
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "bad.yaml"])
    took_s = time.process_time() - began
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    [line] = err.splitlines()
    assert line.startswith("bad.yaml:")
    assert len(line) < 1100
    assert line.isprintable()
    assert took_s < 10 * long_list_s
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


@pytest.mark.parametrize("name", TAKEN)
def test_line_ends_and_marks_of_other_systems_are_taken(name: str) -> None:
    Path("good.yaml").write_bytes(TAKEN[name])
    assert scenario.load(Path("good.yaml")).title == "The writer's server is killed under load"


def test_a_file_with_thousands_of_problems_names_the_first_ones() -> None:
    Path("bad.yaml").write_bytes(VALID + b"".join(b"k%d: 1\n" % number for number in range(4000)))
    with pytest.raises(UsageError) as refused:
        scenario.load(Path("bad.yaml"))
    lines = str(refused.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "bad.yaml: and 3980 problems more"


def test_pytest_says_one_line_of_each_bad_file_and_runs_the_others(pytester: pytest.Pytester) -> None:
    folder = pytester.path / "scenarios"
    folder.mkdir()
    for name, content in (BAD | {"good": VALID}).items():
        (folder / f"{name}.yaml").write_bytes(content)
    os.mkfifo(folder / "pipe.yaml")
    (folder / "folder.yaml").mkdir()
    ran = pytester.runpytest_subprocess("--collect-only", "-q", timeout=60)
    assert [line for line in ran.outlines if "::" in line] == ["scenarios/good.yaml::good"]
    for name in BAD:
        assert len([line for line in ran.outlines if line.startswith(f"scenarios/{name}.yaml:")]) == 1, name
    ran.stdout.no_fnmatch_line("*Traceback*")


# --- what is no file of text at all; through the command itself, since a mistake would never end or fill the memory ---


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))


def refusals(*paths: str, command: str = "validate") -> list[str]:
    """What the command says of them on stderr, in a process that may not grow; it must end by itself with 2."""
    ran = subprocess.run(
        [sys.executable, "-m", "harness", command, *paths],
        capture_output=True, text=True, timeout=60, check=False, preexec_fn=limited, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (2, "")
    return ran.stderr.splitlines()


def special_files() -> Iterator[tuple[str, str]]:
    """Makes each, and says how it must be refused."""
    os.mkfifo("pipe.yaml")
    yield "pipe.yaml", "cannot be read: it is a pipe, not a file"
    for device in ("zero", "null", "tty"):
        Path(f"{device}.yaml").symlink_to(f"/dev/{device}")
        yield f"{device}.yaml", "cannot be read: it is a device, not a file"
    Path("loop.yaml").symlink_to("loop.yaml")
    yield "loop.yaml", "cannot be read: Too many levels of symbolic links"
    for name, size in (("large", 100_000_000), ("vast", 20_000_000_000)):
        with open(f"{name}.yaml", "wb") as file:
            file.truncate(size)
        yield f"{name}.yaml", f"1:1: {size} bytes are too many for a scenario"
    yield "nowhere.yaml", "cannot be read: No such file or directory"
    Path("empty").mkdir()
    yield "empty", "no scenario below this folder"
    Path("file").touch()
    yield "file/inside.yaml", "cannot be read: Not a directory"


@pytest.mark.parametrize("command", ["validate", "run"])
def test_what_is_no_file_of_text_is_refused_without_waiting_or_reading_it_all(command: str) -> None:
    said = dict(special_files())
    if command == "validate":
        said.pop("empty")  # refuses the whole command, as any wrong argument does
    else:
        assert refusals("empty", command=command) == [f"empty: {said.pop('empty')} (no *.yaml)"]
    lines = refusals(*said, command=command)
    assert len(lines) == len(said)
    for line, (path, words) in zip(lines, said.items(), strict=True):
        assert line.startswith(f"{path}:")
        assert words in line


def test_a_file_that_may_not_be_read_is_refused() -> None:
    Path("secret.yaml").write_bytes(VALID)
    Path("secret.yaml").chmod(0)
    Path().chmod(0o755)
    # root may read everything, so the process becomes somebody else once all is imported.
    script = (
        "import os, sys, tempfile; from harness import cli, scenario; os.getuid() or os.seteuid(65534); cli.main(sys.argv[1:])"
    )
    ran = subprocess.run([sys.executable, "-c", script, "validate", "secret.yaml"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", "secret.yaml: cannot be read: Permission denied\n")


def test_folders_whose_names_end_like_files_are_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    Path("scenarios/group.yaml").mkdir(parents=True)
    Path("scenarios/group.yaml/one.yaml").write_bytes(VALID)
    with pytest.raises(SystemExit) as ended:
        cli.main(["validate", "scenarios"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("scenarios/group.yaml/one.yaml: valid")


# --- what nobody thought of ---

PIECES = (
    b"{", b"}", b"[", b"]", b":", b"- ", b"? ", b"<<: ", b"&a ", b"*a", b"@", b"`", b"%", b"~", b'"', b"'", b"|\n", b">\n", b"\t",
    b"!!int ", b"!!float ", b"!!bool ", b"!!null ", b"!!binary ", b"!!timestamp ", b"%YAML 1.1\n", b"---\n", b"...\n",
    b"0x", b".inf", b".nan", b"-1", b"9" * 30, b"1:30", b"1e400", b"true", b"\xff", b"\xe2\x80\xa8", b"\\x00", b"\\ud800",
    b"5s", b"is healed", b"zone(", b")", b"of ",
)  # fmt: skip


def test_a_damaged_file_is_refused_or_taken_but_never_crashes_the_harness() -> None:
    rng = random.Random(1)
    path = Path("damaged.yaml")
    for _ in range(300):
        content = bytearray(VALID)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(content) + 1)
            content[at : at + rng.choice((0, 0, rng.randint(1, 12)))] = rng.choice((*PIECES, b""))
        path.write_bytes(content)
        assert all(line.startswith("damaged.yaml:") for line in said_of(path))


def said_of(path: Path) -> list[str]:
    try:
        scenario.load(path)
    except UsageError as refused:
        return str(refused).split("\n")
    return []
