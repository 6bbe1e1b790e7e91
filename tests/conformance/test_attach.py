"""Whoever attaches to a cluster that lives on finds the nodes that it has by now, whoever added or removed them."""

from __future__ import annotations

from pathlib import Path

from harness.clock import wait_until
from harness.protocols import Cluster, Runtime
from harness.runtimes.laid_out import MEMBERS
from harness.witnesses import LOOK
from tests.conformance.echo import PORT, QUESTION, Echo


def test_nodes_that_came_and_went_are_known_to_who_attaches_later(runtime: Runtime, cluster: Cluster, folder: Path) -> None:
    def answers(attached: Cluster, node: str) -> bool:
        asked = (*LOOK, "greet", attached.nodes[node].spec.address, str(PORT), QUESTION.hex(), "0.6")
        return attached.client("az-b").run(*asked).out.strip() == "answers"

    topology = Echo()
    first = runtime.attach(cluster.run_id, topology, folder)
    assert {*first.nodes} == {*cluster.nodes}
    for name in ("echo-early", "echo-late"):
        first.add(topology.came(name, "az-b", first.address("az-b"), {"word": name})).start()
    first.remove("echo-early")
    try:
        second = runtime.attach(cluster.run_id, Echo(), folder)
        assert {*second.nodes} == {*cluster.nodes, "echo-late"}
        late = second.nodes["echo-late"].spec
        assert (late.address, late.made) == (first.nodes["echo-late"].spec.address, {"word": "echo-late"})
        wait_until(lambda: answers(second, "echo-late"), 10, "the node to answer")
        assert second.address("az-b") not in {node.spec.address for node in second.nodes.values()}
        second.remove("echo-late")
        assert {*runtime.attach(cluster.run_id, Echo(), folder).nodes} == {*cluster.nodes}
    finally:
        (folder / MEMBERS).unlink()
