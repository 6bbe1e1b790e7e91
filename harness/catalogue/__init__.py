"""What do the services that the topologies are shaped after promise?

Each group of claims is one file of its own, `rds.yaml`: whose they are, and for each claim what it says, how a run shows it, and
the figures that others have published. A package outside adds a group by an entry point in the group `harness.catalogue`, its
name the group's word, its value the package of its own that holds `<word>.yaml`.

No figure of anybody else is a bound by itself: a cloud's seconds are not a laptop's. What a scenario expects, and why, is its
own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import yaml

from harness.errors import UsageError, suggestion


@dataclass(frozen=True)
class Claim:
    """One sentence that can be shown true or false: `shown` is how, `published` what others have measured or said."""

    id: str
    says: str
    shown: str
    published: str = ""


@dataclass(frozen=True)
class Group:
    """The claims of one kind of service; `system` is the word for all its kinds: `elasticache` for four groups of it."""

    word: str
    system: str
    title: str
    claims: Sequence[Claim]


@cache
def groups() -> tuple[Group, ...]:
    """Every group, by system and in the order of its words."""
    own = {file.name.removesuffix(".yaml"): file for file in files(__package__).iterdir() if file.name.endswith(".yaml")}
    added = {entry.name: files(entry.load()) / f"{entry.name}.yaml" for entry in entry_points(group=__package__)}
    read = [_read(word, file) for word, file in sorted((own | added).items())]
    return tuple(sorted(read, key=lambda group: group.system))


def _read(word: str, file: Traversable) -> Group:
    """One group's file. Raises UsageError for one that is not formed as it must be."""
    try:
        told: Mapping[str, Any] = yaml.safe_load(file.read_text("utf-8"))
        claims = [Claim(f"{word}.{name}", **about) for name, about in told["claims"].items()]
        return Group(word, told["system"], told["title"], claims)
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as problem:
        raise UsageError(f"{file}: no group of claims: {' '.join(str(problem).split())}") from None


def claims() -> dict[str, Claim]:
    """Every claim by its id."""
    return {claim.id: claim for group in groups() for claim in group.claims}


def missing(claim_id: str) -> str:
    """Why there is no claim with this id, in a sentence with a suggestion; empty when there is one."""
    known = claims()
    if claim_id in known:
        return ""
    of_group = [other for other in known if other.startswith(f"{claim_id.partition('.')[0]}.")]
    return f"no claim called '{claim_id}'{suggestion(claim_id, of_group or known)}"


def chosen(only: Sequence[str]) -> list[Group]:
    """The groups with those claims alone that are meant by a claim's id, a group's word or a system's; all without any.

    Raises UsageError for a word that means none.
    """
    words = {word for group in groups() for word in (group.system, group.word, *(claim.id for claim in group.claims))}
    for word in only:
        if word not in words:
            raise UsageError(f"--only {word}: no claim, group or system called '{word}'{_close(word, words)}")

    def meant(group: Group, claim: Claim) -> bool:
        return not only or not {group.system, group.word, claim.id}.isdisjoint(only)

    kept = [Group(one.word, one.system, one.title, [claim for claim in one.claims if meant(one, claim)]) for one in groups()]
    return [group for group in kept if group.claims]


def _close(word: str, words: set[str]) -> str:
    """A word that is close, or the words of groups and systems, since ids are many."""
    hint = suggestion(word, words)
    return hint if "did you mean" in hint else suggestion("", (known for known in words if "." not in known))
