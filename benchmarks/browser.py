"""How long does a report take to open, and to draw itself anew when somebody zooms? Asked of a headless Chromium.

It is driven by its own protocol over a WebSocket, so that the page is the one that a reader opens, with its policy and all.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

PATIENCE_S = 60
FLAGS = (
    "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-component-update "
    "disable-sync remote-debugging-port=0 remote-allow-origins=* window-size=1400,1000"
)  # fmt: skip

# From the begin of navigating until everything was loaded, the script had run and a frame was painted after that.
OPENED = """new Promise((told) => {
  const painted = () => requestAnimationFrame(() => requestAnimationFrame(() => told(performance.now())));
  if (document.readyState === "complete") painted(); else addEventListener("load", painted);
})"""
# A selection is drawn with the mouse in the first chart, as a reader does; every second time the whole run is shown again.
# Told are the milliseconds of drawing, and those until the frame was painted.
ZOOMED = """(async () => {
  const over = document.querySelector("#lanes .u-over");
  const frame = () => new Promise(requestAnimationFrame);
  const turn = () => new Promise((go) => { const c = new MessageChannel(); c.port1.onmessage = go; c.port2.postMessage(0); });
  const box = () => over.getBoundingClientRect();
  const mouse = (type, share, target) => target.dispatchEvent(new MouseEvent(type, {
    bubbles: true, button: 0, buttons: 1, clientX: box().left + share * box().width, clientY: box().top + 10,
    movementX: 5, view: window,
  }));
  const found = { drawn: [], painted: [] };
  for (let i = 0; i < TIMES; i++) {
    if (i % 2 === 0) { mouse("mousedown", 0.2 + 0.01 * i, over); mouse("mousemove", 0.5, over); mouse("mousemove", 0.7, over); }
    await frame(); await frame();
    const began = performance.now();
    if (i % 2 === 0) mouse("mouseup", 0.7, document); else document.getElementById("zoom-all").click();
    await turn();
    found.drawn.push(performance.now() - began);
    await frame(); await turn();
    found.painted.push(performance.now() - began);
  }
  return found;
})()"""


@dataclass(frozen=True)
class Looked:
    """Milliseconds: to open the page, and of each zoom to draw and until the frame was painted."""

    opened: float
    drawn: list[float]
    painted: list[float]


def chromium() -> str | None:
    return next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)


def look(page: Path, zooms: int = 20) -> Looked:
    """Opens a page in a Chromium of its own, and zooms."""
    return asyncio.run(_look(page.absolute().as_uri(), zooms))


async def _look(page: str, zooms: int) -> Looked:
    async with _browser() as address, aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
        numbers = itertools.count(1)

        async def ask(method: str, of: str | None = None, **parameters: Any) -> dict[str, Any]:
            number = next(numbers)
            about = {"sessionId": of} if of else {}
            await socket.send_json({"id": number, "method": method, "params": parameters, **about})
            while (said := await socket.receive_json(timeout=PATIENCE_S)).get("id") != number:
                pass
            if "error" in said:
                raise RuntimeError(f"{method}: {said['error']}")
            found: dict[str, Any] = said["result"]
            return found

        async def evaluate(of: str, expression: str) -> Any:
            said = await ask("Runtime.evaluate", of, expression=expression, awaitPromise=True, returnByValue=True)
            if "exceptionDetails" in said:
                raise RuntimeError(str(said["exceptionDetails"]))
            return said["result"]["value"]

        # A page before it, so that what is measured is the page and not the browser's own start.
        target = (await ask("Target.createTarget", url="about:blank"))["targetId"]
        tab = (await ask("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        await ask("Page.navigate", tab, url=page)
        opened = float(await evaluate(tab, OPENED))
        found = await evaluate(tab, ZOOMED.replace("TIMES", str(zooms)))
        return Looked(opened, found["drawn"], found["painted"])


@contextlib.asynccontextmanager
async def _browser() -> AsyncIterator[str]:
    """The address at which a Chromium takes commands, until the context ends."""
    program = chromium()
    assert program, "no chromium is on PATH"
    with tempfile.TemporaryDirectory(prefix="harness-browser-", ignore_cleanup_errors=True) as profile:
        flags = [*(f"--{flag}" for flag in FLAGS.split()), f"--user-data-dir={profile}", "about:blank"]
        process = await asyncio.create_subprocess_exec(
            program, *flags, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            assert process.stderr
            while line := (await asyncio.wait_for(process.stderr.readline(), PATIENCE_S)).decode():
                if found := re.search(r"listening on (ws://\S+)", line):
                    yield found[1]
                    return
            raise RuntimeError(f"{program} ended before it took commands")
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


if __name__ == "__main__":
    import sys

    print(json.dumps(look(Path(sys.argv[1])).__dict__))
