"""How is a store asked that speaks DynamoDB's protocol, and what does it answer?

JSON over HTTP, by the low-level API of DynamoDB, version 2012-08-10. A store beside the clients knows no accounts: requests name
the service that is meant, and are not signed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

PROBED = "probe"  # the table of probes: one number an item
SCOPE = "harness/20260101/us-east-1/dynamodb/aws4_request"
HEADERS: Mapping[str, str] = {
    "Content-Type": "application/x-amz-json-1.0",
    "Authorization": f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature=0",
}


def headers(operation: str) -> dict[str, str]:
    """Those of a request."""
    return {**HEADERS, "X-Amz-Target": f"DynamoDB_20120810.{operation}"}


def error_of(status: int, body: bytes) -> str:
    """The class of an error that the store itself says; its status where it says nothing else."""
    try:
        told: Any = json.loads(body)
    except ValueError:
        told = {}
    name = str(told.get("__type", "")) if isinstance(told, dict) else ""
    return name.rpartition("#")[2] or f"HTTP {status}"


def table(name: str, key: str) -> dict[str, Any]:
    """What makes a table whose items are known by a number."""
    return {
        "TableName": name, "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "N"}],
    }  # fmt: skip
