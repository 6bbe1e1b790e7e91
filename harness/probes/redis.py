"""What does a Redis or Valkey server answer to the cheapest write, read and question about its role?"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Any

from harness.probes._resp import Lost, Resp, Said, connected
from harness.probes.contract import Address, Answered
from harness.recording import OLDEST, Outcome

OK = Answered(Outcome.OK)
# A list: what is pushed twice is there twice, and how many there are costs nothing to know.
KEY = b"probe"
ROLES = {b"master": "primary", b"slave": "replica"}


class RedisConnection:
    """A session of one user. An error that the server sends is a refusal: a command is carried out whole or not at all."""

    def __init__(self, session: Resp) -> None:
        self._session = session

    @property
    def socket(self) -> socket.socket:
        return self._session.socket

    @property
    def usable(self) -> bool:
        return self._session.idle

    async def write(self, value: int) -> Answered:
        """Appends one unique value. That it is acknowledged says nothing of replicas: the system replicates when it can."""
        if self._session.broken is not None:  # it was closed while nothing was under way: nothing is sent
            return Answered(Outcome.FAILED, self._session.broken)
        try:
            await self._session.ask(b"RPUSH", KEY, str(value).encode())
        except Said as refusal:
            return Answered(Outcome.FAILED, str(refusal))
        except Lost as loss:
            return Answered(Outcome.UNKNOWN, str(loss))
        return OK

    async def read(self) -> Answered:
        """Reads the newest value; one that is not there is older than all."""
        if self._session.broken is not None:
            return Answered(Outcome.FAILED, self._session.broken)
        try:
            newest = await self._session.ask(b"LINDEX", KEY, b"-1")
        except (Said, Lost) as problem:
            return Answered(Outcome.FAILED, str(problem))
        return Answered(Outcome.OK, seen=int(newest or OLDEST))

    async def role(self) -> dict[str, Any]:
        """What the server says of itself; of a replica, `link` says how it stands with its primary."""
        try:
            said = await self._session.ask(b"ROLE") if self._session.broken is None else []
        except (Said, Lost):
            said = []
        role = ROLES.get(said[0]) if said else None
        if role is None:
            return {"role": "unreachable"}
        return {"role": role, "link": said[3].decode()} if role == "replica" else {"role": role}

    async def clear(self) -> None:
        """Removes every value that probes wrote."""
        try:
            await self._session.ask(b"UNLINK", KEY)
        except (Said, Lost) as problem:
            raise ConnectionError(str(problem)) from None

    async def close(self) -> None:
        self._session.close()


@dataclass(frozen=True)
class Redis:
    """Opens sessions as one user, without retries and without TLS."""

    user: str
    password: str = field(repr=False)

    async def connect(self, address: Address) -> RedisConnection:
        return RedisConnection(await connected(address, self.user, self.password))
