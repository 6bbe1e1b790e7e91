"""What is there of a run, on this machine or its engine, besides what lies in its folder?"""

from __future__ import annotations

from harness.namespaces import limits, processes


def left(runtime: str, run_id: str) -> list[str]:
    """The names of everything that a run of that runtime has."""
    return on_docker(run_id) if runtime == "docker" else on_this_machine(run_id)


def on_this_machine(run_id: str) -> list[str]:
    """Processes, those of its nodes too, and control groups. Namespaces and mounts are there as long as a process is in them."""
    keepers = {keeper.pid for keeper in processes.keepers() if keeper.run_id == run_id}
    inside = {pid for keeper in keepers for pid in processes.in_namespace_of(keeper) if keeper not in outermost(run_id)}
    groups = [str(group) for tree in limits._trees(limits.ROOT).values() for group in tree.glob(f"harness-{run_id}-*")]
    return [f"process {pid}" for pid in sorted(keepers | inside)] + groups


def outermost(run_id: str) -> set[int]:
    """The first process of a run's keeper, which lives among all the others of this machine."""
    return {keeper.pid for name, keeper in processes.runs().items() if name == run_id}


def on_docker(run_id: str) -> list[str]:
    """All containers and networks of a run, and its packet rules."""
    from harness.runtimes.docker import RUN_LABEL, engine

    client = engine()
    mine: dict[str, str | list[str] | bool] = {"label": f"{RUN_LABEL}={run_id}"}
    found = [str(container.name) for container in client.containers.list(all=True, ignore_removed=True, filters=mine)]
    found += [str(network.name) for network in client.networks.list(filters=mine)]
    return found + [table for table in rules() if run_id in table]


def rules() -> list[str]:
    """The tables of packet rules of the host's network, by a packet helper of our own."""
    from harness.runtimes.docker import engine
    from harness.runtimes.images import Images

    client = engine()
    listed = client.containers.run(
        Images(client, {}, lambda line: None).of("packets"), ["nft", "list", "tables"],
        network_mode="host", cap_add=["NET_ADMIN"], remove=True,
    )  # fmt: skip
    assert isinstance(listed, bytes)
    return listed.decode().splitlines()
