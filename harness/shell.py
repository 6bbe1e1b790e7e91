"""How does every command begin and end the same way, whatever it does in between?"""

from __future__ import annotations

import json
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from harness.errors import HarnessError, RuntimeUnavailable, UsageError
from harness.plain import plain

USAGE, CRASH, INTERRUPTED = 2, 4, 130
UNKNOWN = 3
# From best to worst: a bound that was seen broken outweighs a run that cannot tell, as in harness.verdict.
BY_BADNESS = (0, UNKNOWN, 1, USAGE, CRASH)

EXIT_CODES = """
\b
Exit codes:
  0  PASS: every expectation held
  1  FAIL: a bound was seen broken
  2  the command or a scenario file cannot be used
  3  UNKNOWN: the run cannot tell
  4  the harness itself crashed
"""


def failed(problem: Exception, shown: bool) -> int:
    """Says what went wrong, in one line where nobody asked for more; returns the exit code."""
    if shown:
        traceback.print_exception(problem)
    if isinstance(problem, UsageError):
        complain(str(problem))
        return USAGE
    if isinstance(problem, HarnessError):
        complain(f"{'this machine cannot run it' if isinstance(problem, RuntimeUnavailable) else 'UNKNOWN'}: {problem}")
        return UNKNOWN
    first = (str(problem).splitlines() or [""])[0]
    complain(f"the harness crashed: {type(problem).__name__}: {first}; {_kept(problem)}")
    return CRASH


def _kept(problem: Exception) -> str:
    """Where the traceback of a crash is, in words."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="harness-crash-", suffix=".txt", delete=False, encoding="utf-8") as file:
            traceback.print_exception(problem, file=file)
    except OSError as refused:
        return f"its traceback could not be kept ({refused.strerror}); --traceback shows it"
    return f"its traceback is in {file.name}"


def complain(text: str) -> None:
    with suppress(OSError):  # of a terminal that was closed: what is under way is healed and reported all the same
        click.echo(plain(text), err=True)


class Command(click.Command):
    """A command that can be asked for the traceback of its failure, which `main` shows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shown = "Show where in the harness it failed, too."
        self.params.append(click.Option(["--traceback"], is_flag=True, expose_value=False, help=shown))


class Group(click.Group):
    command_class = Command


def say(folder: Path) -> str:
    """Prints what a run's result.json says: the figures, the verdict, the reason; returns the path of its page, the last line."""
    from rich.console import Console

    from harness.reporters import console

    result = json.loads((folder / "result.json").read_text("utf-8"))
    report = str(folder / "report.html")
    Console().print(console.summary(result))
    click.echo(plain(f"\n{result['verdict'].upper()}: {result['reason']}\n{report}"))
    return report


def progress() -> Callable[[str], None]:
    """Says on stderr what is going on, with the seconds since the run began."""
    began = time.monotonic()
    return lambda text: complain(f"{time.monotonic() - began:7.1f} s  {text}")
