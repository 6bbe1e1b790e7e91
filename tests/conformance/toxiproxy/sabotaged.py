"""Our server with one toxic made wrong, by the name in SABOTAGE: for test_sabotage.py, which must find it."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from random import Random

from harness.toxiproxy_server import connection, stage
from harness.toxiproxy_server.__main__ import main
from harness.toxiproxy_server.toxics import bandwidth, latency, limit_data, slicer, slow_close, timeout

milliseconds = stage.milliseconds
stage_of, pieces_of = connection.Link._stage, slicer.Slicer.pieces


def latency_of_3_ms_more() -> None:
    latency.milliseconds = lambda count: milliseconds(count + 3)  # type: ignore[attr-defined]


def latency_without_jitter() -> None:
    latency.LatencyStage.data = lambda self, chunk, at: self.hold(chunk, at + milliseconds(self.options.latency_ms))  # type: ignore[method-assign]


def bandwidth_of_7_percent_more() -> None:
    bandwidth.milliseconds = lambda count: milliseconds(count * 0.93)  # type: ignore[attr-defined]


def slow_close_that_is_quick() -> None:
    slow_close.SlowCloseStage.end = stage.Holding.end  # type: ignore[method-assign]


def timeout_that_drops_nothing() -> None:
    timeout.Timeout.stage = stage.Stage


def reset_that_is_an_orderly_end() -> None:
    connection.Side.reset = connection.Side.abort  # type: ignore[method-assign]


def slicer_that_leaves_data_whole() -> None:
    slicer.Slicer.pieces = lambda self, chunk, chance: iter([chunk])  # type: ignore[method-assign]


def slicer_that_alters_a_byte() -> None:
    def pieces(self: slicer.Slicer, chunk: bytes, chance: Random) -> Iterator[bytes]:
        return pieces_of(self, b"?" + chunk[1:], chance)

    slicer.Slicer.pieces = pieces  # type: ignore[method-assign]


def limit_of_a_byte_less() -> None:
    limit_data.LimitDataStage.passed = 1


def toxicity_of_its_square() -> None:
    def stage_of_fewer(self: connection.Link, toxic: connection.Toxic) -> stage.Stage:
        return stage_of(self, dataclasses.replace(toxic, toxicity=toxic.toxicity**2))

    connection.Link._stage = stage_of_fewer  # type: ignore[method-assign]


FOUND_BY: dict[Callable[[], None], str] = {
    latency_of_3_ms_more: "test_a_latency_of_50_ms_measures_50_ms",
    latency_without_jitter: "test_jitter_stays_in_its_range_and_uses_all_of_it",
    bandwidth_of_7_percent_more: "test_a_bandwidth_of_100_kb_per_s_measures_100_kb_per_s",
    slow_close_that_is_quick: "test_slow_close_delays_the_close_and_not_the_data",
    timeout_that_drops_nothing: "test_timeout_zero_never_answers_and_never_closes",
    reset_that_is_an_orderly_end: "test_reset_peer_gives_both_ends_a_reset",
    slicer_that_leaves_data_whole: "test_slicer_sends_small_pieces_in_their_time_and_keeps_the_content",
    slicer_that_alters_a_byte: "test_slicer_keeps_much_content_without_a_delay",
    limit_of_a_byte_less: "test_limit_data_closes_after_exactly_its_bytes",
    toxicity_of_its_square: "test_toxicity_is_the_share_of_connections_that_a_toxic_acts_on",
}

if __name__ == "__main__":
    next(sabotage for sabotage in FOUND_BY if sabotage.__name__ == os.environ["SABOTAGE"])()
    sys.exit(main())
