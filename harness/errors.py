"""What went wrong, where, and what would be right?"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class HarnessError(Exception):
    """A failure with one clear line for the user; never shown as a traceback."""


class UsageError(HarnessError):
    """The user's input cannot be used; the command ends with exit code 2."""


class RuntimeUnavailable(HarnessError):
    """This machine cannot start the nodes; the message says what would mend it."""


class ClusterError(HarnessError):
    """The cluster could not be formed, or a node could not be handled."""


class DiskError(HarnessError):
    """A disk takes nothing more: what was to be written is not there."""

    def __init__(self, path: Path, problem: OSError) -> None:
        super().__init__(f"{path} cannot be written: {problem.strerror or problem}; make room there, and run it again")


class TargetError(HarnessError):
    """A target matched no node at the moment the fault fired; the run is UNKNOWN."""


class Aborted(HarnessError):
    """A guard ended the run before its time; everything is healed, and the run is UNKNOWN."""


_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


@contextmanager
def written_below(folder: Path) -> Iterator[None]:
    """What the disk refuses within this context is one DiskError that names `folder`; other errors stay what they are."""
    try:
        yield
    except OSError as problem:
        if problem.errno not in _DISK:
            raise
        raise DiskError(folder, problem) from None


@dataclass(frozen=True, order=True)
class Place:
    """A place in a text file: `line` and `column` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'latency'?`, or the known words when none is close."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known: {', '.join(words)}" if words else ""
