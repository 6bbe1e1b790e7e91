"""What can be done from a shell, and how does each of it end?

Only click is imported at the start; engines, load and numbers are imported by the command that needs them.
"""

from __future__ import annotations

import importlib
import json
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from harness import cli_living
from harness.errors import UsageError
from harness.plain import plain
from harness.shell import BY_BADNESS, CRASH, EXIT_CODES, INTERRUPTED, UNKNOWN, USAGE, Group, complain, failed, progress, say

if TYPE_CHECKING:
    from harness.scenario import Scenario
    from harness.verdict import Verdict

SUFFIXES = (".yaml", ".yml")
WIDE = 160  # columns of a table that nobody's terminal bounds


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Carries one command out and ends the process with its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    shown = "--traceback" in arguments
    try:
        code = cli.main(list(arguments), prog_name="harness", standalone_mode=False, obj=shown)
    except click.Abort:
        complain("interrupted")
        code = INTERRUPTED
    except click.ClickException as problem:
        problem.show()
        code = USAGE
    except Exception as problem:  # noqa: BLE001 (whatever it is, the user gets one line and the exit code that says so)
        code = failed(problem, shown)
    sys.exit(code or 0)


@click.group(cls=Group, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="failover-harness", prog_name="harness")
def cli() -> None:
    """Starts real multi-node databases, breaks them on purpose under load, and says what clients lost.

    \b
    Examples:
      harness validate scenarios
      harness run scenarios/rds_multi_az/writer_crash.yaml
      harness judge reports/rds_multi_az/writer_crash/latest
    """


_FILES = click.argument("paths", metavar="FILE|FOLDER...", nargs=-1, required=True, type=click.Path(path_type=Path))


def _with_history(context: click.Context, parameter: click.Parameter, folder: Path) -> Path:
    from harness import repeats, sweeping

    if not (folder / "history").is_dir() and not repeats.is_series(folder) and not sweeping.is_sweep(folder):
        raise click.BadParameter(f"{folder} holds no folder 'history', as a run's folder does")
    return folder


_FOLDER = click.argument(
    "folder", metavar="FOLDER", type=click.Path(path_type=Path, exists=True, file_okay=False), callback=_with_history
)

_RUNTIME = click.option(
    "--runtime",
    type=click.Choice(["auto", "docker", "local"]),
    default="auto",
    show_default=True,
    help="Where the nodes live: containers (docker), namespaces of this machine (local), or what this machine can do (auto).",
)
_SEED = click.option(
    "--seed", metavar="N", type=int, help="A whole number that repeats the random choices.  [default: drawn anew]"
)


def _reports_below(where: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--reports",
        metavar="DIR",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("reports"),
        show_default=True,
        help=f"The folder to write to: {where}.",
    )


# --- scenarios ------------------------------------------------------------------------------------------------


@cli.command(epilog="Exit codes: 0 when all are valid, 2 otherwise.")
@_FILES
def validate(paths: Sequence[Path]) -> int:
    """Checks scenario files without running anything.

    Each problem is one line, FILE:LINE:COLUMN: what is wrong; what would be right. Of a folder, all the YAML
    files below it are checked.

    \b
    Examples:
      harness validate scenarios/rds_multi_az/writer_crash.yaml
      harness validate scenarios
    """
    invalid = 0
    for file in _files(paths):
        try:
            click.echo(f"{file}: valid: {_load(file).title}")
        except UsageError as problem:
            invalid += 1
            complain(str(problem))
    return USAGE if invalid else 0


class _Ended(NamedTuple):
    """How one of several runs ended."""

    scenario: str
    code: int
    verdict: str
    reason: str
    report: str
    interrupted: bool = False


@cli.command(epilog=EXIT_CODES)
@_FILES
@_RUNTIME
@_reports_below("DIR/<scenario>/<time>/, and DIR/<scenario>/latest points at the newest")
@_SEED
@click.option("--locust-ui", is_flag=True, help="Serve Locust's web UI of each zone's users on loopback, and print its URL.")
def run(paths: Sequence[Path], runtime: str, reports: Path, seed: int | None, locust_ui: bool) -> int:
    """Runs scenarios: start, load, break, heal, judge, report.

    Prints the verdict and the reason; the last line is the path of report.html. All files are checked before the
    first one runs. Several are run one after the other; a table sums them up, and the exit code is the worst one's.

    Ctrl-C (or SIGTERM, or SIGHUP) once heals, removes and reports, as UNKNOWN, and runs none of the others; twice stops at
    once with exit code 130: the nodes are removed all the same, and `harness judge` reports what was recorded.

    \b
    Examples:
      harness run scenarios/rds_multi_az/writer_crash.yaml
      harness run scenarios/rds_multi_az --runtime docker --reports out --seed 42
    """
    ended = _run_each(_load_all(paths), runtime, reports, seed, locust_ui)
    return max((end.code for end in ended), key=BY_BADNESS.index)


