"""Every claim of the catalogue can be read, named and chosen."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import catalogue
from harness.errors import UsageError
from harness.scenario.values import _CLAIM


def test_every_claim_has_an_id_that_a_scenario_can_write_and_says_how_it_is_shown() -> None:
    claims = catalogue.claims()
    assert len(claims) > 40
    for claim_id, claim in claims.items():
        assert re.fullmatch(_CLAIM, claim_id)
        assert claim.says.endswith("."), claim_id
        assert claim.shown, claim_id
        assert not claim.shown.endswith("."), claim_id


def test_a_misspelt_claim_is_answered_with_its_group() -> None:
    assert catalogue.missing("rds.failover") == ""
    assert catalogue.missing("rds.failovr") == "no claim called 'rds.failovr'; did you mean 'rds.failover'?"
    assert catalogue.missing("mc.zzz") == "no claim called 'mc.zzz'; known: mc.add-node, mc.lose-node, mc.vertical"


@pytest.mark.parametrize(
    ("word", "groups"), [("elasticache", ["ec", "mc", "rc", "rd"]), ("rd", ["rd"]), ("rd.failover", ["rd"])]
)  # fmt: skip
def test_a_system_a_group_or_a_claim_is_chosen_by_its_word(word: str, groups: list[str]) -> None:
    chosen = catalogue.chosen([word])
    assert [group.word for group in chosen] == groups
    if "." in word:
        assert [claim.id for group in chosen for claim in group.claims] == [word]


@pytest.mark.parametrize(
    ("word", "said"), [("elasticash", "did you mean 'elasticache'"), ("zzz", "known: amm, asl, aurora, ec, elasticache")]
)
def test_a_word_that_means_none_is_refused_with_what_there_is(word: str, said: str) -> None:
    with pytest.raises(UsageError, match=rf"--only {word}: .*{said}"):
        catalogue.chosen([word])


@pytest.fixture
def of_a_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package of somebody else that names a group of its own."""
    monkeypatch.setattr(catalogue, "files", lambda package: tmp_path if package == "theirs" else Path(catalogue.__path__[0]))
    entry = SimpleNamespace(name="own", load=lambda: "theirs")
    monkeypatch.setattr(catalogue, "entry_points", lambda group: [entry] if group == "harness.catalogue" else [])
    catalogue.groups.cache_clear()
    return tmp_path / "own.yaml"


def test_a_package_adds_a_group(of_a_package: Path) -> None:
    of_a_package.write_text("system: own\ntitle: Ours\nclaims: {fast: {says: It is fast., shown: by a clock}}\n")
    try:
        assert catalogue.missing("own.fast") == ""
        assert "rds" in {group.word for group in catalogue.groups()}
    finally:
        catalogue.groups.cache_clear()


def test_a_group_that_is_not_formed_as_it_must_be_is_one_clear_line(of_a_package: Path) -> None:
    of_a_package.write_text("system: own\ntitle: Ours\nclaims: {fast: {says: It is fast.}}\n")
    try:
        with pytest.raises(UsageError, match=r"own\.yaml: no group of claims: .*missing 1 required .* 'shown'"):
            catalogue.groups()
    finally:
        catalogue.groups.cache_clear()
