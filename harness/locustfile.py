"""How do the users of somebody's own Locust file run in a client node, and how is each of their requests recorded?

Locust itself loads the file and runs its users: each waits for its own answer before it asks again, so there is no
schedule to keep. What they report through Locust's `events.request` becomes operations; what they do not report
(an exception that a task lets out, a request that is never answered) becomes one, too, so that nothing that clients
did not get is left out of the count.
"""

from __future__ import annotations

# isort: off
import locust  # first, for its monkey-patching
from locust.argument_parser import get_parser
from locust.env import Environment
from locust.runners import STATE_RUNNING
from locust.user.task import LOCUST_STATE_RUNNING
from locust.util.load_locustfile import load_locustfile

# isort: on
import logging
import os
import signal
import sys
import weakref
from collections import Counter
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import gevent

from harness.clock import SECOND_NS, now_ns
from harness.errors import suggestion
from harness.recording import Notes, Recorder
from harness.reported import UNANSWERED, Requests
from harness.sessions import driver_of

FIRST_REQUEST_WITHIN_S = 10
ALONE_S = 2.0  # a task's exception is the file's fault when no request is made for so long after it
STOP_WITHIN_S = 10
LOGGED_MAX = 100


class Failed(Exception):
    """The file cannot be run, and why: `mine.py:12: NameError: …`."""


def variables(config: dict[str, Any]) -> dict[str, str]:
    """What the file's code finds in its environment: where and as whom to connect."""
    login = config["login"]
    found = {
        "HARNESS_ZONE": config["zone"],
        **{f"HARNESS_{name.upper()}": login[name] for name in ("user", "password") if name in login},
    }
    for name, endpoint in config["endpoints"].items():
        about = f"HARNESS_{name.upper().replace('-', '_')}"
        found |= {f"{about}_{part.upper()}": str(endpoint[part]) for part in ("host", "port", "dsn")}
    return found | driver_of(login).variables(login)


