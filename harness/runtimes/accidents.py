"""Which node has ended, or has run out of memory, without anybody's doing?"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import docker
from docker.types import CancellableStream

from harness.protocols import Accident
from harness.runtimes.engine import GONE, asked, reason


class Accidents:
    """Follows what an engine tells of the containers that carry a label; the context ends it.

    Nodes are never ended on purpose during a run: faults act on the processes inside. `prefix` comes before a node's name
    in its container's. An engine that stops telling is an accident, too.
    """

    def __init__(self, client: docker.DockerClient, label: str, prefix: str) -> None:
        self._client, self._label, self._prefix = client, label, prefix
        self._seen: list[Accident] = []
        self._over = False

    def __enter__(self) -> Accidents:
        told = {"type": "container", "label": self._label, "event": ["die", "oom"]}
        with asked("nodes could not be watched"):
            self._stream: CancellableStream[dict[str, Any]] = self._client.events(decode=True, filters=told)
        threading.Thread(target=self._follow, name="accidents", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over = True
        self._stream.close()

    def all(self) -> list[Accident]:
        """What has happened so far, in order."""
        return list(self._seen)

    def _follow(self) -> None:
        why = "its events ended"
        try:
            for event in self._stream:
                self._seen.append(self._told(event))
        except (*GONE, ValueError) as problem:  # half an event is no JSON
            why = reason(problem)
        if not self._over:
            self._seen.append(Accident(None, f"the Docker engine does not answer any more ({why})"))

    def _told(self, event: dict[str, Any]) -> Accident:
        about = event["Actor"]["Attributes"]
        node = str(about["name"]).removeprefix(self._prefix)
        if event["Action"] == "oom":
            return Accident(node, "ran out of memory")
        return Accident(node, f"ended by itself (its container's exit code is {about.get('exitCode', 'unknown')})")
