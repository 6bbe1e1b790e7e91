"""Did two nodes acknowledge writes at the same time, for how long, and how many did the deposed one acknowledge?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from harness.bounds import expectations, judge, show
from harness.clock import SECOND_NS
from harness.history import NOTHING, Array, Event, History, Operations, Outcome
from harness.intervals import overlaps, promotions
from harness.recording import LATE_OK
from harness.verdict import Finding, Measured, Verdict, count

NODE = "node:"
TOGETHER_S = 1.0  # acknowledgements of one node no further apart belong together


@dataclass(frozen=True)
class Reign:
    """A time in which one node acknowledged writes, in ns.

    It did so from `surely_from` to `surely_to` (the end of the first acknowledgement, the start of the last), and not
    before `perhaps_from` nor after `perhaps_to` (the nearest writes that it did not acknowledge).
    """

    node: str
    surely_from: int
    surely_to: int
    perhaps_from: int
    perhaps_to: int


@dataclass(frozen=True)
class SplitBrain:
    """Compares when each node acknowledged the writes that its prober sent to it directly.

    Without a bound in the scenario, a split brain that is proven FAILs; one that merely cannot be excluded, because a
    switch was quicker than the probes can tell, is only noted.

    `zombie_writes` counts what a node acknowledged to its prober after another one was seen to have become primary, late
    answers included: a client that waits on a frozen primary is told ok when it wakes. Probers ask seldom, so a
    client that writes more will have had more of them; which of them are lost is another matter.
    """

    metrics: ClassVar[Mapping[str, str]] = {"split_brain": "s", "zombie_writes": "count"}

    def check(self, history: History) -> Finding:
        expected = expectations(history, self.metrics)
        probes = history.operations.writes
        asked = [name for name in probes.names["endpoint"] if name.startswith(NODE)]
        probes = probes.where(endpoint=asked)
        probes = probes.at(probes["started"] != NOTHING)
        if not len(probes):
            verdict, said = judge({}, expected)
            return Finding("split_brain", verdict, "; ".join(["no node was asked directly to write", *said]))
        reigns = [reign for name in asked for reign in _reigns(name.removeprefix(NODE), probes.where(endpoint=name))]
        evidence = _evidence(reigns, probes, history.shards)
        zombies = list(_zombies(history, probes))
        asked_for_roles = bool(history.named("role"))
        measured = {
            "split_brain": _measure(reigns, history.shards, proven=bool(evidence)),
            "zombie_writes": count(sum(row["writes"] for row in zombies)) if asked_for_roles else Measured(None, "count"),
        }
        verdict, sentences = judge(measured, expected)
        if evidence and not any(one.metric == "split_brain" for one in expected):
            verdict = Verdict.FAIL
        summary = _summary(measured["split_brain"], sentences, evidence)
        return Finding("split_brain", verdict, "; ".join([summary, *map(_told, zombies)]), measured, [*evidence, *zombies])


def _reigns(node: str, probes: Operations) -> list[Reign]:
    ok = probes.at(probes["outcome"] == Outcome.OK)
    ok = ok.at(np.argsort(ok["started"], kind="stable"))
    others = probes.at((probes["outcome"] != Outcome.OK) & (probes["ended"] != NOTHING))
    # One that was answered late was waiting until then: whoever was frozen acknowledged nothing meanwhile.
    waited_until = np.where(others["answered"] != NOTHING, others["answered"], others["started"])
    refused_from, refused_to = np.sort(waited_until), np.sort(others["ended"])
    apart = np.flatnonzero(np.diff(ok["started"]) > TOGETHER_S * SECOND_NS) + 1
    reigns = []
    for part in np.split(np.arange(len(ok)), apart) if len(ok) else ():
        first, last = part[0], part[-1]
        begin, end = int(ok["started"][first]), int(ok["ended"][last])
        earlier = refused_from[refused_from < begin]
        later = refused_to[refused_to > end]
        sure = int(ok["ended"][first])
        reigns.append(
            Reign(
                node,
                sure,
                max(sure, int(ok["started"][last])),
                int(earlier[-1]) if len(earlier) else begin,
                int(later[0]) if len(later) else end,
            )
        )
    return reigns


def _measure(reigns: Sequence[Reign], shards: Mapping[str, str], proven: bool) -> Measured:
    """For how long two nodes of the same shard did so; of several shards, added up."""
    surely = perhaps = 0.0
    for shard in {shards.get(reign.node, "") for reign in reigns}:
        of = [reign for reign in reigns if shards.get(reign.node, "") == shard]
        surely += sum(b - a for a, b, _ in overlaps([(r.node, r.surely_from, r.surely_to) for r in of])) / SECOND_NS
        perhaps += sum(b - a for a, b, _ in overlaps([(r.node, r.perhaps_from, r.perhaps_to) for r in of])) / SECOND_NS
    return Measured((surely + perhaps) / 2 if proven else 0.0, "s", surely, perhaps)


def _evidence(reigns: Sequence[Reign], probes: Operations, shards: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row for each time in which one node acknowledged a write between two acknowledgements of another of its shard."""
    rows = []
    for one in reigns:
        for other in sorted({reign.node for reign in reigns if shards.get(reign.node) == shards.get(one.node)} - {one.node}):
            within = _acknowledged(probes, other, one.surely_from, one.surely_to)
            if not len(within):
                continue
            start, stop = int(within["started"].min()), int(within["ended"].max())
            rows.append(
                {
                    "from_s": start / SECOND_NS,
                    "to_s": stop / SECOND_NS,
                    "writes": {
                        other: len(within),
                        one.node: len(_acknowledged(probes, one.node, start, stop)),
                    },
                }
            )
    return rows


