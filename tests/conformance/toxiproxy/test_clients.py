"""Do the clients that others wrote work unchanged?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from toxiproxy import Toxiproxy  # type: ignore[import-untyped]
from toxiproxy.api import APIConsumer  # type: ignore[import-untyped]
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists  # type: ignore[import-untyped]

from tests.conformance.toxiproxy.wire import Api, is_refused, listening

HERE = Path(__file__).parent


@pytest.fixture
def upstream() -> Iterator[str]:
    with listening() as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def toxiproxy_python(api: Api, monkeypatch: pytest.MonkeyPatch) -> Toxiproxy:
    monkeypatch.setattr(APIConsumer, "host", api.host)
    monkeypatch.setattr(APIConsumer, "port", api.port)
    return Toxiproxy()


def test_toxiproxy_python_works_unchanged(toxiproxy_python: Toxiproxy, upstream: str) -> None:
    """Every call that the library has."""
    client = toxiproxy_python
    assert client.running()
    assert json.loads(client.version())["version"].startswith("2.")
    proxy = client.create(upstream=upstream, name="db", listen="127.0.0.1:0")
    with pytest.raises(ProxyExists):
        client.create(upstream=upstream, name="db")
    proxy.add_toxic(type="latency", attributes={"latency": 100}, toxicity=0.5)
    with pytest.raises(InvalidToxic):
        proxy.add_toxic(type="slow")
    toxic = proxy.get_toxic("latency_downstream")
    assert (toxic.type, toxic.stream, toxic.toxicity) == ("latency", "downstream", 0.5)
    assert toxic.attributes == {"latency": 100, "jitter": 0}
    with proxy.down():
        assert is_refused(proxy.listen)
    assert not is_refused(proxy.listen)
    assert proxy.destroy_toxic("latency_downstream")
    with pytest.raises(NotFound):
        proxy.destroy_toxic("latency_downstream")
    assert client.reset()
    assert [made.name for made in client.populate([{"name": "two", "upstream": upstream, "listen": "127.0.0.1:0"}])] == ["two"]
    client.destroy_all()
    assert client.proxies() == {}


@pytest.fixture(scope="session")
def node_modules(request: pytest.FixtureRequest) -> Path:
    """Where the Node client is: in pytest's cache, fetched once; a skip with the reason where it is not to be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        _without("neither node nor npm on PATH" if shutil.which("node") is None else "no npm on PATH")
    folder: Path = request.config.cache.mkdir("toxiproxy-node-client")
    wanted = (HERE / "package.json").read_text()
    fetched = folder / "fetched.json"
    if not fetched.exists() or fetched.read_text() != wanted:
        shutil.copy(HERE / "package.json", folder)
        install = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
        try:
            subprocess.run(install, cwd=folder, check=True, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            _without("npm did not install the client within 120 s")
        except subprocess.CalledProcessError as error:
            _without(f"npm could not install the client: {' '.join(error.stderr.split())[:200]}")
        fetched.write_text(wanted)
    return folder / "node_modules"


def _without(reason: str) -> None:
    if os.environ.get("HARNESS_REQUIRE_NODE") == "1":
        pytest.fail(f"{reason} (HARNESS_REQUIRE_NODE=1)")
    pytest.skip(f"toxiproxy-node-client: {reason}")


def test_toxiproxy_node_client_works_unchanged(api: Api, upstream: str, node_modules: Path) -> None:
    """Every call that the package has, in a process of node's."""
    driven = subprocess.run(
        ["node", str(HERE / "drive.js"), f"http://{api.host}:{api.port}", upstream],
        env={**os.environ, "NODE_PATH": str(node_modules)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert driven.returncode == 0, driven.stderr
    assert driven.stdout == "every call was answered as the client expects\n"
