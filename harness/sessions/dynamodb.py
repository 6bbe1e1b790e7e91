"""How do a workload's users talk to a store that speaks DynamoDB's protocol, and what do its errors mean?"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from harness.probes._dynamodb import PROBED, error_of, headers, table
from harness.probes.contract import network_error
from harness.recording import Outcome
from harness.sessions import Login, Session

PREFIX = "workload."  # of every table of a workload
ITEMS = f"{PREFIX}items"
TIMEOUT_S = 5.0  # of what is asked before and after the load, which has deadlines of its own
IN_A_BATCH = 25  # as many items as BatchWriteItem takes


class StoreError(Exception):
    """What the store, or the way to it, said; `done` is None where nobody knows whether anything was done."""

    def __init__(self, name: str, done: bool | None) -> None:
        super().__init__(name)
        self.name, self.done = name, done


class Store:
    """One connection that stays (HTTP/1.1)."""

    def __init__(self, login: Login, timeout_s: float | None = None) -> None:
        self._http = http.client.HTTPConnection(login["host"], login["port"], timeout=timeout_s)
        self._http.connect()

    def ask(self, operation: str, **asked: Any) -> dict[str, Any]:
        """The answer to a request. Raises StoreError."""
        try:
            self._http.request("POST", "/", json.dumps(asked), headers(operation))
            said = self._http.getresponse()
            body = said.read()
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            raise StoreError(_network(error), None) from None
        if said.status != 200:
            # A store that fails within may have done it; one that refuses has not.
            raise StoreError(error_of(said.status, body), None if said.status >= 500 else False)
        answer: dict[str, Any] = json.loads(body)
        return answer

    def scan(self, name: str, attribute: str) -> Iterator[list[dict[str, Any]]]:
        """One attribute of every item of a table that has it, a page at once."""
        more: dict[str, Any] = {}
        projected = {"ProjectionExpression": "#a", "ExpressionAttributeNames": {"#a": attribute}}
        while True:
            said = self.ask("Scan", TableName=name, ConsistentRead=True, **projected, **more)
            yield [item[attribute] for item in said["Items"] if attribute in item]
            if "LastEvaluatedKey" not in said:
                return
            more = {"ExclusiveStartKey": said["LastEvaluatedKey"]}

    def close(self) -> None:
        self._http.close()


def _network(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, http.client.RemoteDisconnected):
        return "connection closed"
    return network_error(str(error).lower())


class DynamodbSession(Session):
    """One connection; a request is carried out whole or not at all."""

    def open(self) -> Store:
        try:
            return Store(self._login)
        except OSError as error:
            raise ConnectionError(_network(error)) from None

    def look_up(self, key: int) -> tuple[Outcome, str, str | None]:
        """The outcome, the error's class, and an item's value: None where there is no such item."""
        outcome, error, said = self._asked("GetItem", TableName=ITEMS, Key={"id": _number(key)}, ConsistentRead=True)
        item = said.get("Item")
        return (outcome if outcome is Outcome.OK else Outcome.FAILED), error, item["value"]["S"] if item else None

    def change(self, key: int, text: str, value: int) -> tuple[Outcome, str]:
        """Gives an item another value, and notes a number of its own for that in the item, both or neither.

        In a list: a set would hide that a change was made twice.
        """
        return self._asked(
            "UpdateItem", TableName=ITEMS, Key={"id": _number(key)},
            UpdateExpression="SET #v = :value, changes = list_append(if_not_exists(changes, :none), :number)",
            ExpressionAttributeNames={"#v": "value"},
            ExpressionAttributeValues={":value": {"S": text}, ":none": {"L": []}, ":number": {"L": [_number(value)]}},
        )[:2]  # fmt: skip

    def _asked(self, operation: str, **asked: Any) -> tuple[Outcome, str, dict[str, Any]]:
        assert self._connection is not None, "connect first"
        try:
            return Outcome.OK, "", self._connection.ask(operation, **asked)
        except StoreError as error:
            if error.done is None:
                self.drop()
            return (Outcome.UNKNOWN if error.done is None else Outcome.FAILED), error.name, {}


class Dynamodb:
    """A store that speaks DynamoDB's protocol. Every table of a workload begins with `workload.`."""

    errors: ClassVar[tuple[type[Exception], ...]] = (StoreError, OSError)

    def session(self, login: Login, reconnect_s: float) -> DynamodbSession:
        return DynamodbSession(login, reconnect_s)

    @contextmanager
    def opened(self, login: Login) -> Iterator[Store]:
        store = Store(login, TIMEOUT_S)
        try:
            yield store
        finally:
            store.close()

    reading = opened  # there is no view of one moment; nobody writes any more when final reads are made

    def clear(self, connection: Store) -> None:
        for name in connection.ask("ListTables")["TableNames"]:
            if name.startswith(PREFIX):
                connection.ask("DeleteTable", TableName=name)

    def probed(self, connection: Store) -> Iterator[list[int]]:
        yield from ([int(one["N"]) for one in page] for page in connection.scan(PROBED, "value"))

    def told(self, error: Exception) -> tuple[str, bool]:
        if isinstance(error, StoreError):
            return error.name, error.done is False
        return _network(error), False

    def variables(self, login: Login) -> dict[str, str]:
        return {"AWS_ENDPOINT_URL_DYNAMODB": f"http://{login['host']}:{login['port']}", "AWS_DEFAULT_REGION": "us-east-1"}

    # --- as an origin ---

    def stock(self, connection: Store, items: Iterable[tuple[int, str]]) -> None:
        """Makes the table of items, and puts items (key, value) there."""
        connection.ask("CreateTable", **table(ITEMS, "id"))
        puts = [{"PutRequest": {"Item": {"id": _number(key), "value": {"S": value}}}} for key, value in items]
        for first in range(0, len(puts), IN_A_BATCH):
            left = {ITEMS: puts[first : first + IN_A_BATCH]}
            while left:
                left = connection.ask("BatchWriteItem", RequestItems=left)["UnprocessedItems"]

    def changed(self, connection: Store) -> Iterator[list[int]]:
        """The number of every change that is there, in pieces."""
        for page in connection.scan(ITEMS, "changes"):
            yield [int(number["N"]) for changes in page for number in changes["L"]]

    def stocked(self, connection: Store) -> int:
        """How many items there are."""
        return sum(map(len, connection.scan(ITEMS, "id")))


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}
