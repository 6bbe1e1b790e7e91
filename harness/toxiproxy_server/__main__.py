"""python -m harness.toxiproxy_server [-host HOST] [-port PORT] [-config FILE] [-seed N] …: how is it started and ended?"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from harness import registry
from harness.toxiproxy_server import NAME, VERSION, api, toxics
from harness.toxiproxy_server.metrics import Metrics
from harness.toxiproxy_server.proxies import Proxies, Proxy, Refused, join_address
from harness.toxiproxy_server.stage import Tools
from harness.toxiproxy_server.timer import Timer

log = logging.getLogger(NAME)


@dataclass(frozen=True)
class Options:
    """Where the API listens (port 0: any), what is there from the start, and the seed of all chance."""

    host: str = "localhost"
    port: int = 8474
    config: Path | None = None
    seed: int = 0
    proxy_metrics: bool = False
    runtime_metrics: bool = False


def parsed(argv: Sequence[str]) -> Options:
    """The flags of the original, with one dash or two, as Go takes them."""
    parser = argparse.ArgumentParser(prog=NAME, allow_abbrev=False)
    parser.add_argument("-host", "--host", default=Options.host, help="where the API listens")
    parser.add_argument("-port", "--port", type=int, default=Options.port, help="the API's port")
    parser.add_argument("-config", "--config", type=Path, metavar="FILE", help="JSON list of proxies to begin with")
    parser.add_argument("-seed", "--seed", type=int, default=time.time_ns(), help="what jitter, slices and toxicity follow from")
    parser.add_argument("-proxy-metrics", "--proxy-metrics", action="store_true", help="/metrics counts the bytes of proxies")
    parser.add_argument("-runtime-metrics", "--runtime-metrics", action="store_true", help="/metrics shows the process")
    parser.add_argument("-version", "--version", action="version", version=f"{NAME} version {VERSION}")
    return Options(**vars(parser.parse_args(argv)))


@asynccontextmanager
async def serving(options: Options) -> AsyncIterator[tuple[str, int]]:
    """Serves for as long as the context lasts; gives the API's host and port. Raises OSError when it cannot listen."""
    for type_ in registry.names(toxics.PACKAGE):
        toxics.of_type(type_)  # loaded now, so that adding the first toxic holds up no data
    timer = Timer()
    metrics = (
        Metrics(options.proxy_metrics, options.runtime_metrics) if options.proxy_metrics or options.runtime_metrics else None
    )
    proxies = Proxies(Tools(timer, random.Random(options.seed)), metrics)
    runner = web.AppRunner(api.application(proxies, metrics), access_log=None, shutdown_timeout=1)
    try:
        if options.config is not None:
            await _populate(proxies, options.config)
        await runner.setup()
        await web.TCPSite(runner, options.host, options.port).start()
        host, port = runner.addresses[0][:2]
        loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
        log.info("%s %s (seed %d, %s): API on http://%s", NAME, VERSION, options.seed, loop, join_address(host, port))
        yield host, port
    finally:
        await runner.cleanup()
        proxies.close()
        await asyncio.sleep(0)  # one turn of the loop, in which aborted connections say that they are gone
        timer.close()


async def _populate(proxies: Proxies, file: Path) -> None:
    """As the original, a bad file is reported and the server starts all the same."""
    made: list[Proxy] = []
    try:
        await api.populate(proxies, file.read_bytes(), made)
    except (OSError, Refused) as error:
        log.error("%s: %s", file, error)
    log.info("%s: %d proxies", file, len(made))


async def _serve(options: Options) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with serving(options):
        await ended.wait()
        log.info("%s: ends", NAME)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """The loop of uvloop where it is present; without it all is slower, and otherwise the same."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code."""
    options = parsed(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(options))
    except OSError as error:
        print(f"{NAME}: {join_address(options.host, options.port)}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