class OwnUsers:
    """The users of one Locust file in one client node; `environment` is Locust's. Raises Failed when it cannot be run."""

    def __init__(self, config: dict[str, Any], recorder: Recorder, notes: Notes) -> None:
        self._config, self._notes = config, notes
        self._options: dict[str, Any] = config["options"]
        self._folder = Path(config["files"])
        self._file = Path(self._options["locustfile"]).name
        self.about = {"file": self._file}
        self._errors: Counter[str] = Counter()  # what went wrong in the file, with its line
        self._broken: str | None = None
        self._task_error: tuple[int, str] | None = None
        self._started: weakref.WeakSet[locust.User] = weakref.WeakSet()
        self._starts = 0
        self._since: weakref.WeakKeyDictionary[locust.User, int] = weakref.WeakKeyDictionary()
        self._began = now_ns()
        driver = driver_of(config["login"])
        self.requests = Requests(recorder, self._options["reads"], self._options["deadline_s"], driver)
        signal.signal(signal.SIGALRM, self._too_late)
        signal.setitimer(signal.ITIMER_REAL, config["ready_within_s"])
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        logging.getLogger().addHandler(_Errors(self._on_logged))
        for handler in logging.getLogger().handlers[:-1]:
            handler.addFilter(_few_errors())
        try:
            self.environment = self._load()
        except (Exception, SystemExit) as problem:
            raise Failed(self._reason(problem)) from problem

    # --- loading ---

    def _load(self) -> Environment:
        os.chdir(self._folder)
        os.environ.update(variables(self._config))
        sys.dont_write_bytecode = True
        classes, shapes = load_locustfile(str(self._folder / self._file))
        if not classes:
            raise LookupError("it holds no User class that Locust would run; abstract ones do not count")
        options = self._parsed()
        chosen = [_named(name, classes) for name in options.user_classes] or list(classes.values())
        for cls in chosen:
            self._tell_start(cls)
        return Environment(
            locustfile=self._file, user_classes=chosen, shape_class=self._share(shapes[0]) if shapes else None,
            events=locust.events, host=options.host, reset_stats=options.reset_stats, parsed_options=options, stop_timeout=2,
        )  # fmt: skip

    def _parsed(self) -> Any:
        """Locust's command line, so that the file's own options have values, too."""
        options = self._options
        words = ["--users", str(self._config["users"]), "--spawn-rate", str(self._config["spawn_rate_per_s"])]
        words += ["--host", options["host"]] if options["host"] else []
        words += ["--tags", *options["tags"]] if options["tags"] else []
        words += ["--exclude-tags", *options["exclude_tags"]] if options["exclude_tags"] else []
        words += [] if self._config["ui_port"] else ["--headless"]
        parser = get_parser(default_config_files=[])

        def refuse(message: str) -> None:
            raise ValueError(message)

        parser.error = refuse  # type: ignore[method-assign]  # instead of usage and the end of the process
        return parser.parse_args([*words, *options["arguments"]])

    def _tell_start(self, cls: type[locust.User]) -> None:
        on_start = cls.on_start

        def told(user: locust.User) -> None:
            on_start(user)
            self._starts += user not in self._started  # a class that inherits another's has been told of twice
            self._started.add(user)

        setattr(cls, "on_start", told)  # noqa: B010 (a method of a class that is known now only)

    def _share(self, shape: Any) -> Any:
        """The shape speaks of all users; this process starts its part of them."""
        place, processes = self._config["place"], self._config["processes"]
        whole = shape.tick

        def tick() -> Any:
            told = whole()
            if told is None:
                return None
            users, rate, *classes = told
            return (users // processes + (place < users % processes), rate / processes, *classes)

        shape.tick = tick
        return shape

    # --- running ---

    def start(self, runner: Any) -> None:
        """Starts the users; their requests are recorded from now on."""
        events: Any = self.environment.events
        events.request.add_listener(self.requests.on_request)
        events.user_error.add_listener(self._on_user_error)
        events.init.fire(environment=self.environment, runner=runner, web_ui=self.environment.web_ui)
        if self.environment.shape_class is not None:
            runner.start_shape()
        else:
            runner.start(self._config["users"], spawn_rate=self._config["spawn_rate_per_s"])

    def ready(self) -> bool:
        """Whether every user has started, and one of them has made a request. Raises Failed when none ever will."""
        if self._broken:
            raise Failed(self._broken)
        runner: Any = self.environment.runner
        # A class with a fixed_count may leave fewer than were asked for; a shape's ramp may be longer than the run.
        spawned = runner.state == STATE_RUNNING and self._starts >= runner.user_count > 0
        if self.requests.count:
            well = spawned or self.environment.shape_class is not None
        elif self._task_error and now_ns() - self._task_error[0] > ALONE_S * SECOND_NS:
            raise Failed(self._task_error[1])
        else:
            well = spawned and now_ns() - self._began > FIRST_REQUEST_WITHIN_S * SECOND_NS
        if well:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return well

    def tick(self) -> None:
        """Notes since when each user has been at work: the only sign of a request that is never answered."""
        now = now_ns()
        for user in list(self._started):
            if _at_work(user):
                self._since.setdefault(user, now)
            else:
                self._since.pop(user, None)

    def stop(self, runner: Any) -> None:
        """Ends the users, and records the requests that were under way and that nobody answered."""
        at = now_ns()
        waiting = {
            user: self._innermost(user.greenlet.gr_frame)
            for user in list(self._started)
            if _at_work(user) and not _sleeps(user.greenlet.gr_frame)
        }
        gevent.with_timeout(STOP_WITHIN_S, runner.quit, timeout_value=None)
        for user, place in waiting.items():
            if self.requests.unanswered(user.greenlet, self._since.get(user, at), at):
                self._errors[f"{place or self._file}: {UNANSWERED}"] += 1
        told = [{"said": said, "times": times} for said, times in self._errors.most_common(20)]
        self._notes.write("locustfile", now_ns(), process=self._config["process"], file=self._file, errors=told)

    # --- what goes wrong in the file ---

    def _on_logged(self, error: BaseException) -> None:
        """An exception of the file outside of its tasks: in a listener, in on_start, in making a user."""
        said = self._reason(error)
        self._errors[said] += 1
        self._broken = self._broken or said

    def _on_user_error(self, user_instance: Any, exception: BaseException, **_: Any) -> None:
        user = getattr(user_instance, "user", user_instance)
        if user not in self._started:
            return  # in its on_start, which is logged, too
        said = self._reason(exception)
        self._errors[said] += 1
        self._task_error = self._task_error or (now_ns(), said)
        self.requests.on_task_error(type(user).__name__, exception, said, self._since.get(user, now_ns()))

    def _reason(self, problem: BaseException) -> str:
        """What went wrong, with the innermost line of the file's folder."""
        said = " ".join(str(problem).split())
        if password := self._config["login"].get("password"):
            said = said.replace(password, "…")
        said = said[:300]
        what = said if isinstance(problem, (LookupError, ValueError)) and self._place(problem) is None else ""
        if isinstance(problem, SystemExit):
            what = f"it ended the process (exit {said})"
        if isinstance(problem, SyntaxError) and problem.filename:
            return f"{self._named(problem.filename)}:{problem.lineno}: {type(problem).__name__}: {problem.msg}"
        return f"{self._place(problem) or self._file}: {what or f'{type(problem).__name__}: {said}'.rstrip(': ')}"

    def _place(self, problem: BaseException) -> str | None:
        found = None
        trace: TracebackType | None = problem.__traceback__
        while trace is not None:
            found = self._line(trace.tb_frame, trace.tb_lineno) or found
            trace = trace.tb_next
        return found

    def _line(self, frame: FrameType, number: int | None) -> str | None:
        """`mine.py:12` for a frame of the file's folder."""
        named = frame.f_code.co_filename
        return f"{self._named(named)}:{number}" if named.startswith(f"{self._folder}/") else None

    def _named(self, path: str) -> str:
        return path.removeprefix(f"{self._folder}/")

    def _innermost(self, frame: FrameType | None) -> str | None:
        """The line of the file's folder that a stack is in."""
        while frame is not None:
            if place := self._line(frame, frame.f_lineno):
                return place
            frame = frame.f_back
        return None

    def _too_late(self, number: int, frame: FrameType | None) -> None:
        """Says where the file is stuck, and ends the process: whatever does not give way now never will."""
        del number
        runner = getattr(getattr(self, "environment", None), "runner", None)
        stacks = [frame, *(greenlet.gr_frame for greenlet in (runner.user_greenlets if runner else ()))]
        place = next((place for stack in stacks if (place := self._innermost(stack))), self._file)
        started = f"{self._starts} of {self._config['users']} users had started"
        self._notes.write(
            "failed", now_ns(), process=self._config["process"],
            reason=f"{place}: still at work after {self._config['ready_within_s']:g} s; {started}",
        )  # fmt: skip
        os._exit(1)


def _named(name: str, classes: dict[str, type[locust.User]]) -> type[locust.User]:
    if name not in classes:
        raise ValueError(f"no User class called '{name}'{suggestion(name, classes)}")
    return classes[name]


def _at_work(user: locust.User) -> bool:
    return user._state == LOCUST_STATE_RUNNING and not user.greenlet.dead  # noqa: SLF001 (Locust tells it nowhere else)


def _sleeps(frame: FrameType | None) -> bool:
    """Whether a stack is one that sleeps, rather than one that waits for an answer."""
    while frame is not None:
        if frame.f_code.co_name == "sleep" and "gevent" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


class _Errors(logging.Handler):
    """Tells what Locust logs of exceptions outside of tasks: it goes on as if nothing had happened."""

    def __init__(self, tell: Any) -> None:
        super().__init__(logging.ERROR)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        of_locust = record.name.startswith("locust") and record.name != "locust.user.task"
        if of_locust or record.getMessage().startswith("Uncaught exception in event handler"):
            error = record.exc_info[1] if record.exc_info else sys.exc_info()[1] or record.msg
            if isinstance(error, BaseException):  # of StopTest, Locust logs the exception itself
                self._tell(error)


def _few_errors() -> Any:
    """A filter: during an outage a file may log the same thing a thousand times a second."""
    left = [LOGGED_MAX]

    def passes(record: logging.LogRecord) -> bool:
        left[0] -= record.levelno >= logging.WARNING
        return left[0] >= 0 or record.levelno < logging.WARNING

    return passes
