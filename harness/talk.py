"""What do servers answer, asked from their own zones?

All questions at once, by one program in each zone: whoever asks is in the way of what is measured, and to start a program in a
container takes more CPU than all that it asks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from harness.protocols import Cluster, NodeSpec
from harness.witnesses import LOOK


class Question(NamedTuple):
    """What is said to a node's server on a connection of its own, which ends with that."""

    spec: NodeSpec
    port: int
    said: bytes


def talk(cluster: Cluster, questions: Sequence[Question], within_s: float = 2) -> list[str]:
    """The answer to each question; empty where a server is silent, or its zone's client node."""
    zones = sorted({question.spec.zone for question in questions})

    def asked_in(zone: str) -> dict[int, str]:
        asked = {at: question for at, question in enumerate(questions) if question.spec.zone == zone}
        words = [word for one in asked.values() for word in (one.spec.address, str(one.port), one.said.hex())]
        ran = cluster.client(zone).run(*LOOK, "talk", f"{within_s:g}", *words)
        return dict(zip(asked, json.loads(ran.out), strict=True)) if ran.status == 0 else dict.fromkeys(asked, "")

    with ThreadPoolExecutor(max(1, len(zones))) as pool:
        answers = {at: answer for zone in pool.map(asked_in, zones) for at, answer in zone.items()}
    return [answers[at] for at in range(len(questions))]
