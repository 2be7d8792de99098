"""D4, D5 on the real stack: two ids in two partitions become one customer, come apart, are exported and forgotten."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processors.days import DAY_MS
from schemas.partitioner import partition_of
from tests.conftest import PARTITIONS

pytestmark = pytest.mark.live

FIRST = 17_000 * DAY_MS + 3_600_000  # 2016-07-18, UTC
OLD = "anna"
NEW = next(
    name
    for name in ("bob", "carl", "dora", "emil")
    if partition_of(name.encode(), PARTITIONS) != partition_of(OLD.encode(), PARTITIONS)
)


def sale(customer: str, day: int) -> dict[str, Any]:
    line = {"category": "cd", "quantity": 1, "net_amount": 4_000}
    return {
        "event_id": f"till-{day}", "customer_id": customer, "occurred_at": FIRST + day * DAY_MS, "kind": "SALE",
        "store_id": "7", "currency": "USD", "lines": [line],
    }  # fmt: skip


def test_D4_D5_merge_unmerge_export_and_erase(
    tmp_path: Path, loyalty: Callable[..., subprocess.CompletedProcess[str]], fresh_topics: Callable[[], None]
) -> None:
    fresh_topics()

    def must(*words: str) -> list[dict[str, Any]]:
        done = loyalty(*words, "--json", LOYALTY_CLOCK="data")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def load(*rows: dict[str, Any]) -> None:
        file = tmp_path / "purchases.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        must("import", "purchases", str(file), "--ticks")
        must("worker", "--until-caught-up")

    def values() -> dict[str, int]:
        return {seen["customer_id"]: seen["value_365d"] for seen in must("customers")}

    def caught_up() -> dict[str, int]:
        for _ in range(2):  # what one partition tells another is read by the next run at the latest
            must("worker", "--until-caught-up")
        return values()

    load(sale(OLD, 0), sale(NEW, 0), sale(OLD, 1))
    assert values() == {OLD: 8_000, NEW: 4_000}

    must("merge", OLD, NEW)
    assert caught_up() == {NEW: 12_000}
    done = loyalty("customer", OLD)
    assert (done.returncode, f"is merged into '{NEW}'" in done.stderr) == (1, True)
    load(sale(OLD, 5))  # a till that does not know yet
    assert caught_up() == {NEW: 16_000}
    assert loyalty("merge", NEW, OLD, LOYALTY_CLOCK="data").returncode == 2

    (held,) = must("customer", NEW, "--export")
    assert held["view"]["lifetime_purchases"] == 4
    assert held["facts"]["lifetime_purchases"] == 1
    assert [one["day"] for one in held["facts_of_merged_ids"][OLD]["days"]] == [
        "2016-07-18",
        "2016-07-19",
        "2016-07-23",
    ]
    assert {"topic": "purchases", "partitions": [partition_of(NEW.encode(), PARTITIONS)], "records": 1} in held[
        "records"
    ]
    last = {
        one["customer_id"]: one
        for one in must("subscribe", "customer-value", "--from-beginning", "--until-end")
        if one.get("customer_id")
    }
    assert last[NEW]["value_365d"] == 16_000

    must("unmerge", OLD)
    assert caught_up() == {OLD: 12_000, NEW: 4_000}
    must("merge", OLD, NEW)
    assert caught_up() == {NEW: 16_000}
    assert must("erase", NEW)[0]["merged_ids"] == [OLD]
    assert caught_up() == {}
