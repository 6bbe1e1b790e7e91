"""What did processes that are gone leave on the engine, and what of it is nobody's any more?

Containers and networks say whose they are by their labels. Packet rules carry the run in their table's name alone, so
they are looked for by themselves: they stay when a packet helper was removed, or when the engine was started anew.
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import docker
from docker.models.containers import Container

from harness.errors import ClusterError
from harness.links.packets import Packets
from harness.runtimes import docker as runtime
from harness.runtimes.engine import asked
from harness.runtimes.images import REPOSITORY
from harness.supervisor import is_alive

OURS = re.compile(runtime.packet_table("([0-9a-f]{8})"))  # of 4 random bytes, as every run's id


def clean() -> Iterator[str]:
    """Removes what runs have left that nobody owns, a line for each. Raises RuntimeUnavailable without an engine.

    Raises ClusterError, once all others are removed, for those that the engine would not let go.
    """
    client = runtime.engine()
    with _packet_rules(client) as nft:
        ruled = _ruled(nft)  # before the owners: a run that begins just now has containers before it has rules
        owners = _owners(client)
        stuck: list[str] = []
        for run_id, owner in sorted(owners.items()):
            whose = _kept_by(owner)
            if whose:
                yield f"run {run_id} {whose}"
                continue
            try:
                runtime.remove(run_id)
            except ClusterError as problem:
                stuck.append(f"of run {run_id} something is left: {problem}")
                continue
            _remove_rules(nft, run_id, ruled)
            yield f"run {run_id} removed"
        for run_id in sorted(ruled - set(owners)):
            _remove_rules(nft, run_id, ruled)
            yield f"run {run_id} had left packet rules: removed"
    if not owners and not ruled:
        yield "nothing was left behind"
    if stuck:
        raise ClusterError("; ".join(stuck))


def _kept_by(owner: str) -> str:
    """Who must be asked before this is removed, in words; empty when nobody is there."""
    machine, _, process = owner.rpartition("/")
    if machine not in ("", platform.node()):
        return f"belongs to {machine}: left alone; `harness clean` there removes it"
    if is_alive(process):
        return f"is kept by process {process.partition(':')[0]}: left alone"
    return ""


@asked("what is left cannot be listed")
def _owners(client: docker.DockerClient) -> Mapping[str, str]:
    """Each run of which there is a container or a network, with its owner."""
    found: dict[str, str] = {}
    labelled: dict[str, str | list[str] | bool] = {"label": runtime.RUN_LABEL}
    containers = client.containers.list(all=True, ignore_removed=True, filters=labelled)
    for resource in [*containers, *client.networks.list(filters=labelled)]:
        labels = resource.attrs.get("Labels") or resource.attrs.get("Config", {}).get("Labels") or {}
        found[labels[runtime.RUN_LABEL]] = labels.get(runtime.OWNER_LABEL, "")
    ours = runtime._owner(os.getpid())  # the helper that is used to look at packet rules
    return {run_id: owner for run_id, owner in found.items() if owner != ours}


# --- packet rules ------------------------------------------------------------------------------------------------------


@contextmanager
def _packet_rules(client: docker.DockerClient) -> Iterator[Callable[[str], str] | None]:
    """Takes nft scripts on the engine's host; None where there is no image that could ever have made a rule."""
    image = _image_of_helper(client)
    if image is None:
        yield None
        return
    run_id = secrets.token_hex(4)
    try:
        yield runtime._nft(runtime._packet_helper(run_id, runtime._owner(os.getpid()), image))
    finally:
        runtime.remove(run_id)


def _image_of_helper(client: docker.DockerClient) -> str | None:
    """An image that has nft: one that was built here, or the user's own that a helper was started from."""
    built = client.images.list(filters={"label": f"{REPOSITORY}=packets"})
    if built:
        return str(built[0].id)
    helpers: list[Container] = client.containers.list(all=True, ignore_removed=True, filters={"label": runtime.RUN_LABEL})
    images = (one.attrs["Image"] for one in helpers if str(one.name).endswith(f"-{runtime.PACKETS}"))
    return next(images, None)


def _ruled(nft: Callable[[str], str] | None) -> set[str]:
    """The runs that have a table of packet rules."""
    if nft is None:
        return set()
    listed = json.loads(nft("list tables"))["nftables"]
    names = [entry["table"]["name"] for entry in listed if "table" in entry]
    return {found[1] for name in names if (found := OURS.fullmatch(name))}


def _remove_rules(nft: Callable[[str], str] | None, run_id: str, ruled: set[str]) -> None:
    if nft is not None and run_id in ruled:
        Packets(nft, runtime.packet_table(run_id)).remove()
