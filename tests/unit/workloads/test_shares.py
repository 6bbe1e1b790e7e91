"""Is what a scenario asks for of a workload's mix what its users do?"""

from __future__ import annotations

from typing import Any

import pytest

from harness import registry

OF_READS = ("cache_aside", "dashboard", "entries", "leaderboard", "scattered", "session_store")


@pytest.mark.parametrize("name", OF_READS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_reads_have_the_share_that_was_asked_for(name: str, share: float) -> None:
    workload: Any = registry.find("workloads", name)(reads_share=share)
    beside = getattr(workload, "direct_share", 0)  # reads of the origin, whose share is an option of its own
    assert sum(workload.mix.values()) == pytest.approx(1)
    reads = sum(part for kind, part in workload.mix.items() if kind.split(" ")[0] == "read")
    assert reads == pytest.approx(share + beside)


@pytest.mark.parametrize("name", OF_READS)
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_mix_of_reads_only_or_of_none_is_refused(name: str, share: float) -> None:
    with pytest.raises(ValueError, match="reads are more than 0 ?%"):
        registry.find("workloads", name)(reads_share=share)
