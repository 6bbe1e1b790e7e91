"""Who ends, or heals, what a process of ours began, when that process is gone?

A process of its own session, started before the first act. It waits on its standard input, which its client holds open:
the line `done` means a clean end, the end of input without it that the client died. What it does then:

    own RUNTIME RUN_ID …          removes everything of the run; the runtime says what else it must know
    heal CLUSTER SESSION FOLDER   heals what a measurement broke in a cluster that lives on, and saves its history

A client that hands its cluster over says `keep` with a line of JSON. The supervisor then keeps the run by itself until
somebody sends it SIGTERM, or its time is over: this is what `harness up` leaves behind.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from harness.errors import HarnessError


def identity(pid: int) -> str:
    """A process by its id and the moment at which it began, since ids are used again; empty when it is gone."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if after_name[0] == "Z" else f"{pid}:{after_name[19]}"


def is_alive(process: str) -> bool:
    """Whether the process that `identity` named is still there."""
    return bool(process) and identity(int(process.partition(":")[0])) == process


class Supervised:
    """Keeps a supervisor for what a client is about to do, and takes care of itself once it is `done`.

    Leaving the context before that leaves it to the supervisor, as dying would. `log` receives what the supervisor has to say.
    """

    def __init__(self, *words: str, log: BinaryIO) -> None:
        self._command = [sys.executable, "-m", "harness.supervisor", *words]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Supervised:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=self._log, stderr=self._log, start_new_session=True
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def done(self) -> None:
        """Everything is as it should be: the supervisor has nothing to do, and ends."""
        self._say(b"done\n")
        if self._process is not None:
            self._process.wait(timeout=30)

    def keep(self, state: Path, for_s: float | None) -> None:
        """Hands the run over: the supervisor keeps it, for `for_s` seconds at most, and removes `state` with it."""
        self._say(b"keep " + json.dumps({"state": str(state), "for_s": for_s}).encode() + b"\n")

    def _say(self, words: bytes) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        try:
            process.stdin.write(words)
            process.stdin.close()
        except BrokenPipeError:
            raise HarnessError("the supervisor had ended before its run did") from None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the supervisor runs only within its context"
        return self._process.pid


def main(argv: list[str]) -> int:
    """`own RUNTIME RUN_ID …` or `heal CLUSTER SESSION FOLDER`; returns when there is nothing left to care for."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    if argv[0] == "own":
        # Some 40 MB for as long as the run lasts. Importing it when the harness is gone took seconds of a busy machine, of
        # the ten in which nothing of the run must be left.
        runtime = importlib.import_module(f"harness.runtimes.{argv[1]}")
        if hasattr(runtime, "begin"):  # this process has something to start, and to keep
            runtime.begin(*argv[2:])
    heard = b""
    while chunk := os.read(sys.stdin.fileno(), 1024):
        heard += chunk
    verb, _, rest = heard.partition(b" ")
    if verb.strip() == b"done":
        return 0
    if argv[0] == "heal":
        _heal(*argv[1:])
    elif verb == b"keep":
        _keep(argv[1], argv[2:], **json.loads(rest))
    else:
        _remove(argv[1], argv[2:], "the harness is gone")
    return 0


def _keep(runtime: str, run: list[str], state: str, for_s: float | None) -> None:
    if for_s is None:
        signal.sigwait({signal.SIGTERM})
    why = "asked to" if for_s is None or signal.sigtimedwait({signal.SIGTERM}, for_s) else "its time is over"
    _remove(runtime, run, why)
    shutil.rmtree(state, ignore_errors=True)


def _remove(runtime: str, run: list[str], why: str) -> None:
    run_id, *more = run
    _say(f"{why}: removing run {run_id}")
    try:
        importlib.import_module(f"harness.runtimes.{runtime}").abandon(run_id, _say, *more)
    except HarnessError as problem:
        _say(f"{problem}; given up: `harness clean` removes what is left of run {run_id}")
    else:
        _say(f"run {run_id} removed")


def _heal(cluster: str, session: str, folder: str) -> None:
    _say(f"the harness is gone: healing cluster {cluster}")
    living = importlib.import_module("harness.living")
    living.heal(cluster)
    living.save(cluster, session, Path(folder))
    _say(f"cluster {cluster} is healed; the history is in {folder}")


def _say(line: str) -> None:
    with suppress(OSError):  # a full disk must not keep it from its work
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
