"""Writes docs/reference from the code, so that it cannot say anything else: `python -m docs.generate`.

With `--check` nothing is written; the pages that are stale are named, and the exit code is 1.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import click

from harness import (
    catalogue,
    cli,
    conditions,
    errors,
    fixtures,
    history,
    judging,
    pytest_plugin,
    registry,
    repeats,
    scenario,
    shell,
    spread,
    sweeping,
    targets,
    testing,
)
from harness.layout import Plan, client_nodes
from harness.protocols import Topology
from harness.scenario import ChangePlan, FaultPlan, Repeat
from harness.verdict import Measured

FOLDER = Path(__file__).parent / "reference"
HEAD = "<!-- Written by `python -m docs.generate` from the code: change it there. -->\n"

# What the files of a series and of a sweep hold, by key; one that is missing here, or no longer there, is an error.
VERDICT = "`pass`, `fail` or `unknown`"
OF_A_SERIES = {
    "scenario": "its name",
    "title": "",
    "verdict": f"{VERDICT}, of the runs that can be trusted together",
    "reason": "why, in a sentence",
    "asked": "the scenario's `repeat`: `min`, `max`, and `until`, by metric the share of the median that its interval may take",
    "stopped": "why no further run was made, when that was not because it was enough",
    "unread": "of each run that nothing can be read of, why that is so",
    "runs": "each run's `folder`, `verdict`, `reason`, and whether it can be `trusted`: nothing about the run itself is unknown",
    "metrics": "each metric over the runs that can be trusted, as below",
}
OF_A_METRIC = {
    "metric": "its name",
    "unit": "`s`, `share` or `count`",
    "runs": "how many runs have a figure",
    "missing": "how many have none",
    "median": "",
    "lower": "the median is not below (95 %, by bootstrap); null for fewer than three runs, or one without an upper bound",
    "upper": "nor above",
    "one_mode_p": "the p of Hartigan's dip test for a single mode; null for fewer than eight runs",
    "several_modes": "whether that p is below 0.05: then the median describes nobody",
    "values": "each run's figure: `value`, `lower`, `upper`, as a single result has them",
}
OF_A_SWEEP = {
    "scenario": "the name of the scenario that was carried out under each value",
    "title": "",
    "vary": "the settings, each as `topology.ttl`",
    "gray": "the title of the scenario with the gray fault; empty without one",
    "rto_s": "the outage that was wanted; null when none was",
    "verdict": f"{VERDICT}: `fail` when every value surely misses the RTO",
    "answer": "what the sweep says, in a sentence",
    "named": "of the values that meet the RTO the one with the fewest false failovers; null when there is none",
    "left": "the values, or combinations, of which nothing was run yet",
    "stopped": "why that is so",
    "settings": "each value, or combination, of which something was run, as below",
}
OF_A_SETTING = {
    "value": "as it was written; for several settings a combination in words",
    "values": "the same by the settings' names",
    "meets": f"{VERDICT}: whether every run was surely back within the RTO; null when none was wanted",
    "write_outage": "the write outages of the runs that can be trusted, as a series' metric; null without such a run",
    "lost_writes": "their lost writes, likewise",
    "false_failovers": "in how many runs with the gray fault the primary changed, and of how many; null when that is not known",
    "folders": "where the series are, below the sweep's folder: first the scenario's, then the one with the gray fault",
    "outage": "what the scenario's runs say together, as in repeats.json",
    "gray": "the same of the gray fault's; null without one",
}

# What each metric means to a reader; a metric that is missing here is an error.
METRICS = {
    "write_outage": "the longest time without an acknowledged write, per client zone; the worst zone is the headline",
    "read_outage": "the same for reads, at the reader endpoint",
    "first_success": "from the fault's effect until a write was acknowledged again in any client zone",
    "recovery": "from the fault's effect to stable service in every client zone: writes, and the workload's throughput and p99",
    "recovery_after_healing": "from the healing of the fault to stable service; 0 when service was stable before that",
    "detect": "from the fault's effect until the member that became primary found the leader's lock free",
    "elect": "from then until it had the lock",
    "promote": "from then until its server took writes",
    "route": "from then until the endpoint led to it, in the client zone that was served last",
    "reconnect": "from then until a write was acknowledged in every client zone that need not wait for the healing",
    "settle": "from then until service was stable, see `recovery`",
    "redundancy_recovery": "from the fault's effect until every replica was in sync again",
    "lost_writes": "writes that were acknowledged, and are gone",
    "duplicated_writes": "writes that were sent once, and are there more than once",
    "missing_facts": "by how much what the workload's invariants count falls short: of keys, of money",
    "resurrected_writes": "writes that were refused, and are there all the same",
    "lost_sessions": "sessions that were acknowledged, neither logged out nor expired, and are gone",
    "resurrected_sessions": "sessions that were logged out or had to expire, and were there all the same",
    "split_brain": "time in which two nodes acknowledged writes",
    "zombie_writes": "writes that a node acknowledged to its prober after another one had become primary",
    "availability": "share of the intended operations that were acknowledged within their deadline",
    "window_availability": "share of the seconds in which at least 99 % of the intended operations were acknowledged in time",
    "write_outage_elsewhere": "the same, of shards of which no fault and no change has hit a node",
    "lost_writes_elsewhere": "acknowledged writes lost of shards of which no fault and no change has hit a node",
    "cache_outage": "the longest time without an acknowledged write to a node of the cache in front of a database",
    "hit_share": "share of the reads through a cache that it answered",
    "stale_share": "share of the reads through a cache whose value had been replaced in the origin",
    "staleness_p50": "for how long what was read through a cache had been replaced in the origin (0: it had not): median",
    "staleness_p99": "99th percentile of the same",
    "staleness_max": "the longest of the same",
    "origin_reads": "reads a second that the cache left for the origin",
    "origin_reads_peak": "the most of them in any second",
    "hit_p50": "median time that a hit took, from its start",
    "hit_p99": "99th percentile of the same",
    "origin_p50": "median time that a read of the origin itself took, from its start",
    "origin_p99": "99th percentile of the same",
    "hit_speedup": "how many times longer the median read of the origin took than the median hit",
    "begun_anew": "how often a resharding had to begin anew, since a member failed while data was on its way",
    "reader_lag_p50": "for how long the median read at the reader endpoint had lacked what the writer had acknowledged",
    "reader_lag_p99": "the same of all but one read in a hundred",
    "reader_lag_max": "the longest of the same",
    "remapped_share": "share of the keys that clients look for on another node after a change",
    "user_uptime": "share of users' time that followed an operation acknowledged in time; `by` has the worst stretches",
    "write_p50": "median latency of acknowledged writes, from their intended start",
    "write_p99": "99th percentile of the same",
    "read_p50": "median latency of acknowledged reads, from their intended start",
    "read_p99": "99th percentile of the same",
    "longest_wait": "the longest that a client of a workload waited for one answer, by kind of client",
    "past_deadline": "by how much a client overran the deadline that it keeps by itself",
    "errors": "operations that failed or whose outcome is unknown, by error class",
    "lie_factor": "the p99 by intended start ÷ the p99 that Locust shows; what was not sent counts as its deadline, at least",
    "locust_p99": "99th percentile as Locust's own statistics have it: from when an operation was sent, and of sent ones only",
    "corrected_p99": "99th percentile of the same operations and of those never sent, from their intended start",
    "role_changes": "how often a node became primary, from the steady state on",
    "unplanned_role_changes": "how often a node became primary without a fault that could have caused it",
    "lost_updates": "acknowledged score updates of a leaderboard that are newer than the score that is there",
    "wrong_scores": "members of a leaderboard that are missing, or have a score that was never theirs",
    "wrong_ranks": "members of a leaderboard that stand where somebody else's score belongs, and answers that were out of order",
    "lost_events": "acknowledged events that a dashboard never counted, though they were due",
    "double_counted_events": "events that a dashboard counted more than once",
    "wrong_totals": "totals of a dashboard that are not those of what was counted, and counted events that nobody sent",
    "screen_age_p50": "median age of the newest event that a dashboard showed, from the moment at which it was meant to be sent",
    "screen_age_p99": "99th percentile of the same",
    "setup": "from the moment at which no node was there until every member said that it was well",
    "probes_on_time": "share of the scheduled probes that started within 10 ms of their time, in the worst zone",
    "resolution": "how far an outage's length can be off, up or down: the probes' cadence and the p99.9 of their usual latency",
    "probe_lateness_p99": "99th percentile of how late scheduled probes started",
}
# What the keys of a scenario mean that have no page section of their own, and those that every fault takes.
KEYS = {
    "steady_state": "what must hold before the first fault, see [steady_state](#steady_state)",
    "recovery": "what counts as recovered, see [recovery](#recovery)",
    "max_runtime": "how long a run may take once its cluster is formed; then it is ended: everything is healed, and the"
    " verdict is UNKNOWN",
    "abort_if": "what a run must not come to, see [abort_if](#abort_if)",
    "claim": "the [claims](claims.md) that it puts to the test: `{id: rds.failover, because: …, metrics: [write_outage]}` or a"
    " list; each rests on the bounds of its `metrics`, without them on the whole verdict",
}
FAULT_KEYS = {
    "target": "whom it hits, see [targets](#targets)",
    "id": "the word by which others and the report name it; without one it is its kind (`crash`, `crash-2`, …)",
    "at": "how long after the steady state was reached it starts; with `after`, how long after that",
    "after": "the id of the fault after whose healing, or of the change after whose end, it starts",
    "when": "the condition at which it starts, instead of `at`",
    "for": "how long it lasts",
    "until": "the condition at which it ends, instead of `for`; needs `at_most`",
    "at_most": "the longest that it lasts, whether the condition came true or not",
}
CHANGE_KEYS = {key: FAULT_KEYS[key] for key in ("id", "at", "after", "when")}
ACTS_ON = {"on_node": "nodes", "on_host": "nodes", "between": "zones or nodes", "on_link": "links"}
# A value's example → what kind of value it is.
KINDS = {"s": "a duration", "/s": "a rate", "%": "a share"}
UNITS = {"s": ("a duration", "35s"), "share": ("a percentage", "99.9%"), "count": ("a number", "0"), "ratio": ("a number", "1.5")}
REPORTS = {"html": "report.html", "json": "result.json", "junit": "junit.xml", "markdown": "summary.md"}


def pages() -> dict[str, str]:
    """Every generated page: file name → text."""
    made: dict[str, Callable[[], Iterator[str]]] = {
        "scenario.md": _scenario,
        "metrics.md": _metrics,
        "report-folder.md": _report_folder,
        "commands.md": _commands,
        "fixtures.md": _fixtures,
        "claims.md": _claims,
    }
    return {name: HEAD + "\n".join(write()).rstrip() + "\n" for name, write in made.items()}


# --- scenario.md -----------------------------------------------------------------------------------------------


def _scenario() -> Iterator[str]:
    schema = scenario.schema()
    yield "# Scenario files\n"
    yield "One question about one system, in one YAML file. `harness validate` checks it, `harness schema` prints its JSON"
    yield "Schema. Unknown keys, wrong types and missing units are refused with file, line and column.\n"
    yield from _example()
    yield "## Keys\n"
    rows = []
    for name, about in schema["properties"].items():
        needed = "required" if name in schema["required"] else _default(about)
        rows.append((f"`{name}`", needed, KEYS.get(name) or about["description"]))
    yield from _table(("key", "default", "meaning"), rows)
    yield "## Units\n"
    yield "Every duration, rate and share carries its unit.\n"
    yield from _table(
        ("what", "written as"),
        [
            ("a duration", "`50us`, `250ms`, `5s`, `2m` or `2min`, `1h`"),
            ("a rate", "`600/s`, `90/min`"),
            ("a share", "`99.9%`; a bound may be written `>= 99.9%` or `< 50%`"),
        ],
    )
    for key, cls in (("steady_state", scenario.SteadyState), ("recovery", scenario.Recovery), ("abort_if", scenario.AbortIf)):
        yield f"## {key}\n"
        yield _paragraph(cls)
        yield from _options(cls)
    yield from _faults()
    yield from _changes()
    yield from _members("topologies", "## Topologies", "`topology: <word>`, or `topology: {use: <word>, <options>}`.")
    written = "`workload: {use: <word>, <options>}`, or a list of them; a Locust file of your own needs no `use`:"
    yield from _members("workloads", "## Workloads", f"{written} `workload: {{locustfile: mine.py, users: 30}}`.")
    yield from _expect()
    yield "## images\n"
    yield "The image of a server family can be replaced: `images: {postgres: registry.example/postgres:17}`. The families of"
    yield f"each topology are: {_families()}; and `packets`, which holds `nft` and, for `degrade`, `python3`.\n"


def _example() -> Iterator[str]:
    folder = Path(__file__).parent.parent / "scenarios"
    yield f"```yaml\n{(folder / 'rds_multi_az' / 'zone_outage_asynchronous.yaml').read_text('utf-8').rstrip()}\n```\n"


def _faults() -> Iterator[str]:
    yield "## Faults\n"
    yield "Each entry of `faults` injects one. All of them take these keys:\n"
    keys = {name for name in scenario.options(FaultPlan) if name not in ("kind", "fault")}
    if keys != FAULT_KEYS.keys():
        raise LookupError(f"docs/generate.py: FAULT_KEYS and the keys of a fault differ in {sorted(keys ^ FAULT_KEYS.keys())}")
    rows = [(f"`{key}`", meaning) for key, meaning in {"inject": "the word of the fault", **FAULT_KEYS}.items()]
    yield from _table(("key", "meaning"), rows)
    yield "It starts at one of `at`, `after` and `when`; it ends after `for`, or at `until` but no later than `at_most`.\n"
    yield "### Targets\n"
    yield "A target is resolved when the fault fires; what it hit is recorded.\n"
    sorts: dict[str, list[str]] = {}
    for example in targets.EXAMPLES:
        sorts.setdefault(targets.parse(example).sort, []).append(f"`{example}`")
    yield from _table(("sort", "examples"), [(sort, ", ".join(examples)) for sort, examples in sorts.items()])
    yield "### Conditions\n"
    yield "`until` and `when` wait for one of these:\n"
    of_fault = (f"<id of a fault> {kind}" for kind in conditions.OF_FAULT)
    of_change = (f"<id of a change> {kind}" for kind in conditions.OF_CHANGE)
    yield from (f"- `{words}`" for words in (*conditions.OF_CLUSTER, *of_fault, *of_change))
    yield ""
    yield from _members("faults", "### The faults", "Their own options stand beside the keys above.")


def _changes() -> Iterator[str]:
    yield "## Changes\n"
    yield "What an operator would do, through the cluster's own manager. Each entry of `changes` carries one out; it ends by"
    yield "itself, once every member itself says that it was made, and is measured as a fault is. One that changed nothing, or"
    yield "stopped half way, makes the run UNKNOWN. Ids are shared with the faults, and each may wait for the other.\n"
    keys = {name for name in scenario.options(ChangePlan) if name not in ("kind", "change")}
    if keys != CHANGE_KEYS.keys():
        raise LookupError(f"docs/generate.py: CHANGE_KEYS and the keys of a change differ in {sorted(keys ^ CHANGE_KEYS.keys())}")
    rows = [(f"`{key}`", meaning) for key, meaning in {"change": "the word of the change", **CHANGE_KEYS}.items()]
    yield from _table(("key", "meaning"), rows)
    yield from _members("changes", "### The changes", "Their own options stand beside the keys above.")


def _expect() -> Iterator[str]:
    yield "## expect\n"
    yield "The bounds, written before the run: `metric: {min: …, max: …, during: …, because: …}`, or a list of such bounds at"
    yield "different times. `during` is `before`, `fault` or `after`; without it the metric's headline is meant. What each metric"
    yield "means is told in [metrics](metrics.md).\n"
    rows = [(f"`{metric}`", UNITS[unit][0], f"`{UNITS[unit][1]}`") for metric, unit in scenario.metrics().items()]
    yield from _table(("metric", "bounds are", "such as"), rows)


def _families() -> str:
    told = []
    for word in registry.names("topologies"):
        topology: Topology = registry.find("topologies", word)()
        plan = Plan(IPv4Network("198.18.0.0/20"), topology.zones)
        families = dict.fromkeys(spec.server for spec in [*topology.nodes(plan.addresses()), *client_nodes(plan, topology)])
        told.append(f"`{word}`: {', '.join(f'`{family}`' for family in families)}")
    return "; ".join(told)


def _members(kind: str, title: str, how: str) -> Iterator[str]:
    yield f"{title}\n"
    yield f"{how}\n"
    level = "#" * (title.count("#") + 1)
    for word in registry.names(kind):
        cls = registry.find(kind, word)
        yield f"{level} {word}\n"
        yield f"*{_question(cls)}*\n"
        yield _paragraph(cls)
        if kind == "faults":
            yield f"Acts on {' or '.join(sorts for method, sorts in ACTS_ON.items() if hasattr(cls, method))}.\n"
        yield from _options(cls)


def _options(cls: type[Any]) -> Iterator[str]:
    rows = [
        (f"`{name}`", "required" if about["required"] else _default(about), _kind(about))
        for name, about in scenario.options(cls).items()
    ]
    if rows:
        yield from _table(("option", "default", "value"), rows)


def _kind(about: Mapping[str, Any]) -> str:
    if "enum" in about:
        return " or ".join(f"`{word}`" for word in about["enum"])
    if "anyOf" in about:
        return " or ".join(dict.fromkeys(_kind(one) for one in about["anyOf"]))
    for example in about.get("examples", ()):
        return next(kind for end, kind in reversed(KINDS.items()) if example.endswith(end)) + f", such as `{example}`"
    if about.get("type") == "array":
        return f"a list, each {_kind(about['items'])}" if about.get("items") else "a list"
    if "oneOf" in about:
        return "a topology: its word, or `use: <word>` with its options"
    return {"integer": "a whole number", "number": "a number", "string": "a text", "boolean": "true or false"}[about["type"]]


def _default(about: Mapping[str, Any]) -> str:
    default = about.get("default")
    if default is None or default in ([], {}, ""):
        return "none"
    if isinstance(default, float) and about.get("examples"):
        return f"`>= {default * 100:g}%`"
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


# --- metrics.md ------------------------------------------------------------------------------------------------


def _metrics() -> Iterator[str]:
    known = scenario.metrics()
    unknown, gone = sorted(known.keys() - METRICS), sorted(METRICS.keys() - known)
    if unknown or gone:
        raise LookupError(f"docs/generate.py: METRICS says nothing of {unknown}, and names {gone}, which no checker measures")
    checkers = {word: registry.find("checkers", word) for word in registry.names("checkers")}
    of = {metric: word for word, cls in checkers.items() for metric in cls.metrics}
    yield "# Metrics and checkers\n"
    yield "Every metric has a value with a lower and an upper bound: the truth lies between them. A bound of the scenario"
    yield "holds when the whole interval lies within it, is broken when the whole interval lies beyond it, and the verdict is"
    yield "UNKNOWN in between. A value without an upper bound had not ended when measuring did.\n"
    rows = [(f"`{metric}`", known[metric], what, f"[{of[metric]}](#{of[metric]})") for metric, what in METRICS.items()]
    yield from _table(("metric", "unit", "meaning", "checker"), rows)
    yield "## Checkers\n"
    yield "Each is a pure function of the history. One that is UNKNOWN about the run itself (a fault without a witness, an"
    yield "overloaded machine) makes the whole run UNKNOWN.\n"
    for word, cls in checkers.items():
        yield f"### {word}\n"
        yield f"*{_question(cls)}*\n"
        yield _paragraph(cls)
        if cls.metrics:
            yield f"Measures {', '.join(f'`{metric}`' for metric in cls.metrics)}.\n"


# --- report-folder.md --------------------------------------------------------------------------------------------


def _report_folder() -> Iterator[str]:
    yield "# The report folder\n"
    yield "A run writes `<reports>/<scenario>/<time>/`; `<reports>/<scenario>/latest` points at the newest."
    yield (
        "[A series of runs](#a-series-of-runs) and [a sweep of a setting](#a-sweep-of-a-setting) have folders of their own, in"
        " which each run has one like this.\n"
    )
    rows = [("scenario.yaml", "the scenario as it was run")]
    for word in registry.names("reporters"):
        if word in REPORTS:
            doc = inspect.cleandoc(registry.find("reporters", word).__doc__ or "").split("\n\n")[0]
            rows.append((REPORTS[word], _joined(doc).removeprefix(f"{REPORTS[word]}: ")))
    rows += [
        ("history/", "what was recorded; everything above but scenario.yaml can be computed from it again"),
        ("nodes/<name>/", "the logs of each node's server, probes and load"),
        ("supervisor.log", "what the supervisor said; empty unless it had to remove the run"),
    ]
    yield from _table(("file", "holds"), [(f"`{name}`", what) for name, what in rows])
    yield "## history/\n"
    yield "All times are nanoseconds of the machine's monotonic clock; the first event names the origin.\n"
    lines = re.findall(r"^ {4}history/(.+?) {2,}(.+)$", history.__doc__ or "", re.MULTILINE)
    files = [(", ".join(f"`{one}`" for one in names.split(", ")), what) for names, what in lines]
    files += [
        ("`load.files/`", "the Locust file of your own, and what went along with it, as they were run"),
        ("`<process>.exit`", "the exit status of a process in a client node"),
    ]
    yield from _table(("file", "holds"), files)
    yield from _result()
    yield from _series()
    yield from _sweep()


def _series() -> Iterator[str]:
    yield "## A series of runs\n"
    yield (
        "A scenario with `repeat` writes `<reports>/<scenario>/<time>/` as well, which then holds the runs one below the other;"
        " see [Repeat a scenario](../how-to/repeat-a-scenario.md). `harness judge` on it judges every run from its history"
        " again.\n"
    )
    files = [
        ("`01/`, `02/`, …", "one run each, in the order in which they were made, with all that a single run's folder holds"),
        ("`report.html`", "each figure with its median and interval, and every run as a point; one file that needs no network"),
        ("`report.md`", "the same as a table, and each run's verdict"),
        (f"`{repeats.FILE}`", "the same for programs, as below; written when the series is over"),
        (
            f"`{repeats.ASKED}`",
            "what the scenario's `repeat` asked for; written when the series begins, so that it is known as one",
        ),
        (
            "`history/<run>/`",
            "the history of a run that is going on, or whose harness was killed: the next `harness judge` adopts it",
        ),
        ("`nodes/<name>/`, `supervisor.log`", "the logs of the one cluster on which all runs were made"),
    ]
    yield from _table(("file", "holds"), files)
    one = spread.spread("write_outage", [Measured(1.0, "s", 1.0, 1.0)])
    yield f"### {repeats.FILE}\n"
    yield from _keys(repeats.Series("", "", (), Repeat()).as_json(), OF_A_SERIES)
    yield "A metric in it:\n"
    yield from _keys(one.as_json(), OF_A_METRIC)


def _sweep() -> Iterator[str]:
    yield "## A sweep of a setting\n"
    yield (
        "`harness sweep` writes `<reports>/<scenario>/sweeps/<time>/`, anew after each value, so that one that is interrupted"
        " keeps what it has; see [Sweep a setting](../how-to/sweep-a-setting.md). `harness judge` on it judges all of its runs"
        " again.\n"
    )
    files = [
        (
            "`<value>/<scenario>/<time>/`",
            "a [series of runs](#a-series-of-runs) under that value, and one of the gray fault's scenario",
        ),
        ("`report.html`", "outage against false failovers, a point for each value; one file that needs no network"),
        ("`report.md`", "the same as a table"),
        (f"`{sweeping.FILE}`", "the same for programs, as below"),
    ]
    yield from _table(("file", "holds"), files)
    series = repeats.Series("", "", (), Repeat())
    told = sweeping.Sweep("", "", [], [sweeping.Setting({}, series, series)]).as_json()
    yield f"### {sweeping.FILE}\n"
    yield from _keys(told, OF_A_SWEEP)
    yield "A setting in it:\n"
    yield from _keys(told["settings"][0], OF_A_SETTING)


def _keys(told: Mapping[str, Any], meanings: Mapping[str, str]) -> Iterator[str]:
    if set(told) != set(meanings):
        raise KeyError(f"keys without a meaning, or meanings without a key: {sorted(set(told) ^ set(meanings))}")
    yield from _table(("key", "meaning"), [(f"`{key}`", meanings[key]) for key in told])


def _result() -> Iterator[str]:
    schema = json.loads(judging.SCHEMA.read_text("utf-8"))
    yield "## result.json\n"
    yield f"{schema['description']} Its JSON Schema is printed by `harness schema --result`.\n"
    yield from _fields(schema)
    for name, about in schema["$defs"].items():
        if "properties" in about:
            yield f"### {name}\n"
            yield from _fields(about)


def _fields(about: Mapping[str, Any]) -> Iterator[str]:
    required = about.get("required", ())
    rows = [
        (f"`{name}`", _type(field), "always" if name in required else "sometimes", field.get("description", ""))
        for name, field in about["properties"].items()
    ]
    yield from _table(("key", "type", "there", "meaning"), rows)


def _type(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name})" if name != "verdict" else "`pass`, `fail` or `unknown`"
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return " or ".join(f"`{word or 'null'}`" for word in field["enum"])
    types = field.get("type", "any")
    told = types if isinstance(types, str) else " or ".join(types)
    if told == "array" and "items" in field:
        inner = field["items"]
        keys = ", ".join(f"`{key}`" for key in inner.get("properties", ()))
        return f"array of objects with {keys}" if keys else f"array of {_type(inner)}"
    if isinstance(field.get("additionalProperties"), dict):
        return f"object, each value {_type(field['additionalProperties'])}"
    return str(told)


# --- commands.md -------------------------------------------------------------------------------------------------


def _commands() -> Iterator[str]:
    yield "# Commands\n"
    yield _help(cli.cli.help or "")
    yield "The names of the commands, their options and the exit codes are stable.\n"
    yield _help(shell.EXIT_CODES)
    for command in cli.cli.commands.values():
        yield from _command("## harness", command)
    yield "## pytest\n"
    yield "Installed, the plugin collects the YAML files below every folder called `scenarios` as tests. A scenario's topology,"
    yield "its kinds of faults and changes and its `markers` are markers. With"
    yield f"`{fixtures.REQUIRE_DOCKER}=1` or `{fixtures.REQUIRE_LOCAL}=1` in the environment a scenario that would be skipped,"
    yield "since neither an engine nor namespaces can be had, fails instead.\n"
    recorded = _Options()
    pytest_plugin.pytest_addoption(recorded)  # type: ignore[arg-type]  # it is asked for getgroup only
    yield from _table(("option", "value", "meaning"), recorded.rows)


def _command(heading: str, command: click.Command) -> Iterator[str]:
    """A command, and below it those that it has: one for each fault, one for each change."""
    arguments = [_metavar(param) for param in command.params if isinstance(param, click.Argument)]
    yield f"{' '.join([heading, str(command.name), *arguments])}\n"
    yield _help(command.help or "")
    rows = [
        (", ".join(f"`{one}`" for one in param.opts), _value(param), (param.help or "").split("  [default")[0])
        for param in command.params
        if isinstance(param, click.Option)
    ]
    if rows:
        yield from _table(("option", "value", "meaning"), rows)
    if command.epilog and command.epilog != shell.EXIT_CODES:
        yield _help(command.epilog)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, "what is listed is there"
            yield from _command(f"#{heading} {command.name}", below)


# --- claims.md -------------------------------------------------------------------------------------------------


def _claims() -> Iterator[str]:
    yield "# Claims\n"
    yield "What the services promise that the topologies are shaped after. A scenario names the claims that it tests, and"
    yield "`harness claims` says which of them held: [how to test a claim](../how-to/test-a-claim.md). What others have published"
    yield "is quoted for comparison: absolute seconds of other machines are no bound here.\n"
    for group in catalogue.groups():
        yield f"## {group.title}\n"
        yield f"`--only {group.system}` means all groups of this system, `--only {group.word}` this one.\n"
        rows = [(f"`{claim.id}`", claim.says, claim.shown, claim.published) for claim in group.claims]
        yield from _table(("claim", "what it says", "how a run shows it", "published"), rows)


# --- fixtures.md -------------------------------------------------------------------------------------------------


def _fixtures() -> Iterator[str]:
    yield "# Fixtures for tests in Python\n"
    yield "What a test may ask for once the package is installed; how to use them:"
    yield "[test your own code](../how-to/test-your-own-code.md). Durations, rates and shares are texts with their units, as in a"
    yield "scenario file.\n"
    for name, cls in FIXTURES.items():
        yield f"## {name}\n"
        what = _prose(cls).removeprefix(f"The fixture `{name}`: ")
        yield f"{what[:1].upper()}{what[1:]}\n"
        for member in (pair for one in reversed(cls.__mro__[:-1]) for pair in vars(one).items()):
            yield from _member(name, *member)
    yield "## What they raise\n"
    yield from _table(("error", "when"), [(f"`{cls.__name__}`", _prose(cls)) for cls in ERRORS])


FIXTURES = {"cluster": testing.TestCluster, "chaos": testing.Chaos, "load": testing.Load, "probe": testing.Probe}
ERRORS = (errors.UsageError, errors.TargetError, errors.ClusterError, testing.Unwitnessed, testing.Unmeasured)


def _member(fixture: str, name: str, what: Any) -> Iterator[str]:
    """A public method or property, with its signature as it is called."""
    if name.startswith("_"):
        return
    if isinstance(what, property):
        yield f"### {fixture}.{name}\n\n{_prose(what)}\n"
    elif inspect.isfunction(what):
        signature = inspect.signature(what)
        bare = [one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()][1:]
        called = signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
        yield f"### {fixture}.{name}\n\n```text\n{fixture}.{name}{called}\n```\n\n{_prose(what)}\n"


def _prose(documented: Any) -> str:
    return _help(inspect.getdoc(documented) or "").strip()


class _Options:
    """Stands for pytest's parser, to note which options the plugin adds."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    def getgroup(self, name: str, description: str = "") -> _Options:
        del name, description
        return self

    def addoption(self, name: str, **about: Any) -> None:
        words = " or ".join(f"`{word}`" for word in about.get("choices", ())) or f"`{about['metavar']}`"
        self.rows.append((f"`{name}`", words, about["help"]))

    def addini(self, name: str, help: str, **about: Any) -> None:  # noqa: A002 (pytest's signature)
        del about
        self.rows.append((f"`{name}` (ini)", "`NAME`", help))


