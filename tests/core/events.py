"""Plain events for tables: times as New York's clocks show them."""

from __future__ import annotations

from tests.oracle import dates
from tests.strategies import Plain


def ny(text: str) -> int:
    return dates.to_ms(dates.datetime.fromisoformat(text).replace(tzinfo=dates.ZoneInfo("America/New_York")))


def sale(at: int, amount: int = 100, number: int = 0, **fields: object) -> Plain:
    line = {"category": "cd", "quantity": 1, "net_amount": amount}
    plain = {"topic": "purchases", "event_id": f"s{number}-{at}", "customer_id": "anna", "occurred_at": at,
             "kind": "SALE", "currency": "USD", "lines": [line]}  # fmt: skip
    return plain | fields
