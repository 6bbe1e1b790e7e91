"""Any Locust file runs as it would alone, and whatever its users did not get is in the record."""

from __future__ import annotations

import re
import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.clock import SECOND_NS, now_ns, wait_until
from harness.history import Operations, Outcome
from tests.unit.load_process import PATIENCE_S, endpoint, running
from tests.unit.test_docs import LOCUST_FILES


def refused(folder: Path, text: str, **changed: Any) -> str:
    """The reason that a file is refused with, whose process then ends by itself."""
    with running(folder, text, ready=False, **changed) as process:
        assert process.popen.wait(PATIENCE_S) != 0
        assert not process.noted("ready")
        [failed] = process.noted("failed")
        return str(failed["reason"])


def counted(operations: Operations) -> Counter[tuple[str, str, str]]:
    """How often each kind had which outcome and error."""
    outcomes = [Outcome(outcome).name.lower() for outcome in operations["outcome"]]
    return Counter(zip(operations.words("kind"), outcomes, operations.words("error"), strict=True))


REPORTS = """
class Buyer(User):
    wait_time = constant(0.01)

    @task
    def buy(self):
        for kind, error in (("SELECT", None), ("INSERT", None), ("GET", TimeoutError("late")), ("POST", ConnectionRefusedError(
            "connection refused")), ("POST", TimeoutError("late"))):
            with self.environment.events.request.measure(kind, "order"):
                gevent.sleep(0.02)
                if error:
                    raise error
"""


def test_each_request_that_is_reported_is_an_operation_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    with running(tmp_path, REPORTS) as process:
        process.until("write POST order")
        operations = process.stop()
    assert set(counted(operations)) == {
        ("read SELECT order", "ok", ""),
        ("write INSERT order", "ok", ""),
        ("read GET order", "failed", "timeout"),  # a read has no effect: it just failed
        ("write POST order", "failed", "connection refused"),  # nobody has seen it
        ("write POST order", "unknown", "timeout"),  # it may have happened
    }
    assert set(operations.words("lane")) == {"workload"}
    assert len(set(operations["client"].tolist())) == 3
    took = (operations["ended"] - operations["started"]) / 1e6
    assert (operations["intended"] == operations["started"]).all()
    assert ((took >= 19) & (took < 500)).all()
    assert (operations["value"] == -1).all(), "which values were written is not known, so none can be found lost"
    kinds = operations.reads.words("kind")
    assert set(kinds) == {"read SELECT order", "read GET order"}


def test_a_scenario_says_what_else_is_a_read(tmp_path: Path) -> None:
    with running(tmp_path, REPORTS, reads=("post order",)) as process:
        process.until("read POST order")
        assert ("read POST order", "failed", "timeout") in counted(process.stop())


class Shop(BaseHTTPRequestHandler):
    """Answers GET with 200, POST with 409 and PUT with 503."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response({"GET": 200, "POST": 409, "PUT": 503}[self.command])
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.mark.parametrize("user", ["HttpUser", "FastHttpUser"])
def test_users_of_http_are_recorded_with_the_host_of_the_scenario(tmp_path: Path, user: str) -> None:
    text = f"""
from locust import FastHttpUser
class Visitor({user}):
    wait_time = constant(0.01)

    @task
    def visit(self):
        self.client.get("/")
        self.client.post("/cart", json={{}})
        self.client.put("/cart", json={{}})
"""
    with ThreadingHTTPServer(("127.0.0.1", 0), Shop) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with running(tmp_path, text, host=f"http://127.0.0.1:{server.server_port}") as process:
            process.until("write PUT /cart")
            operations = process.stop()
        server.shutdown()
    assert set(counted(operations)) == {
        ("read GET /", "ok", ""),
        ("write POST /cart", "failed", "HTTP 409"),
        ("write PUT /cart", "unknown", "HTTP 503"),
    }


def test_an_exception_that_a_task_lets_out_counts_once(tmp_path: Path) -> None:
    text = """
class Buyer(User):
    wait_time = constant(0.01)

    @task
    def reported(self):
        try:
            with self.environment.events.request.measure("INSERT", "order") as about:
                raise TimeoutError("late")
        finally:
            if about["exception"]:
                raise about["exception"]

    @task
    def unreported(self):
        raise KeyError("price")