def _run_each(
    scenarios: Sequence[Scenario], runtime: str, reports: Path, seed: int | None, locust_ui: bool = False
) -> list[_Ended]:
    """Runs one after the other, whatever becomes of each, until the user wants no further one; a table sums them up."""
    drawn = random.randrange(2**32) if seed is None else seed
    ended: list[_Ended] = []
    for scenario in scenarios:
        ended.append(_run_one(scenario, runtime, reports, drawn, locust_ui))
        if ended[-1].interrupted:
            break
    if len(ended) > 1:
        _sum_up(ended)
    if left := len(scenarios) - len(ended):
        complain(f"interrupted: {left} {'scenarios were' if left > 1 else 'scenario was'} not run")
    return ended


def _run_one(scenario: Scenario, runtime: str, reports: Path, seed: int, locust_ui: bool) -> _Ended:
    from harness import repeats

    click.echo(f"{scenario.name}: {scenario.title} (seed {seed})", err=True)
    try:
        result = repeats.run(scenario, runtime=runtime, reports=reports, seed=seed, progress=progress(), locust_ui=locust_ui)
    except Exception as problem:  # noqa: BLE001 (one run's failure must not take the next ones along)
        code = failed(problem, shown=click.get_current_context().obj)
        said = {USAGE: "not run", CRASH: "crash"}.get(code, "unknown")
        return _Ended(scenario.name, code, said, str(problem), "")
    verdict, folder = result.verdict, result.folder
    report = _say_together(folder, verdict, result.reason) if repeats.is_series(folder) else say(folder)
    return _Ended(scenario.name, verdict.exit_code, verdict.value, result.reason, report, result.interrupted)


def _say_together(folder: Path, verdict: Verdict, reason: str) -> str:
    """Prints what several runs say together; returns the path of their page, the last line."""
    click.echo(plain((folder / "report.md").read_text("utf-8")))
    report = str(folder / "report.html")
    click.echo(plain(f"\n{verdict.value.upper()}: {reason}\n{report}"))
    return report


def _sum_up(ended: Sequence[_Ended]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("scenario", "verdict", "reason", "report", title=f"{len(ended)} scenarios")
    styles = {0: "green", 1: "bold red", UNKNOWN: "yellow"}
    for end in ended:
        table.add_row(
            end.scenario, Text(end.verdict.upper(), styles.get(end.code, "bold red")), Text(plain(end.reason)), Text(end.report)
        )
    Console().print(table)


def _load_all(paths: Iterable[Path]) -> list[Scenario]:
    """Every scenario, or all the problems of all files at once."""
    scenarios, problems = [], []
    for file in _files(paths):
        try:
            scenarios.append(_load(file))
        except UsageError as problem:
            problems.append(str(problem))
    if problems:
        raise UsageError("\n".join(problems))
    return scenarios


def _load(file: Path) -> Scenario:
    from harness import scenario

    return scenario.load(file)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and not file.is_dir())
        if not found:
            raise UsageError(f"{path}: no scenario below this folder (no *.yaml)")
        yield from found


@cli.command(
    epilog="Exit codes: 0 when the table is there, whatever it says; with --run 3 when a scenario could not tell, 2 or 4 when one"
    " could not be run; 2 for input that cannot be used."
)
@click.argument("paths", metavar="[FILE|FOLDER]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--only",
    metavar="WORD",
    multiple=True,
    help="A claim's id (rd.failover), a group of them (rd) or a system (elasticache); repeatable.",
)
@click.option(
    "--run", "first", is_flag=True, help="First run every scenario that tests one of them, whatever becomes of the others."
)
@click.option("--write", is_flag=True, help="Write the table to DIR/claims.md and DIR/claims.html, too.")
@_RUNTIME
@_reports_below("DIR/<scenario>/<time>/ for a run; the table tells of the runs below it")
@_SEED
def claims(
    paths: Sequence[Path], only: Sequence[str], *, first: bool, write: bool, runtime: str, reports: Path, seed: int | None
) -> int:
    """Says which promises of the services held here: claim, what was measured, verdict, run.

    Scenario files name the claims that they test; those of the folder `scenarios` are read unless others are given. Of each
    scenario the newest run below DIR that can be trusted counts, on each runtime, or on that of --runtime alone. A claim holds
    when every bound that a scenario ties to it held, and is refuted when one was surely broken: it stays with its figure.

    \b
    Examples:
      harness claims
      harness claims --only elasticache --run --runtime local --write
    """
    from rich.console import Console

    from harness import claims as told
    from harness.reporters import _claims

    scenarios = _load_all(paths or [Path("scenarios")])
    codes = [0]
    if first:
        wanted = told.claimed_by(scenarios, only)
        ended = _run_each(wanted, runtime, reports, seed)
        codes += [0 if end.code == 1 else end.code for end in ended]  # what a run refuted, it told
    table = told.table(scenarios, reports, only, "" if runtime == "auto" else runtime)
    terminal = Console()
    terminal = terminal if terminal.is_terminal else Console(width=WIDE)
    terminal.print(_claims.grid(table))
    for problem in table.unread:
        complain(problem)
    for file in told.write(table, reports) if write else ():
        click.echo(str(file))
    return max(codes, key=BY_BADNESS.index)


