"""How is a zone's Toxiproxy told what to do to its clients' path, and did it do it?

The one module that imports toxiproxy-python, and checks it. That library keeps host and port on a class, lets a 500
pass as if all were well, and sets no deadline, though Toxiproxy's API can hang while a toxic is removed
(Shopify/toxiproxy#558). So each call here names its node under a lock, has a deadline, and is read back.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from toxiproxy.api import APIConsumer  # type: ignore[import-untyped]
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists  # type: ignore[import-untyped]

from harness.errors import ClusterError

DEADLINE_S = 5.0
_consumer = threading.Lock()  # host and port are attributes of one class


@dataclass(frozen=True)
class ToxiproxyNode:
    """A Toxiproxy server, by the address of its API. Every call raises ClusterError when it came to nothing."""

    host: str
    port: int

    def create(self, name: str, listen: str, upstream: str) -> str:
        """Makes a proxy; returns the address (`host:port`) at which it listens."""
        what = f"proxy '{name}'"
        self._call("POST", "/proxies", what, {"name": name, "listen": listen, "upstream": upstream})
        made = self._proxy(name)
        place = str(made["listen"])
        port = listen.rpartition(":")[2]
        # The host may come back in another form (`[::]` for `0.0.0.0`), the port may not, unless any would do.
        moved = port != "0" and place.rpartition(":")[2] != port
        if moved or made["upstream"] != upstream or made["enabled"] is not True:
            raise self._error(what, f"asked for {listen} to {upstream}, but it is {made}")
        return place

    def add_toxic(
        self,
        proxy: str,
        name: str,
        type_: str,
        attributes: Mapping[str, float],
        stream: str = "downstream",
        toxicity: float = 1.0,
    ) -> None:
        """Adds a toxic of Toxiproxy's `type_`; `attributes` are whole numbers, under Toxiproxy's names and units."""
        what = f"proxy '{proxy}', toxic '{name}'"
        for attribute, value in attributes.items():
            if not float(value).is_integer():
                raise self._error(what, f"{attribute} must be a whole number, not {value:g}")
        asked = {
            "type": type_,
            "stream": stream,
            "toxicity": toxicity,
            "attributes": {attribute: int(value) for attribute, value in attributes.items()},
        }
        self._call("POST", f"/proxies/{proxy}/toxics", what, {"name": name, **asked})
        found = self.toxics(proxy).get(name)
        if found is None or not _is_as_asked(found, asked):
            raise self._error(what, f"asked for {asked}, but it is {found}")

    def upstream(self, name: str) -> str:
        """Where a proxy leads."""
        return str(self._proxy(name)["upstream"])

    def delete(self, name: str) -> None:
        """Deletes a proxy and cuts its connections; also an error when there was none."""
        what = f"proxy '{name}'"
        self._call("DELETE", f"/proxies/{name}", what)
        if name in self._object("/proxies", "all proxies"):
            raise self._error(what, "was deleted, but is still there")

    def remove_toxic(self, proxy: str, name: str) -> None:
        """Removes a toxic; also an error when there was none."""
        what = f"proxy '{proxy}', toxic '{name}'"
        self._call("DELETE", f"/proxies/{proxy}/toxics/{name}", what)
        if name in self.toxics(proxy):
            raise self._error(what, "was removed, but is still there")

    def toxics(self, proxy: str) -> dict[str, dict[str, Any]]:
        """The toxics of a proxy: name → `type`, `stream`, `toxicity`, `attributes`."""
        listed = self._proxy(proxy)["toxics"]
        return {toxic["name"]: {key: value for key, value in toxic.items() if key != "name"} for toxic in listed}

    def version(self) -> str:
        """What the server says that it is, such as `2.12.0`, or `2.12.0+harness` for the harness's own."""
        what = "its version"
        version = self._object("/version", what).get("version")
        if not isinstance(version, str):
            raise self._error(what, "the answer names none")
        return version

    def reset(self) -> None:
        """Enables every proxy and removes every toxic."""
        self._call("POST", "/reset", "reset")
        for name in self._object("/proxies", "all proxies"):
            proxy = self._proxy(name)
            if proxy["toxics"] or not proxy["enabled"]:
                raise self._error(f"proxy '{name}'", f"was reset, but is {proxy}")

    def _proxy(self, name: str) -> dict[str, Any]:
        what = f"proxy '{name}'"
        found = self._object(f"/proxies/{name}", what)
        missing = {"listen", "upstream", "enabled", "toxics"} - found.keys()
        if missing:
            raise self._error(what, f"its description lacks {', '.join(sorted(missing))}")
        return found

    def _call(self, method: str, path: str, what: str, body: object = None) -> requests.Response:
        arguments: dict[str, Any] = {"timeout": DEADLINE_S} | ({} if body is None else {"json": body})
        try:
            with _consumer:
                APIConsumer.host, APIConsumer.port = self.host, self.port
                answer: requests.Response = getattr(APIConsumer, method.lower())(path, **arguments)
        except (ProxyExists, NotFound, InvalidToxic) as refusal:
            raise self._error(what, _reason(refusal.args[0])) from None
        except requests.Timeout:
            raise self._error(what, f"{method} {path} was not answered within {DEADLINE_S:g} s") from None
        except requests.ConnectionError:
            raise self._error(what, "cannot be reached") from None
        except requests.RequestException as error:
            raise self._error(what, str(error)) from None
        if not answer.ok:
            raise self._error(what, f"{method} {path} was answered {answer.status_code}: {_reason(answer.content)}")
        return answer

    def _object(self, path: str, what: str) -> dict[str, Any]:
        answer = self._call("GET", path, what)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._error(what, f"the answer is no JSON object: {answer.text[:80]!r}")
        return found

    def _error(self, what: str, reason: str) -> ClusterError:
        return ClusterError(f"Toxiproxy at {self.host}:{self.port}: {what}: {reason}")


def _is_as_asked(found: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether a toxic has all that was asked; it may have further attributes, at their defaults."""
    attributes: dict[str, Any] = asked["attributes"]
    return (
        found["type"] == asked["type"]
        and found["stream"] == asked["stream"]
        and math.isclose(found["toxicity"], asked["toxicity"], rel_tol=1e-6)  # Toxiproxy keeps 32 bits of it
        and all(found["attributes"].get(key) == value for key, value in attributes.items())
    )


def _reason(body: bytes) -> str:
    """The reason in an error's body, in one line."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return " ".join(body.decode(errors="replace").split())[:200] or "no reason given"
