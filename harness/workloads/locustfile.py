"""What do the users of your own Locust file ask, and what do they get?

Options are read on any machine; `harness.locustfile` runs the file in client nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from harness.units import MoreThan

SPAWNED_WITHIN_S = 20  # measuring begins when all users are there


@dataclass(frozen=True)
class Locustfile:
    """Any Locust file: `locustfile` is its path, seen from the scenario file. Written without `use`.

    `users` are spread evenly over `zones` (`all`, or a list), `spawn_rate` of them are started a second; a `LoadTestShape`
    of the file decides instead, its numbers spread alike. `host` is Locust's `--host`; of tasks with tags, only those with
    one of `tags` and none of `exclude_tags` are carried out; `arguments` are further words of Locust's command line, for
    options that the file adds. The Python files of its folder and below go along, and what `files` names beside it.
    `reads` names the requests (by name, by type, or `TYPE name`) that count as reads beyond GET, HEAD, OPTIONS, SELECT and
    READ; all others count as writes. An answer later than `deadline` does not count as available.
    """

    protocols: ClassVar[tuple[str, ...]] = ()  # any: the file brings its own driver
    sets: ClassVar[dict[str, str]] = {}  # which values were written is not known, so none can be found lost

    locustfile: str
    users: Annotated[int, MoreThan(0)] = 30
    spawn_rate_per_s: Annotated[float, MoreThan(0)] = 100
    zones: str | tuple[str, ...] = "all"
    host: str = ""
    tags: tuple[str, ...] = ()
    exclude_tags: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    deadline_s: Annotated[float, MoreThan(0)] = 1

    def invariants(self) -> dict[str, int]:
        return {}

    def prepare(self, connection: Any) -> None:
        """Nothing: the file makes what it needs."""

    def final_reads(self, connection: Any) -> Iterator[tuple[str, list[int]]]:
        yield from ()

    def facts(self, connection: Any) -> dict[str, Any]:
        return {}