# --- what runs left -------------------------------------------------------------------------------------------


@cli.command(
    epilog="Exit codes: 0 when each value has runs that can be trusted, and one meets the RTO where one is given; 1 when every"
    " value surely misses it; 3 when that cannot be told; 2 for input that cannot be used."
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--vary",
    metavar="SETTING=A,B,...",
    required=True,
    multiple=True,
    help="Which setting of the scenario gets which values; repeatable, for every combination.",
)
@click.option("--gray", metavar="FILE", type=click.Path(path_type=Path), help="A scenario whose fault passes by itself.")
@click.option(
    "--times", metavar="N", type=click.IntRange(1), default=5, show_default=True, help="Runs of each for each combination."
)
@click.option("--rto", metavar="DURATION", help="The outage that is wanted at most; the value that meets it is named.")
@_RUNTIME
@_reports_below("DIR/<scenario>/sweeps/<time>/")
@_SEED
def sweep(file: Path, vary: Sequence[str], gray: Path | None, times: int, rto: str | None, **how: Any) -> int:
    """Varies settings, and draws the outage against false failovers.

    The scenario in FILE is repeated on a cluster of its own for each value of the setting, or each combination of values where
    several are varied; so is the one of --gray, in which every failover is a false one. All are checked before the first
    cluster starts.

    \b
    Examples:
      harness sweep scenarios/rds_multi_az/writer_crash.yaml --vary topology.ttl=20s,30s,40s --rto 35s
      harness sweep crash.yaml --gray hiccup.yaml --vary topology.ttl=20s,30s --vary topology.loop_wait=1s,5s --times 10
    """
    from harness import sweeping, units

    try:
        rto_s = None if rto is None else units.seconds(rto)
    except ValueError as problem:
        raise UsageError(f"--rto {rto}: {problem}") from None
    found, folder = sweeping.sweep(
        _load(file), vary, times=times, gray=_load(gray) if gray else None, rto_s=rto_s, progress=progress(), **how
    )
    _say_together(folder, found.verdict, found.answer)
    return found.verdict.exit_code


@cli.command(
    epilog="Exit codes: 0 when every known length lay within what was measured, 1 when one did not, 3 when the probes could not"
    " keep their schedule, 2 for input that cannot be used."
)
@click.option(
    "--length",
    "lengths",
    metavar="DURATION",
    multiple=True,
    help="An outage's length; repeatable.  [default: 250ms, 1s, 3s, 10s]",
)
@click.option("--times", metavar="N", type=click.IntRange(1), default=1, show_default=True, help="Outages of each sort.")
@click.option("--saturate", is_flag=True, help="Keep every core busy meanwhile.")
@click.option("--cadence", metavar="DURATION", help="The time between two probes.  [default: as in every run, 20ms]")
@click.option("--deadline", metavar="DURATION", help="When a probe is given up.  [default: as in every run, 500ms]")
@click.option("--reconnect", metavar="DURATION", help="The time between two connects.  [default: as in every run, 100ms]")
@_RUNTIME
@_reports_below("DIR/calibration/<time>/")
@_SEED
def calibrate(lengths: Sequence[str], times: int, saturate: bool, **how: Any) -> int:
    """Measures outages of known length, and says how exactly this machine tells them.

    A gate between the probes and a plain PostgreSQL pauses, drops, rejects and resets, and stamps its own acts. What it knows
    must lie within the bounds that the probes give. The result is kept for this user, and said in the reports of later runs.

    \b
    Examples:
      harness calibrate
      harness calibrate --saturate --times 7 --cadence 10ms --deadline 100ms --reconnect 10ms
    """
    from harness import calibration

    said = {f"{name}_ms": how.pop(name) for name in ("cadence", "deadline", "reconnect")}
    found, folder = calibration.calibrate(
        settings=calibration.settings(**said),
        lengths_s=[calibration.length(one) for one in lengths] or calibration.LENGTHS_S,
        times=times, saturate=saturate, progress=progress(), **how,
    )  # fmt: skip
    click.echo(plain(calibration.markdown(found)))
    click.echo(plain(f"{found.verdict.value.upper()}: {found.summary}\n{folder / 'report.md'}"))
    return found.verdict.exit_code


