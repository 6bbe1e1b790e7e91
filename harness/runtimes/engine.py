"""Does the Docker engine answer, and if not, what is said in its stead?

Whatever docker-py and the libraries below it raise ends here: outside there are this project's errors only, one line each.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import docker
import docker.errors
import requests
import urllib3.exceptions
from docker.models.containers import Container

from harness.errors import ClusterError, HarnessError, RuntimeUnavailable

CONNECT_WITHIN_S, ANSWER_WITHIN_S, SILENT_FOR_S = 10, 120, 1800  # the last: of a command that says nothing
_FRAME = struct.Struct(">BxxxL")  # of what a command prints: which stream, and how many bytes follow

# What is raised, by one library or another, when a connection cannot be made, breaks, or is silent for too long.
GONE = (
    docker.errors.DockerException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    ConnectionError,
    TimeoutError,
)


def engine() -> docker.DockerClient:
    """A client of the engine that `DOCKER_HOST` or the default socket names. Raises RuntimeUnavailable."""
    try:
        client = docker.from_env(timeout=CONNECT_WITHIN_S)
        client.ping()
        client.api.timeout = ANSWER_WITHIN_S
    except (docker.errors.DockerException, OSError, ValueError) as problem:
        raise RuntimeUnavailable(f"no Docker engine answers ({reason(problem)}); start one, or name it in DOCKER_HOST") from None
    return client


def execute(
    container: Container, argv: Sequence[str], *, environment: Mapping[str, str] | None = None, user: str = ""
) -> tuple[int, bytes]:
    """Runs a command in a container: its exit status, and all that it printed. Raises what `asked` takes.

    docker-py's own `exec_run` asks for the bare connection, and forgets what had arrived with the answer's head already: of a
    command that is quick, on a machine that is busy, that is all (docker-py's issues 2042 and 3332).
    """
    api = container.client.api  # type: ignore[union-attr]  # it was made by a client
    made = api.exec_create(container.id, list(argv), environment=dict(environment or {}), user=user)["Id"]
    said = api.post(
        f"{api.base_url}/v{api.api_version}/exec/{made}/start", json={"Detach": False, "Tty": False},
        timeout=(CONNECT_WITHIN_S, SILENT_FOR_S),
    )  # fmt: skip
    try:
        said.raise_for_status()
    except requests.HTTPError as refused:
        docker.errors.create_api_error_from_http_exception(refused)
    return int(api.exec_inspect(made)["ExitCode"] or 0), b"".join(_frames(said.content))


def _frames(printed: bytes) -> Iterator[bytes]:
    at = 0
    while at + _FRAME.size <= len(printed):
        _, length = _FRAME.unpack_from(printed, at)
        at += _FRAME.size
        yield printed[at : at + length]
        at += length


@contextmanager
def asked(what: str, error: type[HarnessError] = ClusterError) -> Iterator[None]:
    """Raises `error` when the engine refuses what is asked of it here, or is gone; `what` says what could not be done."""
    try:
        yield
    except docker.errors.APIError as problem:
        raise error(f"{what}: {reason(problem)}") from None
    except GONE as problem:
        raise error(f"{what}: the Docker engine does not answer any more ({reason(problem)})") from None


def reason(problem: BaseException) -> str:
    """The first line of what an engine said, or of the innermost of several errors around each other."""
    said = getattr(problem, "explanation", None)
    if said:
        return str(said).splitlines()[0]
    inner = next((one for one in (getattr(problem, "reason", None), *problem.args[::-1]) if isinstance(one, BaseException)), None)
    if inner is not None:
        return reason(inner)
    named = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
    return str(named).splitlines()[0]
