"""What does a store that speaks DynamoDB's protocol answer to the cheapest write, read and question about itself?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from harness.probes._dynamodb import PROBED, error_of, headers, table
from harness.probes._stream import Stream, connected
from harness.probes.contract import Address, Answered
from harness.recording import Outcome

OK = Answered(Outcome.OK)
NO_SUCH_TABLE = "ResourceNotFoundException"
NOBODY = 0  # no probe writes it: whether it is there costs the store a look


@dataclass(frozen=True)
class Said:
    """An answer: HTTP's status, and what came with it."""

    status: int
    body: bytes


class DynamodbConnection(Stream[Said]):
    """One connection that stays (HTTP/1.1), with one request under way at most."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self._host = host

    def _whole(self, received: bytes) -> Said | None:
        head, ended, body = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        told = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if not ended or len(body) < int(told.get("content-length", 0)):
            return None
        if told.get("connection", "").lower() == "close":
            self._broken = "connection closed"
        return Said(int(status.split(" ")[1]), body)

    async def _request(self, operation: str, **asked: Any) -> Said | str:
        body = json.dumps(asked).encode()
        lines = [f"POST / HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers(operation).items()]
        return await self._ask("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def write(self, value: int) -> Answered:
        """Writes one unique value."""
        if self._broken is not None:  # it was closed while nothing was under way: nothing is sent
            return Answered(Outcome.FAILED, self._broken)
        said = await self._request("PutItem", TableName=PROBED, Item={"value": {"N": str(value)}})
        if isinstance(said, str):
            return Answered(Outcome.UNKNOWN, said)
        if said.status == 200:
            return OK
        # A store that fails within (5xx) may have done it; one that refuses has not.
        return Answered(Outcome.UNKNOWN if said.status >= 500 else Outcome.FAILED, error_of(said.status, said.body))

    async def read(self) -> Answered:
        """Reads an item that is not there."""
        if self._broken is not None:
            return Answered(Outcome.FAILED, self._broken)
        said = await self._request("GetItem", TableName=PROBED, Key={"value": {"N": str(NOBODY)}})
        if isinstance(said, str):
            return Answered(Outcome.FAILED, said)
        return OK if said.status == 200 else Answered(Outcome.FAILED, error_of(said.status, said.body))

    async def role(self) -> dict[str, Any]:
        """Whoever answers is the only one that keeps the data."""
        return {"role": "primary" if (await self.read()).outcome is Outcome.OK else "unreachable"}

    async def clear(self) -> None:
        """Makes the table anew."""
        for operation, asked in (("DeleteTable", {"TableName": PROBED}), ("CreateTable", table(PROBED, "value"))):
            said = await self._request(operation, **asked)
            error = said if isinstance(said, str) else "" if said.status == 200 else error_of(said.status, said.body)
            if error and (operation, error) != ("DeleteTable", NO_SUCH_TABLE):
                raise ConnectionError(error)


@dataclass(frozen=True)
class Dynamodb:
    """Opens connections; there is nothing to log in to."""

    async def connect(self, address: Address) -> DynamodbConnection:
        return await connected(lambda: DynamodbConnection(f"{address.host}:{address.port}"), address)