def _zombies(history: History, probes: Operations) -> Iterator[dict[str, Any]]:
    """A row for each node and each promotion of another one after which it went on acknowledging writes."""
    late = probes.mask(error=LATE_OK)
    ok = (probes["outcome"] == Outcome.OK) | late
    when = np.where(late, probes["answered"], probes["ended"])
    taken: dict[str | None, list[tuple[int, str]]] = {}
    for event in promotions(history):
        since = _took_over(history, event, when[ok & probes.mask(endpoint=f"{NODE}{event['node']}")])
        taken.setdefault(history.shards.get(event["node"]), []).append((since, str(event["node"])))
    reigns = ((shard, *pair) for shard, begun in taken.items() for pair in pairwise([*sorted(begun), (history.end, "")]))
    for shard, (since, primary), (until, _) in reigns:
        reign = ok & (when > since) & (when < until)
        for node in sorted({name.removeprefix(NODE) for name in probes.names["endpoint"]} - {primary}):
            of_node = reign & probes.mask(endpoint=f"{NODE}{node}")
            if of_node.any() and history.shards.get(node) == shard:
                yield {
                    "node": node,
                    "deposed_by": primary,
                    "deposed_at_s": since / SECOND_NS,
                    "writes": int(of_node.sum()),
                    "late": int((of_node & late).sum()),
                    "from_s": int(when[of_node].min()) / SECOND_NS,
                    "to_s": int(when[of_node].max()) / SECOND_NS,
                }


def _took_over(history: History, promotion: Event, acknowledged: Array) -> int:
    """When a node became primary, in ns: its role is read twice a second, and the first write that it acknowledged after the
    last reading as something else tells it sooner.
    """
    earlier = [event.at for event in history.named("role") if event["node"] == promotion["node"] and event.at < promotion.at]
    first = acknowledged[(acknowledged > max(earlier, default=promotion.at)) & (acknowledged < promotion.at)]
    return int(first.min(initial=promotion.at))


def _told(zombie: Mapping[str, Any]) -> str:
    over_ms = (zombie["to_s"] - zombie["from_s"]) * 1000
    late = f" ({zombie['late']} of them late answers)" if zombie["late"] else ""
    return (
        f"{zombie['node']} acknowledged {zombie['writes']} of its prober's writes{late} within {over_ms:.0f} ms "
        f"from {zombie['from_s']:.2f} s on, though {zombie['deposed_by']} had been primary since {zombie['deposed_at_s']:.2f} s"
    )


def _acknowledged(probes: Operations, node: str, start: int, stop: int) -> Operations:
    """A node's acknowledged writes that lie wholly within an interval."""
    ok = probes.at((probes["outcome"] == Outcome.OK) & (probes["started"] >= start) & (probes["ended"] <= stop))
    return ok.where(endpoint=f"{NODE}{node}")


def _summary(measured: Measured, sentences: Sequence[str], evidence: Sequence[Mapping[str, Any]]) -> str:
    if not evidence:
        unclear = f"; up to {measured.upper:.3f} s cannot be excluded" if measured.upper else ""
        return "; ".join([f"never did two nodes acknowledge writes at once{unclear}", *sentences])
    pairs = {frozenset(row["writes"]): row for row in evidence}
    who = "; ".join(" and ".join(sorted(pair)) for pair in pairs)
    return "; ".join([f"{who} acknowledged writes at once", *(sentences or [f"split_brain {show(measured)}"])])
