"""Who ends everything of a run when the harness is gone?

A process of its own session, started before the first node. It waits on its standard input, which
the harness holds open: the line `done` means a clean end, the end of input means that the harness died.
Then it removes everything that carries the run's label.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from types import TracebackType
from typing import BinaryIO

from harness.errors import HarnessError


class Supervised:
    """Keeps a supervisor for a run of a runtime; leaving the context tells it that all is done.

    `log` receives what the supervisor has to say.
    """

    def __init__(self, runtime: str, run_id: str, log: BinaryIO) -> None:
        self._command = [sys.executable, "-m", "harness.supervisor", runtime, run_id]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Supervised:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=self._log, stderr=self._log, start_new_session=True
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        try:
            process.stdin.write(b"done\n")
            process.stdin.close()
        except BrokenPipeError:
            raise HarnessError("the supervisor had ended before its run did") from None
        process.wait(timeout=30)

    @property
    def pid(self) -> int:
        assert self._process is not None, "the supervisor runs only within its context"
        return self._process.pid


def main(argv: list[str]) -> int:
    """`RUNTIME RUN_ID`; returns when the run has ended, one way or the other."""
    runtime, run_id = argv
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    heard = b""
    while chunk := os.read(sys.stdin.fileno(), 64):
        heard += chunk
    if heard.strip() == b"done":
        return 0
    print(f"the harness is gone: removing run {run_id}", flush=True)
    # Imported only now: a supervisor that waits should cost next to no memory.
    importlib.import_module(f"harness.runtimes.{runtime}").abandon(run_id)
    print(f"run {run_id} removed", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
