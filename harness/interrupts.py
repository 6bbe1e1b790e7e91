"""Who asked this process to stop, and may it be stopped right here?

The first Ctrl-C, SIGTERM (by which a CI system cancels) or SIGHUP (of a terminal that was closed) ends a run in order:
what is broken is healed, the nodes are removed, what was recorded is judged and reported. Nothing interrupts that but a
second one, which ends the process at once: then its supervisor removes the nodes, and the history is there to be judged.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AT_ONCE = 130  # the exit code of a process that was told twice


@dataclass
class _Run:
    """What is known of the run that is under way: signals are the process's own, so there is one at a time."""

    heard: list[str] = field(default_factory=list)  # the signals, by name
    shields: int = 0
    raised: bool = False


_run = _Run()


@contextmanager
def honoured() -> Iterator[None]:
    """For as long as this lasts, the first signal raises KeyboardInterrupt, where nothing is shielded from it.

    Signals that the process was started to ignore stay ignored. Outside the main thread, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _run.heard.clear()
    _run.raised = False
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number, handler in before.items():
            if handler != signal.SIG_IGN:
                signal.signal(number, _hear)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def asked() -> str:
    """The signal by which the user asked the run to stop, or the one before; empty when nobody did."""
    return _run.heard[0] if _run.heard else ""


def check() -> None:
    """Raises KeyboardInterrupt when the run was asked to stop while it was shielded."""
    if _run.heard and not _run.raised and not _run.shields:
        _run.raised = True
        raise KeyboardInterrupt


@contextmanager
def shielded() -> Iterator[None]:
    """What must come to its end is not interrupted here: whoever goes on afterwards has to `check`."""
    _run.shields += 1
    try:
        yield
    finally:
        _run.shields -= 1


def _hear(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature of a handler)
    _run.heard.append(signal.Signals(number).name)
    if len(_run.heard) > 1:
        _say("stopped at once; the nodes are being removed, and `harness judge` reports what was recorded")
        os._exit(AT_ONCE)
    _say("stopping: everything is healed, removed and reported; once more stops at once")
    check()


def _say(line: str) -> None:
    with suppress(OSError):  # the terminal may be what has gone
        os.write(2, f"\n{line}\n".encode())
