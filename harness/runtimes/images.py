"""Which image does each server family run, and where does it come from?

Images are built from the Dockerfiles in the package and tagged by what went into them, so that an
image is built once and a change is never missed. A scenario's `images:` overrides any of them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import platform
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors

import harness
from harness.errors import RuntimeUnavailable

PACKAGE = Path(harness.__file__).parent
DOCKERFILES = PACKAGE / "images"
REPOSITORY = "failover-harness"
OFFICIAL_TOXIPROXY = "ghcr.io/shopify/toxiproxy:2.12.0"
IMAGE_PYTHON = "3.13"  # of Debian trixie, on which the client image is based
FAMILIES = ("etcd", "postgres", "haproxy", "memcached", "redis", "valkey", "packets")
# What never runs in a client node; leaving it out keeps the client image from changing with it.
_HOST_ONLY = ("images", "runtimes", "reporters", "checkers", "topologies", "faults", "scenario")


@dataclass(frozen=True)
class Images:
    """The images of a run. `chosen` maps a server family to the user's own image."""

    engine: docker.DockerClient
    chosen: Mapping[str, str]
    progress: Callable[[str], None]

    def of(self, family: str) -> str:
        """The reference of a family's image, built or pulled when it is not there.

        Raises RuntimeUnavailable, with the end of the build's output, when it cannot be had.
        """
        if family in self.chosen:
            return self._present(self.chosen[family])
        if family == "client":
            return self._client()
        if family == "moto":
            return self._client("dynamodb")
        if family == "toxiproxy":
            return self._toxiproxy()
        return self._built(family, _digest([DOCKERFILES / "Dockerfile"]), _context([DOCKERFILES / "Dockerfile"]), target=family)

    def _present(self, reference: str) -> str:
        try:
            self.engine.images.get(reference)
        except docker.errors.ImageNotFound:
            self.progress(f"pulling {reference}")
            try:
                self.engine.images.pull(reference)
            except docker.errors.APIError as problem:
                raise RuntimeUnavailable(f"image {reference} is not here and cannot be pulled: {problem.explanation}") from None
        return reference

    def _toxiproxy(self) -> str:
        """The official image, or, where no registry gives it, the client image with the harness's own server."""
        try:
            return self._present(OFFICIAL_TOXIPROXY)
        except RuntimeUnavailable:
            self.progress(f"{OFFICIAL_TOXIPROXY} cannot be had here: the harness's own server takes its place")
            return self._client()

    def _client(self, *more: str) -> str:
        """The image of client nodes, and of what runs on the harness's own code with the libraries of `more` extras."""
        wanted = requirements("client", *more)
        python = self._built(
            "python",
            _digest([DOCKERFILES / "Dockerfile"], "\n".join(wanted)),
            lambda: _python_context(wanted, self.progress),
            target="python",
        )
        sources = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] not in _HOST_ONLY]
        dockerfile = DOCKERFILES / "client.Dockerfile"
        return self._built(
            "client",
            _digest([dockerfile, *sources], python),
            _context([dockerfile, *sources]),
            dockerfile=dockerfile.name,
            arguments={"PYTHON_IMAGE": python},
        )

    def _built(
        self,
        family: str,
        digest: str,
        context: Callable[[], bytes],
        *,
        target: str | None = None,
        dockerfile: str = "Dockerfile",
        arguments: Mapping[str, str] | None = None,
    ) -> str:
        reference = f"{REPOSITORY}/{family}:{digest}"
        try:
            self.engine.images.get(reference)
            return reference
        except docker.errors.ImageNotFound:
            self.progress(f"building image {reference}")
        said: list[str] = []
        for line in self.engine.api.build(
            fileobj=io.BytesIO(context()), custom_context=True, dockerfile=dockerfile, tag=reference, rm=True, decode=True,
            target=target or "", buildargs=dict(arguments or {}), labels={REPOSITORY: family},
        ):  # fmt: skip
            said.append(line.get("stream", "") or line.get("error", ""))
            if "error" in line:
                raise RuntimeUnavailable(f"image {reference} cannot be built: " + "".join(said[-8:]).strip())
        return reference


def requirements(*extras: str) -> list[str]:
    """What extras of this package ask for, as pip requirements."""
    found = importlib.metadata.requires("failover-harness") or []
    asked = [f"extra == {quote}{extra}{quote}" for extra in extras for quote in "'\""]
    return sorted(line.split(";")[0].strip() for line in found if any(one in line for one in asked))


def _digest(paths: list[Path], *more: str) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(str(path.relative_to(PACKAGE)).encode() + b"\0" + path.read_bytes() + b"\0")
    for text in more:
        digest.update(text.encode())
    return digest.hexdigest()[:12]


def _context(paths: list[Path]) -> Callable[[], bytes]:
    """A build context: Dockerfiles at its top, sources below `harness/`."""

    def files() -> Iterator[tuple[str, bytes]]:
        for path in paths:
            inside = path.relative_to(PACKAGE)
            yield (inside.name if inside.parts[0] == "images" else f"harness/{inside}"), path.read_bytes()

    return lambda: _archive(files())


def _python_context(wanted: list[str], progress: Callable[[str], None]) -> bytes:
    """The wheels that the client needs, fetched by this interpreter's pip, as the user has set it up."""
    machine = platform.machine()
    platforms = [f"{tag}_{machine}" for tag in ("manylinux2014", "manylinux_2_17", "manylinux_2_28", "manylinux_2_39")]
    with tempfile.TemporaryDirectory() as folder:
        progress("fetching the client image's wheels")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", folder,
                   "--python-version", IMAGE_PYTHON, "--only-binary=:all:"]  # fmt: skip
        for name in platforms:
            command += ["--platform", name]
        ended = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
        if ended.returncode:
            last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise RuntimeUnavailable(f"pip could not fetch the client image's wheels: {last}")

        def files() -> Iterator[tuple[str, bytes]]:
            yield "Dockerfile", (DOCKERFILES / "Dockerfile").read_bytes()
            yield "requirements.txt", "\n".join(wanted).encode()
            for wheel in sorted(Path(folder).iterdir()):
                yield f"wheels/{wheel.name}", wheel.read_bytes()

        return _archive(files())


def _archive(files: Iterator[tuple[str, bytes]]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()
