"""How does one ask PostgreSQL, having read psycopg's manual?"""

from __future__ import annotations

import random
from typing import Any

import locust
import psycopg

from benchmarks.plain import NUMBERS, Plain
from harness.workloads import ledger

ACCOUNTS = ledger.Ledger().accounts


def connect(login: dict[str, Any]) -> psycopg.Connection[Any]:
    to = {name: value for name, value in login.items() if name != "protocol"}
    return psycopg.connect(**to, autocommit=True, sslmode="disable", gssencmode="disable")


class Ledger(Plain):
    errors = (psycopg.Error,)

    def open(self) -> None:
        self.connection = connect(self.login)

    def close(self) -> None:
        self.connection.close()

    def execute(self, kind: str, statement: str, *parameters: int) -> None:
        self.ask(kind, self.connection.execute, statement, parameters, prepare=True)

    @locust.task(60)
    def write(self) -> None:
        self.execute("write", "INSERT INTO ledger (value) VALUES (%s)", next(NUMBERS))

    @locust.task(15)
    def transfer(self) -> None:
        source, target = sorted(random.sample(range(ACCOUNTS), 2))
        amount = random.randint(1, 5)
        self.execute(
            "transfer",
            "UPDATE accounts SET balance = balance + CASE id WHEN %s THEN -%s::bigint ELSE %s::bigint END WHERE id IN (%s, %s)",
            source, amount, amount, source, target,
        )  # fmt: skip

    @locust.task(25)
    def read(self) -> None:
        self.execute("read", "SELECT balance FROM accounts WHERE id = %s", random.randrange(ACCOUNTS))
