"""Who says what of itself, asked of each node directly?"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.clock import now_ns
from harness.probes.contract import Address, Client, Connection
from harness.recording import Notes

if TYPE_CHECKING:
    from harness.members import Manager

GIVE_UP_NS = 3_000_000_000  # then the session is shut, in case its packets go nowhere
REPEAT_NS = 1_000_000_000  # an unchanged reading is written again this often, so that a reader sees how fresh it is


@dataclass
class Observer:
    """Asks one node for its role by its own protocol, and `manager`, at `managed_at`, for what it says of its member.

    Writes `role` events ({node, role}, and {shard} where it keeps a part of the data) and `member` events ({node, …}) on every
    change, and now and then.
    """

    node: str
    address: Address
    client: Client
    notes: Notes
    manager: Manager | None = None
    managed_at: Address | None = None
    shard: str = ""
    every_s: float = 0.5
    deadline_s: float = 0.5
    _connection: Connection | None = None
    _asking: asyncio.Task[dict[str, Any]] | None = None
    _asked_at: int = 0

    async def run(self) -> None:
        questions = [self._watch("role", self._role, self.every_s)]
        if self.manager is not None:
            questions.append(self._watch("member", self._member, 4 * self.every_s))
        await asyncio.gather(*questions)

    async def _watch(self, event: str, ask: Any, every_s: float) -> None:
        last: dict[str, Any] = {}
        written = 0
        of_shard = {"shard": self.shard} if self.shard else {}
        while True:
            began = now_ns()
            said = await ask()
            if said != last or began - written > REPEAT_NS:
                self.notes.write(event, now_ns(), asked=began, node=self.node, **of_shard, **said)
                last, written = said, began
            await asyncio.sleep(max(0.0, every_s - (now_ns() - began) / 1e9))

    async def _role(self) -> dict[str, Any]:
        """The node's answer, or unreachable; a question that is not answered in time stays asked, and is not asked twice."""
        if self._asking is None:
            self._asking, self._asked_at = asyncio.create_task(self._ask_role()), now_ns()
        done, _ = await asyncio.wait({self._asking}, timeout=self.deadline_s)
        if done:
            answer, self._asking = self._asking.result(), None
            return answer
        if now_ns() - self._asked_at > GIVE_UP_NS and self._connection is not None:
            # From outside the driver, whose own way of cancelling would ask the silent server first.
            with suppress(OSError):
                self._connection.socket.shutdown(socket.SHUT_RDWR)
        return {"role": "unreachable"}

    async def _ask_role(self) -> dict[str, Any]:
        if self._connection is None or not self._connection.usable:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None
            try:
                self._connection = await self.client.connect(self.address)
            except ConnectionError:
                return {"role": "unreachable"}
        return await self._connection.role()

    async def _member(self) -> dict[str, Any]:
        assert self.manager is not None, "only asked where there is a manager"
        assert self.managed_at is not None, "who has a manager knows where it is"
        try:
            async with asyncio.timeout(self.deadline_s):
                return await self.manager.member(self.managed_at)
        except (TimeoutError, OSError, ValueError):
            return {"state": "silent"}