@cli.command(epilog=EXIT_CODES)
@_FOLDER
def judge(folder: Path) -> int:
    """Judges a finished run, a series of them or a sweep again, from their histories alone.

    Needs no engine, no cluster and no database driver, and no earlier result.json. Writes all reports anew into
    FOLDER, which is a run's (the one that holds `history`), a series' or a sweep's.

    \b
    Example:
      harness judge reports/rds_multi_az/writer_crash/latest
    """
    from harness import judging, repeats, runner, sweeping
    from harness.verdict import Verdict

    if sweeping.is_sweep(folder):
        found = sweeping.rewrite(folder, again=True)
        _say_together(folder, found.verdict, found.answer)
        return found.verdict.exit_code
    if repeats.is_series(folder):
        series = repeats.rewrite(folder, again=True)
        _say_together(folder, series.verdict, series.reason)
        return series.verdict.exit_code
    result = judging.judge_folder(folder)
    runner.write_reports(folder, result)
    say(folder)
    return Verdict(result["verdict"]).exit_code


@cli.command(epilog="Exit codes: 0 when the reports are written, 2 when FOLDER holds no history.")
@_FOLDER
def report(folder: Path) -> None:
    """Writes the reports of a finished run anew, without judging it again.

    The result is taken from FOLDER/result.json; when that is gone, the history is judged.

    \b
    Example:
      harness report reports/rds_multi_az/writer_crash/latest
    """
    from harness import judging, repeats, runner, sweeping

    for kind, told in ((sweeping, sweeping.is_sweep(folder)), (repeats, repeats.is_series(folder))):
        if told:
            kind.rewrite(folder)
            click.echo(str(folder / "report.html"))
            return
    kept = folder / "result.json"
    try:
        result = json.loads(kept.read_text("utf-8")) if kept.exists() else judging.judge_folder(folder)
    except ValueError as problem:
        raise UsageError(f"{kept}: no JSON ({problem}); delete it to have the history judged") from None
    runner.write_reports(folder, result)
    click.echo(str(folder / "report.html"))


@cli.command(
    epilog="Exit codes: 0 when nothing is surely worse than allowed, 1 when something is, 2 for what cannot be compared, 3"
    " when the runs cannot tell."
)
@click.argument("a", type=click.Path(path_type=Path, exists=True))
@click.argument("b", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--allow",
    "allowed",
    metavar="METRIC=AMOUNT",
    multiple=True,
    help="How much worse B may be: 10% of a duration or a count, an amount such as 2s, points of a share; repeatable.",
)
@click.option(
    "--markdown",
    "table",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the table to this file, too.",
)
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write it as a page, too.")
def compare(a: Path, b: Path, allowed: Sequence[str], table: Path | None, html: Path | None) -> int:
    """Compares runs of one scenario: each metric's difference with its interval and effect size, as a Markdown table.

    A and B are each a run's folder, its result.json, or a folder of several runs; A is what was before, such as a stored
    baseline. With three runs or more a side the interval says how much runs differ; with fewer, how exactly they were measured.

    \b
    Example, as a gate in CI:
      harness compare baselines/writer_crash reports/rds_multi_az/writer_crash --allow write_outage=10% --allow lost_writes=0
    """
    from harness import comparison
    from harness.reporters._comparison import markdown, page

    amounts = dict(one.partition("=")[::2] for one in allowed)
    found = comparison.compare(a, b, amounts)
    click.echo(plain(markdown(found)), nl=False)
    for file, text in ((table, markdown), (html, page)):
        if file:
            file.write_text(text(found), "utf-8")
    return found.verdict.exit_code if amounts else 0


# --- what there is --------------------------------------------------------------------------------------------


