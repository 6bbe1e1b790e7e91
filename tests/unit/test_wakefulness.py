"""Are cores kept awake for as long as asked, and is it said where that cannot be?"""

from __future__ import annotations

from pathlib import Path

from harness.wakefulness import kept_awake


def test_a_latency_of_nothing_is_asked_for_while_the_file_is_open(tmp_path: Path) -> None:
    requests = tmp_path / "cpu_dma_latency"
    requests.touch()
    with kept_awake(requests) as awake:
        assert awake
        assert requests.read_bytes() == bytes(4)
        assert str(requests) in _open()
    assert str(requests) not in _open()


def test_where_nobody_can_be_asked_it_is_said(tmp_path: Path) -> None:
    with kept_awake(tmp_path / "missing") as awake:
        assert not awake


def _open() -> list[str]:
    return [str(one.resolve()) for one in Path("/proc/self/fd").iterdir()]
