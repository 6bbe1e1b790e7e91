"""What `harness clean` does where the engine will not let one run go."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from harness.errors import ClusterError
from harness.runtimes import docker, leftovers


def test_a_run_that_cannot_be_removed_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def remove(run_id: str) -> int:
        if run_id == "a":
            raise ClusterError("waited 10 s for network harness-a to go, in vain")
        return 1

    monkeypatch.setattr(docker, "engine", lambda: None)
    monkeypatch.setattr(docker, "remove", remove)
    monkeypatch.setattr(leftovers, "_packet_rules", lambda _: nullcontext(lambda script: script))
    monkeypatch.setattr(leftovers, "_ruled", lambda _: set())
    monkeypatch.setattr(leftovers, "_owners", lambda _: {"a": "", "b": ""})
    monkeypatch.setattr(leftovers, "_remove_rules", lambda *_: None)
    said: list[str] = []
    with pytest.raises(ClusterError, match="^of run a something is left: waited 10 s for network harness-a to go, in vain$"):
        said.extend(leftovers.clean())
    assert said == ["run b removed"]