@cli.command()
@click.option("--result", "of_result", is_flag=True, help="The schema of result.json instead.")
def schema(of_result: bool) -> None:
    """Prints the JSON Schema (draft 2020-12) of a scenario file, with which editors complete and check it.

    \b
    Example, for editors that read YAML schemas:
      harness schema > scenario.schema.json
      # then, as a scenario's first line:
      # yaml-language-server: $schema=../../scenario.schema.json
    """
    if of_result:
        from harness import judging

        click.echo(judging.SCHEMA.read_text("utf-8").rstrip())
    else:
        from harness import scenario

        click.echo(json.dumps(scenario.schema(), indent=2))


LISTED = ("faults", "changes", "topologies", "workloads", "checkers", "reporters", "scenarios")


@cli.command("list")
@click.argument("kind", type=click.Choice(LISTED), required=False)
def list_(kind: str | None) -> None:
    """Lists what there is, each with its options as a scenario file writes them: faults, topologies, …

    An option is shown with its default, or as `required`; durations, rates and shares carry their unit. Scenarios
    are those below the folder `scenarios` of the working folder.

    \b
    Examples:
      harness list
      harness list faults
    """
    for listed in (kind,) if kind else LISTED:
        click.echo(click.style(listed, bold=True))
        for line in _scenarios() if listed == "scenarios" else _members(listed):
            click.echo(f"  {line}")


def _members(kind: str) -> Iterator[str]:
    from harness import registry

    for word in registry.names(kind):
        cls = registry.find(kind, word)
        yield f"{click.style(word, fg='cyan')}: {(cls.__doc__ or '').strip().splitlines()[0]}"
        yield from (f"    {detail}" for detail in _details(kind, cls))


def _details(kind: str, cls: type[Any]) -> Iterator[str]:
    from harness import scenario

    if kind == "checkers":
        yield from (f"{metric} [{unit}]" for metric, unit in cls.metrics.items())
    elif kind != "reporters":
        for name, about in scenario.options(cls).items():
            example = f", such as {about['examples'][0]}" if about["required"] and "examples" in about else ""
            words = f" ({' | '.join(about['enum'])})" if "enum" in about else ""
            yield f"{name}: {'required' if about['required'] else about.get('default', 'none')}{example}{words}"


def _scenarios() -> Iterator[str]:
    folder = Path("scenarios")
    for file in _files([folder]) if folder.is_dir() else ():
        try:
            loaded = _load(file)
            yield f"{click.style(loaded.name, fg='cyan')}: {loaded.title}"
        except UsageError as problem:
            yield click.style(str(problem).splitlines()[0], fg="red")


# --- this machine ---------------------------------------------------------------------------------------------


@cli.command(epilog="Exit codes: 0 when everything that a run needs is there, 3 otherwise.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead: what, well, seen, mend, needed_by.")
def doctor(as_json: bool) -> int:
    """Says what this machine can do, what it cannot, and the command that mends it.

    \b
    ok  it is there
    NO  it is not there, and no run can do without it
    --  it is not there, and only some faults need it

    What containers can do is tried with one that is removed again; images that are missing are built, which takes
    minutes.
    """
    from harness.doctor import doctor as examine

    found = []
    for examined in examine(complain):
        found.append(examined)
        if not as_json:
            click.echo(plain(str(examined)))
    if as_json:
        click.echo(json.dumps([examined.as_json() for examined in found], indent=2))
    return 0 if all(examined.allows_runs for examined in found) else UNKNOWN


@cli.command()
@click.option(
    "--reports", metavar="DIR", type=click.Path(path_type=Path, file_okay=False), default=Path("reports"), show_default=True,
    help="The folder of reports below which nodes' data may have been left.",
)  # fmt: skip
def clean(reports: Path) -> None:
    """Removes what runs left behind that nobody owns any more, such as after a power cut.

    That is containers, networks, packet rules, nodes' data below the folder of reports, control groups, and the folders of
    clusters that were up. Only what carries the harness's own labels or names is touched; runs and clusters that are alive
    are left alone.
    """
    from harness import living

    for line in chain(_left_by("harness.namespaces.leftovers", reports), living.forget(), _left_by("harness.runtimes.leftovers")):
        click.echo(line)


def _left_by(runtime: str, *where: Path) -> Iterator[str]:
    """What a runtime's own module of leftovers removes, a line each; one line that says so where the runtime is not installed."""
    try:
        leftovers = importlib.import_module(runtime)
    except ModuleNotFoundError as missing:
        if str(missing.name).startswith("harness"):
            raise
        what = "local nodes" if "namespaces" in runtime else "containers"
        yield f"not looked at, since {missing.name} is not installed: what {what} have left"
    else:
        yield from leftovers.clean(*where)


for command in cli_living.COMMANDS:
    cli.add_command(command)