"""
    with running(tmp_path, text) as process:
        process.until("write task of Buyer")
        found = counted(process.stop())
        [told] = process.noted("locustfile")
    assert set(found) == {
        ("write INSERT order", "unknown", "timeout"),
        ("write task of Buyer", "unknown", "KeyError at mine.py:19"),
    }
    times = {error["said"]: error["times"] for error in told["errors"]}
    assert times["mine.py:19: KeyError: 'price'"] == found["write task of Buyer", "unknown", "KeyError at mine.py:19"]


def test_a_request_that_nobody_answers_is_recorded_when_the_run_ends_but_thinking_is_none(tmp_path: Path) -> None:
    text = """
class Buyer(User):
    @task
    def buy(self):
        self.environment.events.request.fire(
            request_type="SELECT", name="order", response_time=1, response_length=0, exception=None, context={})
        silent = socket.create_server(("127.0.0.1", 0))
        silent.accept()

class Thinker(User):
    @task
    def think(self):
        gevent.sleep(1000)
"""
    with running(tmp_path, text, users=2, deadline_s=0.1) as process:
        process.until("read SELECT order")
        asked = now_ns()
        wait_until(lambda: now_ns() > asked + SECOND_NS, PATIENCE_S, "the request to be under way for a second")
        operations = process.stop()
        [told] = process.noted("locustfile")
    assert counted(operations) == {
        ("read SELECT order", "ok", ""): 1,
        ("write request that was not answered", "unknown", "no answer before the end"): 1,
    }
    assert told["errors"] == [{"said": "mine.py:11: no answer before the end", "times": 1}]


@pytest.mark.parametrize(("deadline_s", "errors"), [(60, {""}), (1, {"", "no answer before the end"})])
def test_a_request_that_the_end_of_the_run_interrupts_before_its_deadline_is_no_operation(
    tmp_path: Path, deadline_s: float, errors: set[str]
) -> None:
    text = """
class Buyer(User):
    @task
    def buy(self):
        with self.environment.events.request.measure("INSERT", "quick"):
            pass
        with self.environment.events.request.measure("INSERT", "slow"):
            socket.create_server(("127.0.0.1", 0)).accept()
"""
    with running(tmp_path, text, deadline_s=deadline_s) as process:
        process.until("write INSERT quick")
        assert set(process.stop().words("error")) == errors  # its users had two seconds more to end by themselves


def test_the_file_finds_where_to_connect_its_own_options_and_what_lies_beside_it(tmp_path: Path) -> None:
    text = """
import beside
@events.init_command_line_parser.add_listener
def add(parser):
    parser.add_argument("--tenant", default="")

class Buyer(User):
    wait_time = constant(0.01)

    @task
    def buy(self):
        where = f"{os.environ['HARNESS_ZONE']} {os.environ['HARNESS_WRITER_HOST']}:{os.environ['HARNESS_READER_PORT']}"
        told = self.environment.parsed_options
        for name in (where, os.environ["HARNESS_WRITER_DSN"], f"{told.tenant} {told.num_users}",
                     beside.WORD, open("a.txt").read()):
            self.environment.events.request.fire(
                request_type="X", name=name, response_time=1, response_length=0, exception=None, context={})
"""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "beside.py").write_text("WORD = 'of a module'")
    (tmp_path / "files" / "a.txt").write_text("of a file")
    with running(tmp_path, text, arguments=("--tenant", "acme")) as process:
        process.until("write X of a file")
        operations = process.stop()
    named = {kind.removeprefix("write X ") for kind in operations.words("kind")}
    dsn = "postgresql://application:p%2Fw@198.18.1.10:5000/harness"
    assert named == {"az-a 198.18.1.10:5001", dsn, "acme 3", "of a module", "of a file"}


def test_a_shape_speaks_of_the_users_of_all_zones(tmp_path: Path) -> None:
    text = (
        REPORTS
        + """
class Shape(LoadTestShape):
    def tick(self):
        return (7, 100)
