"""Sessions are made, visited and ended one by one, and what a look has seen is told."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from harness.recording import Outcome
from harness.sessions.redis import Redis
from harness.workloads.session_store import GONE, SessionStore
from tests.unit.valkey_server import Server


def context(seed: int = 1) -> Any:
    numbers = count(1000)
    return SimpleNamespace(random=random.Random(seed), unique=lambda: next(numbers))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    server = Server(tmp_path_factory.mktemp("server") / "one")
    with server.running():
        session = Redis().session(server.login, reconnect_s=0)
        assert session.connect() is None
        yield session


def done(store: SessionStore, session: Any, kind: str, key: int) -> tuple[Outcome, int]:
    said = store.perform(kind, session, key, key if kind.startswith("log_in") else -1, None)
    return said.outcome, said.seen


def test_a_session_is_seen_by_its_number_until_it_is_ended(session: Any) -> None:
    store = SessionStore()
    assert done(store, session, "log_in", 7) == (Outcome.OK, -1)
    assert done(store, session, "read", 7) == (Outcome.OK, 7)
    assert done(store, session, "touch", 7) == (Outcome.OK, 7)
    assert done(store, session, "log_out", 7) == (Outcome.OK, -1)
    assert done(store, session, "read", 7) == (Outcome.OK, GONE)
    assert done(store, session, "touch", 7) == (Outcome.OK, GONE)


def test_a_session_has_its_size_and_its_time(session: Any) -> None:
    store = SessionStore(value_bytes=64, ttl_s=100, brief_ttl_s=3)
    done(store, session, "log_in", 8)
    done(store, session, "log_in_briefly", 9)
    assert session.execute("STRLEN", "workload:session:8").reply == 64
    assert 99_000 < session.execute("PTTL", "workload:session:8").reply <= 100_000
    assert 2_000 < session.execute("PTTL", "workload:session:9").reply <= 3_000


def test_the_final_read_has_the_number_of_every_session(session: Any) -> None:
    store = SessionStore()
    session.execute("FLUSHALL")
    for number in range(1, 6001):
        done(store, session, "log_in", number)
    with Redis().reading(session._login) as connection:
        read = [value for name, values in store.final_reads(connection) for value in values if name == "sessions"]
    assert sorted(read) == list(range(1, 6001))


def test_only_those_who_are_logged_in_are_visited_and_each_logs_out_once() -> None:
    store, asked = SessionStore(), context()
    done_: Any = SimpleNamespace(execute=lambda *_, **__: SimpleNamespace(outcome=Outcome.OK, error="", reply=1))
    kinds, live, ended = list(store.mix), set[int](), set[int]()
    for _ in range(5000):
        (kind,) = asked.random.choices(kinds, list(store.mix.values()))
        key, value, _ = store.plan(kind, asked)
        if kind == "log_out" and key != GONE:
            assert key in live
            live.discard(key)
            ended.add(key)
        elif kind == "touch":
            assert key in live or key == GONE
        elif kind == "log_in":
            live.add(value)
        if kind.startswith("log_in"):
            store.perform(kind, done_, key, value, None)
    assert len(ended) > 500


def test_the_shares_are_those_that_were_asked_for() -> None:
    mix = SessionStore(reads_share=0.8).mix
    assert sum(mix.values()) == pytest.approx(1)
    assert mix["read"] == pytest.approx(0.8)
    assert mix["log_in"] + mix["log_in_briefly"] == pytest.approx(0.1)


def test_those_who_came_last_are_looked_up_most_of_all() -> None:
    store, asked = SessionStore(), context()
    store._live.extend(range(1, 1001))
    found = Counter(store.plan("touch", asked)[0] for _ in range(5000))
    assert found.most_common(1)[0][0] == 1000


@pytest.mark.parametrize("wrong", [{"value_bytes": 19}, {"reads_share": 1.0}, {"reads_share": 0.0}])
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"value_bytes is 20 at least|sessions must be made, and looked at"):
        SessionStore(**wrong)


def test_options_can_be_carried_to_a_client_node() -> None:
    store = SessionStore(users=3)
    store._live.append(1)
    assert SessionStore(**asdict(store)) == store
