"""Does the first signal end a run in order, wherever it comes, and the second one at once?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from harness import interrupts

# A process that is told to stop by itself, at the place that a test puts in.
PROGRAM = """
import os, signal, sys
from harness import interrupts
def told(number):
    os.kill(os.getpid(), number)
with interrupts.honoured():
    try:
{body}
    except KeyboardInterrupt:
        print("raised", interrupts.asked(), flush=True)
        try:
{healing}
        finally:
            print("healed", flush=True)
print("ended", interrupts.asked(), flush=True)
"""


def ran(body: str, healing: str = "pass", ignored: int | None = None) -> tuple[int, list[str], str]:
    """The exit code, the lines and the complaints of a process in which that happens."""

    def indented(text: str, by: int) -> str:
        return "\n".join(" " * by + line for line in text.splitlines())

    program = PROGRAM.format(body=indented(body, 8), healing=indented(healing, 12))
    # Whatever this test's own process was started with, such as a shell's background.
    setup = "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    setup += "signal.signal(signal.SIGTERM, signal.SIG_DFL)\nsignal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
    setup += f"signal.signal({int(ignored)}, signal.SIG_IGN)\n" if ignored else ""
    ended = subprocess.run(
        [sys.executable, "-c", f"import signal\n{setup}{program}"], capture_output=True, text=True, timeout=60, check=False
    )
    return ended.returncode, ended.stdout.splitlines(), ended.stderr


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_the_first_signal_is_raised_and_healing_comes_to_its_end(number: signal.Signals) -> None:
    code, lines, said = ran(f"told({int(number)}); print('went on')")
    assert lines == [f"raised {number.name}", "healed", f"ended {number.name}"]
    assert code == 0
    assert "once more stops at once" in said


@pytest.mark.parametrize("second", interrupts.SIGNALS)
def test_the_second_signal_ends_the_process_at_once_even_while_it_heals(second: signal.Signals) -> None:
    code, lines, said = ran("told(signal.SIGINT)", f"with interrupts.shielded(): told({int(second)}); print('went on')")
    assert lines == ["raised SIGINT"]
    assert code == interrupts.AT_ONCE
    assert "stopped at once" in said


def test_what_is_shielded_comes_to_its_end_and_is_interrupted_afterwards() -> None:
    _, lines, _ = ran("with interrupts.shielded(): told(signal.SIGTERM); print('whole')\ninterrupts.check(); print('went on')")
    assert lines == ["whole", "raised SIGTERM", "healed", "ended SIGTERM"]


def test_an_interruption_is_raised_once() -> None:
    _, lines, _ = ran("told(signal.SIGINT)", "interrupts.check(); print('undisturbed')")
    assert lines == ["raised SIGINT", "undisturbed", "healed", "ended SIGINT"]


def test_a_signal_that_the_process_was_started_to_ignore_stays_ignored() -> None:
    _, lines, said = ran("told(signal.SIGHUP); print('went on')", ignored=signal.SIGHUP)
    assert lines == ["went on", "ended "]
    assert said == ""


def test_signals_are_as_before_once_a_run_is_over() -> None:
    before = [signal.getsignal(number) for number in interrupts.SIGNALS]
    with interrupts.honoured():
        pass
    assert [signal.getsignal(number) for number in interrupts.SIGNALS] == before


def test_one_run_does_not_end_by_what_was_asked_of_the_one_before() -> None:
    with interrupts.honoured(), interrupts.shielded():
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.asked() == "SIGTERM"
    with interrupts.honoured():
        interrupts.check()
        assert interrupts.asked() == ""


def test_a_run_outside_the_main_thread_changes_no_signals() -> None:
    seen = []

    def run() -> None:
        with interrupts.honoured():
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]
