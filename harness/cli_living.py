"""What can be done from a shell with a cluster that lives on: bring it up, look, break or change it, take it down?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import HarnessError, UsageError
from harness.shell import EXIT_CODES, Command, Group, progress, say

if TYPE_CHECKING:
    from harness.living import Living
    from harness.protocols import Cluster, Topology
    from harness.scenario import Scenario


# --- up, status, down ----------------------------------------------------------------------------------------------------


@click.command(
    cls=Command, epilog="Exit codes: 0 when it is up, 2 for a topology that cannot be used, 3 when it could not be started."
)
@click.argument("topology", metavar="TOPOLOGY|FILE")
@click.option(
    "--set", "options", metavar="OPTION=VALUE", multiple=True, help="An option of the topology, such as ttl=30s; repeatable."
)
@click.option("--name", metavar="NAME", help="What to call it.  [default: the topology's name, numbered if need be]")
@click.option(
    "--for", "for_", metavar="DURATION", help="Take it down by itself after this time, such as 8h.  [default: it stays]"
)
@click.option(
    "--runtime", type=click.Choice(["auto", "docker", "local"]), default="auto", show_default=True, help="Where its nodes live."
)
def up(topology: str, options: tuple[str, ...], name: str | None, for_: str | None, runtime: str) -> None:
    """Starts a cluster, leaves it running, and prints where programs reach it.

    TOPOLOGY is a topology's word (see `harness list topologies`); of a scenario FILE its topology and images are
    taken. Each zone has endpoints of its own on loopback, which lead through that zone's Toxiproxy: what connects
    there is a client in that zone.

    \b
    Examples:
      harness up rds-multi-az
      harness up rds-multi-az --set replication=asynchronous --name lossy --for 2h
    """
    from harness import living, runtimes, scenario, units

    asked = _asked_topology(topology, options)
    seconds = units.seconds(for_) if for_ else None
    tell = progress()
    chosen = runtimes.called(runtime, asked.images, tell, topology=asked.topology.options)
    made = living.up(
        asked.topology.use, asked.topology.options, chosen, tell,
        options=scenario.as_run(asked)["topology"]["options"], name=name, for_s=seconds,
    )  # fmt: skip
    click.echo(f"{made.name} is up (run {made.run_id}); `harness down {made.name}` removes it")
    _print_entrances(*made.attach())


def _asked_topology(word: str, options: tuple[str, ...]) -> Scenario:
    from harness import registry, scenario

    if Path(word).suffix in (".yaml", ".yml"):
        if options:
            raise UsageError("--set goes with a topology's word; a scenario file has its options")
        return scenario.load(Path(word))
    registry.find("topologies", word)
    given = dict(_pair(text) for text in options)
    return scenario.of({"title": f"{word} lives on", "topology": {"use": word, **given}}, name=word, below=("topology",))


def _pair(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: write OPTION=VALUE, such as ttl=30s")
    return key.strip(), _plain(value.strip())


def _plain(text: str) -> object:
    """A value from the command line as a scenario file would hold it: a number, yes or no, or a text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool) else text


def _print_entrances(topology: Topology, cluster: Cluster) -> None:
    """A line for each, never folded or cut: they are there to be copied."""
    from harness.layout import part_of

    rows = [("zone", "endpoint", "connect to")]
    for zone in cluster.zones:
        for endpoint in topology.endpoint_names:
            rows.append((zone, endpoint, part_of(topology, endpoint).dsn(*cluster.entrance(zone, endpoint))))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for row in rows:
        click.echo(f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}")


@click.command(cls=Command)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, for programs.")
def status(name: str | None, as_json: bool) -> None:
    """Says which clusters are up, how each of them is, and where programs reach it.

    \b
    Examples:
      harness status
      harness status rds-multi-az --json
    """
    from harness import living

    found = [living.find(name)] if name else living.clusters()
    told = [_state(one) for one in found]
    if as_json:
        click.echo(json.dumps(told, indent=2))
    elif not told:
        click.echo("no cluster is up; `harness up rds-multi-az` starts one")
    for one, state in zip(found, told, strict=True) if not as_json else ():
        click.echo(
            f"{click.style(one.name, bold=True)}: {one.topology}, run {one.run_id}, up since {one.began}, {state['health']}"
        )
        if state["in_use"]:
            click.echo(f"  in use: {state['in_use']}")
        if state["roles"]:
            click.echo("  " + ", ".join(f"{node} {role}" for node, role in state["roles"].items()))
            _print_entrances(*one.attach())


