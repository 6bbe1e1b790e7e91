"""What does Patroni say of its member?"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from harness.probes.contract import Address

KEPT = ("state", "role", "timeline", "replication_state", "sync_standby", "pause")


class Patroni:
    """Asks Patroni's REST interface."""

    async def member(self, address: Address) -> dict[str, Any]:
        said = json.loads(await _get(address, "/patroni"))
        return {key: said[key] for key in KEPT if key in said}


async def _get(address: Address, path: str) -> str:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {address.host}\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return answer.partition(b"\r\n\r\n")[2].decode()
