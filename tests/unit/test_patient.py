"""Each kind of client is told to its driver in words that it knows, and gives up when it says so."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import psycopg.conninfo
import pytest

from harness import runner
from harness.clock import now_ns, wait_until
from harness.recording import Outcome
from harness.workloads.ledger import Ledger
from harness.workloads.locustfile import Locustfile
from harness.workloads.patient import Kind, Patient, settings
from tests.unit.load_process import PATIENCE_S, started

KINDS: tuple[Kind, ...] = Patient().clients


@pytest.mark.parametrize("kind", KINDS)
def test_the_driver_knows_every_setting(kind: Kind) -> None:
    psycopg.conninfo.make_conninfo(**settings(kind, 5))


def test_a_client_as_it_comes_is_told_nothing() -> None:
    assert settings("default", 5) == {}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "default"])
def test_all_others_give_up_connecting_after_their_deadline(kind: Kind) -> None:
    assert settings(kind, 7)["connect_timeout"] == 7


def test_keepalives_and_the_user_timeout_add_up_to_the_deadline() -> None:
    idle = settings("keepalives", 7)
    assert idle["keepalives_idle"] + idle["keepalives_interval"] * idle["keepalives_count"] == 7
    assert settings("tcp_user_timeout", 7)["tcp_user_timeout"] == 7000  # libpq takes milliseconds


def test_users_that_keep_a_schedule_answer_for_their_deadline_unless_others_share_their_lane() -> None:
    assert runner._deadlines([Ledger(deadline_s=2), Patient()]) == {"workload": 2, "client:watchdog": 5}
    assert runner._deadlines([Ledger(), Locustfile("mine.py")]) == {}
    assert runner._deadlines([Patient()]) == {"client:watchdog": 5}


def test_only_a_watchdog_answers_for_its_deadline() -> None:
    assert Patient().deadlines() == {"client:watchdog": 5}
    assert replace(Patient(), clients=("default", "keepalives")).deadlines() == {}


def test_a_zone_s_users_are_enough_for_every_kind_path_and_question() -> None:
    patient = Patient()
    assert patient.users == 3 * len(patient.clients) * len(patient.paths) * 2


def test_every_kind_of_client_on_every_path_records_what_it_waits_for(tmp_path: Path) -> None:
    asked = {"workload": "patient", "options": asdict(Patient()), "files": "", "users": 16, "rate_per_s": 160}
    with started(tmp_path, asked) as process:
        (process.folder / "start").write_text(str(now_ns()))
        everyone = {(f"client:{kind}", path) for kind in KINDS for path in ("writer", "direct")}

        def seen() -> set[tuple[str, str]]:
            operations = process.operations()
            return set(zip(operations.words("lane"), operations.words("endpoint"), strict=True))

        wait_until(lambda: seen() == everyone, PATIENCE_S, "every client to have asked")
        operations = process.stop()
    # There is no database here, so what each of them records is that it could not connect.
    assert set(operations.words("kind")) == {"connect"}
    assert set(operations["outcome"].tolist()) == {int(Outcome.FAILED)}


def test_no_client_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        replace(Patient(), clients=())