def _state(one: Living) -> dict[str, Any]:
    """What `status --json` prints of a cluster; no roles and no entrances when it is not whole."""
    from harness.layout import part_of

    told: dict[str, Any] = {
        "name": one.name, "topology": one.topology, "options": dict(one.options), "run": one.run_id, "since": one.began,
        "kept": one.kept, "in_use": one.user(), "health": "", "roles": {}, "entrances": {},
    }  # fmt: skip
    try:
        topology, cluster = one.attach()
        missing = topology.healthy(cluster)
        told["health"] = f"not healthy: {missing}" if missing else "healthy"
        told["roles"] = dict(topology.roles(cluster))
        told["entrances"] = {
            zone: {name: part_of(topology, name).dsn(*cluster.entrance(zone, name)) for name in topology.endpoint_names}
            for zone in cluster.zones
        }
    except HarnessError as problem:
        told["health"] = f"not whole: {problem}"
    if not one.kept:
        told["health"] += f"; its supervisor is gone, `harness down {one.name}` removes it"
    return told


@click.command(cls=Command, epilog="Exit codes: 0 when nothing is left, 2 when it is in use or there is none.")
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="All that are up.")
@click.option("--force", is_flag=True, help="Also one that is being measured right now.")
def down(name: str | None, every: bool, force: bool) -> None:
    """Takes a cluster down and removes everything of it.

    \b
    Examples:
      harness down
      harness down lossy
    """
    from harness import living

    for one in living.clusters() if every else [living.find(name)]:
        living.down(one, force=force)
        click.echo(f"{one.name} is gone")


# --- breaking and changing -----------------------------------------------------------------------------------------------


class _Acts(Group):
    """A group that has a command for each fault, or each change, there is."""

    kind: str

    def list_commands(self, context: click.Context) -> list[str]:
        from harness import registry

        return list(registry.names(self.kind))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        from harness import registry

        return self.made(name, registry.find(self.kind, name))

    def made(self, word: str, cls: type[Any]) -> click.Command:
        raise NotImplementedError


def _own_options(cls: type[Any]) -> list[click.Option]:
    """The options of a fault or a change as the command line has them."""
    from harness import scenario

    made = []
    for name, about in scenario.options(cls).items():
        words = (
            f"{' | '.join(about['enum'])}"
            if "enum" in about
            else f"such as {about['examples'][0]}"
            if "examples" in about
            else ""
        )
        default = f"  [default: {about['default']}]" if "default" in about else ""
        metavar = "WORD" if "enum" in about else "VALUE"
        made.append(
            click.Option(
                [f"--{name.replace('_', '-')}", f"own_{name}"], metavar=metavar, required=about["required"], help=words + default
            )
        )
    return made


_SHARED = (
    click.Option(["--cluster"], metavar="NAME", help="Which cluster, when several are up.  [default: the only one]"),
    click.Option(["--reports"], metavar="DIR", type=click.Path(path_type=Path, file_okay=False), default=Path("reports"),
                 show_default=True, help="The folder to write to: DIR/<cluster>/<what>/<time>/."),
    click.Option(["--seed"], metavar="N", type=int, help="A whole number that repeats random choices.  [default: drawn anew]"),
)  # fmt: skip