"""
    )
    with running(tmp_path, text, place=0, processes=2) as process:
        wait_until(lambda: len(set(process.operations()["client"].tolist())) == 4, PATIENCE_S, "4 of the 7 users")
        assert len(set(process.stop()["client"].tolist())) == 4


def test_users_that_inherit_from_each_other_or_of_a_fixed_count_are_awaited(tmp_path: Path) -> None:
    text = """
class Buyer(User):
    fixed_count = 1
    wait_time = constant(0.01)

    def on_start(self):
        self.name = type(self).__name__

    @task
    def buy(self):
        with self.environment.events.request.measure("INSERT", self.name):
            gevent.sleep(0.01)

class Browser(Buyer):
    fixed_count = 1
"""
    with running(tmp_path, text, users=5) as process:
        process.until("write INSERT Browser")
        process.until("write INSERT Buyer")
        assert len(set(process.stop()["client"].tolist())) == 2


def test_a_password_does_not_get_into_the_reason(tmp_path: Path) -> None:
    said = refused(tmp_path, "raise ValueError(os.environ['HARNESS_PASSWORD'])")
    assert said == "mine.py:4: ValueError: …"


def test_only_so_many_names_are_told_apart(tmp_path: Path) -> None:
    text = """
class Buyer(User):
    number = 0

    @task
    def buy(self):
        for number in range(1000):
            self.environment.events.request.fire(
                request_type="GET", name=f"/items/{number}", response_time=1, response_length=0,
                exception=f"wrong {number}", context={})
        gevent.sleep(0.1)
"""
    with running(tmp_path, text, users=1) as process:
        process.until("read others")
        operations = process.stop()
    assert len(set(operations.words("kind"))) <= 201
    assert len(set(operations.words("error"))) <= 201
    assert not len(operations.writes)


BUY = "class Buyer(User):\n    @task\n    def buy(self):\n        "


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nowhere", "mine.py:4: ModuleNotFoundError: No module named 'nowhere'"),
        ("x = = 1", "mine.py:4: SyntaxError: invalid syntax"),
        ("raise SystemExit(3)", "mine.py:4: it ended the process (exit 3)"),
        ("from gevent import sleep", "mine.py: it holds no User class that Locust would run; abstract ones do not count"),
        (f"{BUY}raise KeyError('price')", "mine.py:7: KeyError: 'price'"),
        ("class Buyer(User): pass", "mine.py: Exception: No tasks defined on Buyer"),
        ("class Buyer(User):\n    def on_start(self):\n        raise OSError('no shop')", "mine.py:6: OSError: no shop"),
        ("class Buyer(User):\n    def __init__(self, *_):\n        raise OSError('no shop')", "mine.py:6: OSError: no shop"),
        (
            f"@events.test_start.add_listener\ndef begin(**_):\n    1 / 0\n{BUY}pass",
            "mine.py:6: ZeroDivisionError: division by zero",
        ),
        (
            "class Buyer(HttpUser):\n    @task\n    def buy(self):\n        self.client.get('/')",
            "mine.py: StopTest: You must specify",
        ),
    ],
)
def test_a_file_that_cannot_be_run_is_refused_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    said = refused(tmp_path, text)
    assert said.startswith(reason)
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("while True: pass", "mine.py:4: still at work after 5 s; 0 of 3 users had started"),
        (
            "class Buyer(User):\n    def on_start(self):\n        socket.create_server(('127.0.0.1', 0)).accept()",
            "mine.py:6: still at work after 5 s; 0 of 3 users had started",
        ),
    ],
)
def test_a_file_that_never_gets_ready_is_refused_with_the_line_it_is_at(tmp_path: Path, text: str, reason: str) -> None:
    assert refused(tmp_path, text, ready_within_s=5) == reason


def test_arguments_that_neither_locust_nor_the_file_knows_are_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, REPORTS, arguments=("--tenant",))
    assert said == "mine.py: unrecognized arguments: --tenant"


def test_the_file_of_the_how_to_is_one_that_locust_runs(tmp_path: Path) -> None:
    [(_, text)] = LOCUST_FILES.items()
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    said = refused(tmp_path, text, endpoints={"writer": endpoint("127.0.0.1", port)})
    assert re.match(r"mine.py:\d+: OperationalError: connection failed: .* Connection refused", said)