def _metavar(argument: click.Argument) -> str:
    words = getattr(argument.type, "choices", None)
    return argument.metavar or (f"[{'|'.join(words)}]" if words else argument.human_readable_name)


def _value(option: click.Option) -> str:
    if option.is_flag:
        return "flag"
    words = getattr(option.type, "choices", None)
    told = " or ".join(f"`{word}`" for word in words) if words else f"`{option.metavar or option.type.name}`"
    default = option.default if isinstance(option.default, (str, int, Path)) else None
    return told if default is None else f"{told}; default `{default}`"


def _help(text: str) -> str:
    """A command's help: its marked paragraphs hold lines, the others sentences."""
    parts = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines = paragraph.splitlines()
        if lines[0] != "\b":
            parts.append(" ".join(line.strip() for line in lines))
            continue
        language = "sh" if lines[1].startswith("Example") else "text"
        body = inspect.cleandoc("\n" + "\n".join(lines[2:]))
        parts.append(f"{lines[1]}\n\n```{language}\n{body}\n```")
    return "\n\n".join(parts) + "\n"


# --- helpers ---------------------------------------------------------------------------------------------------


def _question(cls: type[Any]) -> str:
    """The question that the module of a class opens with."""
    return _joined((importlib.import_module(cls.__module__).__doc__ or "").strip().split("\n\n")[0])


def _paragraph(cls: type[Any]) -> str:
    return inspect.cleandoc(cls.__doc__ or "") + "\n"


def _joined(text: str) -> str:
    return " ".join(text.split())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"
    yield ""


def _cell(text: str) -> str:
    """One line in which nothing is taken for markup."""
    line = _joined(text).replace("|", "\\|")
    return line if "`" in line else line.replace("<", "\\<")


def stale() -> list[str]:
    """The pages that the code would write otherwise, or that it does not write."""
    made = pages()
    kept = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.md")}
    return sorted(name for name in made.keys() | kept.keys() if made.get(name) != kept.get(name))


def main(arguments: Sequence[str]) -> int:
    if list(arguments) == ["--check"]:
        found = stale()
        for name in found:
            print(f"docs/reference/{name} is stale; run python -m docs.generate")
        return 1 if found else 0
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
