"""A replica lags when what a reader got had been replaced at the writer before it asked; and by no more than is certain."""

from __future__ import annotations

import pytest

from harness.checkers.reader_lag import ReaderLag
from harness.verdict import Finding, Verdict
from tests.unit.histories import UNKNOWN, Run, found


def written(every: float = 0.02) -> Run:
    """The value n is written at n × `every` seconds, and acknowledged 2 ms later."""
    made = Run(end=10)
    for number in range(1, round(10 / every)):
        made.operation(number * every, value=number, lane="kept", kind="probe_write")
    return made


def read(made: Run, at: float, value: int, endpoint: str = "reader") -> Run:
    return made.operation(at, value=value, lane="kept", kind="read", endpoint=endpoint)


def judged(made: Run) -> Finding:
    return ReaderLag().check(made.history())


@pytest.mark.parametrize(
    ("value", "lag_s"),
    [
        (250, 0.0),  # written at 5.000; the next one at 5.02
        (249, 0.008),  # value 250 was acknowledged at 5.002, and the reader asks at 5.01
        (200, 0.988),  # value 201 was, at 4.022
        (0, 4.988),  # nothing at all, where value 1 was acknowledged at 0.022
        (100_000, 0.0),  # of a value that nobody wrote nothing is known
    ],
)
def test_a_reader_lacks_what_was_acknowledged_before_it_asked(value: int, lag_s: float) -> None:
    assert found(judged(read(written(), 5.01, value)), "reader_lag_max").value == pytest.approx(lag_s)


def test_a_write_of_unknown_outcome_proves_no_lag() -> None:
    made = Run(end=10).operation(1, value=1, lane="kept", kind="probe_write")
    made.operation(2, UNKNOWN, value=2, lane="kept", kind="probe_write", takes=0.1)
    assert found(judged(read(made, 5, 1)), "reader_lag_max").value == 0


def test_a_value_of_unknown_outcome_is_as_old_as_its_first_read() -> None:
    """A crash leaves such a write on a replica, which may show nothing newer for long."""
    made = written()
    made.operation(3.005, UNKNOWN, value=7777, lane="kept", kind="probe_write", takes=0.1)
    lag = found(judged(read(read(made, 3.5, 7777), 6.0, 7777)), "reader_lag_max").value
    assert lag == pytest.approx(6.0 - 3.522), "value 176 was sent at 3.52, after somebody had seen 7777"


def test_reads_of_the_writer_and_of_the_load_do_not_count() -> None:
    made = read(written(), 5.01, 1, endpoint="writer").operation(5.01, value=1, kind="read", endpoint="reader")
    assert found(judged(made), "reader_lag_max").value is None


def test_it_is_told_for_each_phase_and_judged() -> None:
    made = read(read(written(), 2.01, 99), 5.01, 200).fault(4, 6, hit=("redis-az-b",)).expect("reader_lag_max", max=0.5)
    lag = found(judged(made), "reader_lag_max")
    assert lag.by["before"].value == pytest.approx(0.008)
    assert lag.by["fault"].value == pytest.approx(0.988)
    assert judged(made).verdict is Verdict.FAIL
    assert judged(made).evidence[0]["lag_s"] == pytest.approx(0.988)
    assert judged(read(written(), 2.01, 99).expect("reader_lag_max", max=0.5)).verdict is Verdict.PASS


def test_a_bound_on_what_nobody_read_is_unknown() -> None:
    assert judged(written().expect("reader_lag_p99", max=1)).verdict is Verdict.UNKNOWN
    assert judged(written()).verdict is Verdict.PASS
