"""How is the network between two groups of nodes made slow, lossy or narrow, on any kernel, and made whole again?

Two parts. Rules of the bridge divert packets to the bridge's own device: whoever makes the rules of a network makes
these, too (`Divert`). The carrier (links/carrier.py) takes them there and lets them go on when their time has come. It needs
nothing but a way to run a command where the bridge is.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import ClusterError
from harness.protocols import Carried, Group, Shape

TEXT = Path(__file__).with_name("carrier.py")

Run = Callable[[Sequence[str]], str]  # a command, run where the bridge is → what it printed; raises ClusterError
Divert = Callable[[str, str], AbstractContextManager[None]]  # a name of its own, the bridge's address → rules in force


@dataclass(frozen=True)
class Carrier:
    """The process that carries diverted packets; it is there for as long as there is a shape.

    `path` is where it can be spoken to: a file, and beside it its lock and the log of its failure.
    """

    run: Run
    bridge: str
    path: str
    python: str = "python3"

    @contextmanager
    def shape(self, a: Group, b: Group, shape: Shape, divert: Divert, *, forth: bool = True, back: bool = True) -> Iterator[None]:
        """Carries from before packets are diverted until after they no longer are: none is lost at either end."""
        name = f"shape_{secrets.token_hex(4)}"
        ways = [("forth", a, b)] * forth + [("back", b, a)] * back
        lanes = [
            {
                "id": f"{name} {way} {_way(source, target)}", "seed": way, "source": list(source.ranges),
                "target": list(target.ranges), **asdict(shape),
            }
            for way, source, target in ways
        ]  # fmt: skip
        try:
            address = str(self._tell({"begin": lanes})["address"])
            with divert(name, address):
                yield
        finally:
            self._tell({"end": [lane["id"] for lane in lanes]})

    def carried(self, a: Group, b: Group) -> Carried | None:
        """What became of packets from `a` to `b`; None where none are shaped, or nobody is left to carry them.

        Raises ClusterError, with the reason, where whoever carried them has failed.
        """
        told = self._tell({"count": []})
        if why := told.pop("ended", None):
            raise ClusterError(f"packets are carried no more: {why}")
        counts = [count for id_, count in told.items() if id_.endswith(f" {_way(a, b)}")]
        if not counts:
            return None
        total = {name: sum(count[name] for count in counts) for name in ("lost", "overrun")}
        most = {name: max(count[name] for count in counts) for name in ("taken", "unreachable", "late", "missed")}
        return Carried(**total, **most)

    def end(self) -> None:
        """Ends every shape: what waits still arrives."""
        self._tell({"end": []})

    def _tell(self, request: Mapping[str, Any]) -> dict[str, Any]:
        command = [self.python, "-S", "-E", "-c", TEXT.read_text(encoding="utf-8"), "tell", self.path, self.bridge]
        answer: dict[str, Any] = json.loads(self.run([*command, json.dumps(request)]))
        if "problem" in answer:
            raise ClusterError(f"packets cannot be shaped: {answer['problem']}")
        return answer


def _way(source: Group, target: Group) -> str:
    return f"{','.join(source.ranges)}>{','.join(target.ranges)}"
