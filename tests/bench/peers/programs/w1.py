"""W1 for every Python peer: the same decoder, the same fold, the same hash. Imports nothing of the project.

A peer is started with W1_KAFKA (address), W1_REDIS (port), W1_GROUP, W1_STATE (a folder), W1_SCHEMA (a file) and
W1_EVENTS (how many there are), and prints one line `W1 {...}` once the last state is visible in Redis.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fastavro
import redis

KAFKA = os.environ["W1_KAFKA"]
REDIS_PORT = int(os.environ["W1_REDIS"])
GROUP = os.environ["W1_GROUP"]
STATE = os.environ["W1_STATE"]
EVENTS = int(os.environ["W1_EVENTS"])
TOPIC = "purchases"
PARTITIONS = 12
DAY_MS = 86_400_000
WINDOW_DAYS = 365
HEADER_BYTES = 10
"""Single-object encoding: two bytes of mark, eight of fingerprint."""
TIERS = ((100_000, "platinum"), (40_000, "gold"), (15_000, "silver"), (5_000, "bronze"), (-(1 << 62), "member"))
PIPELINE = 1_000
"""Hashes a round trip."""

State = list[Any]
"""[value, count, last purchase (ms), [[day, amount, sales], ...] oldest first]: plain, so that any peer can keep it."""
Fact = tuple[str, int, int, int]
"""Customer, instant (ms), amount (minor units, signed), sales (0 or 1)."""


def decoder() -> Callable[[bytes], Fact]:
    """Bytes to a fact, by fastavro's compiled reader; instants stay numbers, which spares it a datetime each."""
    schema = json.loads(Path(os.environ["W1_SCHEMA"]).read_text())
    for field in schema["fields"]:
        if field["name"] == "occurred_at":
            field["type"] = "long"
    parsed = fastavro.parse_schema(schema)
    read, stream = fastavro.schemaless_reader, io.BytesIO

    def decode(value: bytes) -> Fact:
        event = read(stream(value[HEADER_BYTES:]), parsed, None)
        amount = sum(line["net_amount"] for line in event["lines"])
        if event["kind"] == "SALE":
            return event["customer_id"], event["occurred_at"], amount, 1
        return event["customer_id"], event["occurred_at"], -amount, 0

    return decode


def folded(state: State | None, at: int, amount: int, sales: int) -> State:
    """`state` with one more purchase, and without what is older than the window that ends on its day. In place."""
    day = at // DAY_MS
    if state is None:
        return [amount, sales, at, [[day, amount, sales]]]
    days = state[3]
    days.append([day, amount, sales])
    state[0] += amount
    state[1] += sales
    state[2] = max(state[2], at)
    oldest = day - WINDOW_DAYS
    while days[0][0] <= oldest:
        _, gone, fewer = days.pop(0)
        state[0] -= gone
        state[1] -= fewer
    return state


def tier(value: int) -> str:
    """The highest whose threshold is reached."""
    return next(name for least, name in TIERS if value >= least)


def row(customer: str, state: State) -> dict[str, Any]:
    """The hash of a customer."""
    return {
        "customer_id": customer,
        "value_365d": state[0],
        "purchases_365d": state[1],
        "tier": tier(state[0]),
        "last_purchase_at": state[2],
    }


class Rows:
    """Hashes in Redis, a pipeline for each thousand."""

    def __init__(self) -> None:
        self._client = redis.Redis(port=REDIS_PORT)

    def write(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """All of `rows`, visible on return."""
        pipeline = self._client.pipeline(transaction=False)
        for number, (customer, mapping) in enumerate(rows.items(), 1):
            pipeline.hset("w1:" + customer, mapping=mapping)
            if number % PIPELINE == 0:
                pipeline.execute()
        pipeline.execute()


class Meter:
    """From the first record seen to the last state visible."""

    def __init__(self) -> None:
        self._first = 0.0
        self._seen = 0

    def start(self) -> None:
        """A record is there."""
        if not self._first:
            self._first = time.time()

    def visible(self, events: int) -> None:
        """So many more are in Redis; tells the bench when it was the last one."""
        self._seen += events
        if events and self._seen >= EVENTS:
            line = json.dumps({"first": self._first, "last": time.time(), "events": self._seen})
            os.write(1, f"\nW1 {line}\n".encode())