class _Faults(_Acts):
    kind = "faults"

    def made(self, word: str, cls: type[Any]) -> click.Command:
        from harness.scenario.contradictions import ACTS_ON, EXAMPLE_OF

        target = next(EXAMPLE_OF[sorts[0]] for method, sorts in ACTS_ON.items() if hasattr(cls, method))
        options = [
            click.Option(
                ["--target"], metavar="TARGET", default=target, show_default=True, help="Whom it hits, in a scenario's words."
            ),
            click.Option(["--for", "for_"], metavar="DURATION", help="How long it lasts.  [default: 30s]"),
            click.Option(["--until"], metavar="CONDITION", help="End it on a condition, such as 'new writer is stable'."),
            click.Option(["--at-most"], metavar="DURATION", help="With --until: how long it lasts at most.  [default: 60s]"),
        ]

        def act(cluster: str | None, reports: Path, seed: int | None, **given: Any) -> int:
            own = _given(given)
            ends = {
                key: given[name] for key, name in (("for", "for_"), ("until", "until"), ("at_most", "at_most")) if given[name]
            }
            if not ends:
                ends = {"for": "30s"}
            elif "until" in ends and "for" not in ends:
                ends.setdefault("at_most", "60s")
            fault = {"inject": word, "target": given["target"], "at": "0s", **ends, **own}
            through = {"path": "toxiproxy"} if hasattr(cls, "on_link") else {}
            return _measure(
                cluster, f"inject_{word}", f"{word} of {given['target']}", {"faults": [fault], **through}, reports, seed
            )

        described = f"{(cls.__doc__ or word).strip()}"
        return Command(word, callback=act, params=[*options, *_own_options(cls), *_SHARED], help=described, epilog=EXIT_CODES)


class _Changes(_Acts):
    kind = "changes"

    def made(self, word: str, cls: type[Any]) -> click.Command:
        def act(cluster: str | None, reports: Path, seed: int | None, **given: Any) -> int:
            change = {"change": word, "at": "0s", **_given(given)}
            return _measure(cluster, f"change_{word}", f"{word} on purpose", {"changes": [change]}, reports, seed)

        described = f"{(cls.__doc__ or word).strip()}"
        return Command(word, callback=act, params=[*_own_options(cls), *_SHARED], help=described, epilog=EXIT_CODES)


def _given(options: Mapping[str, Any]) -> dict[str, object]:
    return {
        name.removeprefix("own_"): _plain(text) for name, text in options.items() if name.startswith("own_") and text is not None
    }


@click.command(cls=_Faults, epilog="`harness inject FAULT --help` says what a fault's own options are.")
def inject() -> None:
    """Breaks a cluster that is up, shows live what clients see, heals it, and reports.

    Probes run in every zone's client node meanwhile; the report says what they saw, as after `harness run`. Ctrl-C
    heals at once.

    \b
    Examples:
      harness inject crash --target writer --for 30s
      harness inject latency --delay 100ms --target 'clients in zone(az-a)'
    """


@click.command(cls=_Changes, epilog="`harness change CHANGE --help` says what a change's own options are.")
def change() -> None:
    """Changes a cluster that is up on purpose, as an operator would, and reports what clients saw of it.

    \b
    Example:
      harness change switchover
    """


def _measure(cluster: str | None, name: str, title: str, acts: Mapping[str, Any], reports: Path, seed: int | None) -> int:
    """Carries out what was asked for on a living cluster, shows it live, and prints the result; returns the exit code."""
    from harness import live, living, registry, runner, scenario

    one = living.find(cluster)
    made = registry.find("topologies", one.topology)(**one.options)
    topology = {"use": one.topology, **scenario.as_written(made)}
    document = {"title": f"{one.name}: {title}", "topology": topology, "steady_state": {"for": "2s"}, **acts}
    made_of = partial(scenario.of, document, name=f"{one.name}/{name}", below=(next(iter(acts)), 0))
    try:
        nodes = [node.spec for node in one.attach()[1].nodes.values()]  # some may have come since, and some gone
    except HarnessError:
        made_of()  # what is wrong with what was asked for is said first
        raise
    asked = made_of(nodes=nodes)
    with live.shown() as show:
        ended = runner.measure(asked, one, reports=reports, seed=seed, progress=show.progress, during=show.during)
    say(ended.folder)
    return ended.verdict.exit_code


COMMANDS: tuple[click.Command, ...] = (up, status, inject, change, down)
